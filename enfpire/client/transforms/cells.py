"""`cells`: the group of the nearest anchor travels, and nothing else."""

from __future__ import annotations

import numpy as np

from enfpire.errors import FeatureError
from enfpire.wire.arrays import Array, Floats, Indices
from enfpire.wire.bundle import Cells
from enfpire.wire.query import MAX_ROWS, Groups

BLOCK_BYTES = 64 * 1024 * 1024


class CellsTransform:
    """Routes features to groups by their nearest anchor: the one with the largest inner product."""

    def __init__(self, spec: Cells) -> None:
        self._anchors = spec.anchors.floats()
        self._routes = spec.routes.values.astype(np.intp)

    def route(self, features: Floats) -> Indices:
        """Group of each feature; features (n, d), result (n,)."""
        rows = max(1, BLOCK_BYTES // (4 * len(self._anchors)))
        known = features[:, : self._anchors.shape[1]]
        nearest = [
            (known[start : start + rows] @ self._anchors.T).argmax(axis=1) for start in range(0, len(known), rows)
        ]
        groups: Indices = self._routes[np.concatenate(nearest)]
        return groups

    def protect(self, features: Floats) -> tuple[Groups, Indices]:
        """Group numbers, ascending, each once: a server sees neither order nor counts of a batch.

        Raises `FeatureError` where the features fall into too many groups for one query.
        """
        return canonical_groups(self.route(features))


def canonical_groups(each: Indices) -> tuple[Groups, Indices]:
    """The groups of photos, shape (n,), ascending and each once, and the row of each photo's group in them.

    Raises `FeatureError` where there are too many for one query.
    """
    numbers, rows = np.unique(each, return_inverse=True)
    if len(numbers) > MAX_ROWS:
        raise FeatureError(f"{len(numbers)} groups in one query; send at most {MAX_ROWS} photos at a time")
    return Groups(numbers=Array.of(numbers, "u4")), rows.astype(np.intp)
