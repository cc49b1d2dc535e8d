"""Prototypes: one to a few reference features a class, as int8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enfpire.curation.clustering import spherical_kmeans
from enfpire.wire.arrays import Floats, Indices, Int8s, normalised
from enfpire.wire.candidates import dequantise, quantise


@dataclass(frozen=True)
class Prototypes:
    """codes (p, d) int8 times scales (p,); owners (p,) ascending class numbers."""

    codes: Int8s
    scales: Floats
    owners: Indices

    @property
    def features(self) -> Floats:
        """The prototypes as unit vectors, shape (p, d)."""
        return normalised(dequantise(self.codes, self.scales))


# a centre of fewer photos is as noisy as they are
PHOTOS_PER_PROTOTYPE = 3


def fit_prototypes(features: Floats, labels: Indices, per_class: int, seed: int = 0) -> Prototypes:
    """At most `per_class` prototypes for each class of features (n, d), labels (n,) 0 .. C-1; one for 3 photos."""
    by_class = rows_by_class(labels, int(labels.max()) + 1)
    counts = [max(1, min(per_class, len(rows) // PHOTOS_PER_PROTOTYPE)) for rows in by_class]
    centres = [spherical_kmeans(features[rows], count, seed) for rows, count in zip(by_class, counts, strict=True)]
    codes, scales = quantise(np.concatenate(centres))
    owners = np.repeat(np.arange(len(centres)), [len(centre) for centre in centres])
    return Prototypes(codes, scales, owners)


def rows_by_class(labels: Indices, classes: int) -> list[Indices]:
    """For each class the rows that have its label."""
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels, minlength=classes))
    return np.split(order, ends[:-1])
