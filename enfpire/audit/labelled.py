"""Vectors whose class is known."""

from __future__ import annotations

from dataclasses import dataclass, field

from enfpire.wire.arrays import Floats, Indices


@dataclass(frozen=True, eq=False)
class Labelled:
    """Vectors (n, d) float32 of photos, features or what was sent, and their labels (n,)."""

    vectors: Floats = field(repr=False)
    labels: Indices = field(repr=False)

    def at(self, rows: Indices) -> Labelled:
        """Those at these rows."""
        return Labelled(self.vectors[rows], self.labels[rows])
