"""When a photo shows no class of the gallery.

A photo that is strong in the leading coordinates, which tell classes apart best, resembles some class by nature: its
similarity counts less. So a photo is judged by the cosine to its best candidate, less half of the squared length of
its first k coordinates, for k three quarters of the classes' own dimensions (C - 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enfpire.wire.arrays import Bools, Floats
from enfpire.wire.bundle import Bundle

SHARE_OF_DIMENSIONS = 0.75
WEIGHT = np.float32(0.5)


@dataclass(frozen=True)
class Unknown:
    """A photo is unknown where its score is under `below`; `leading` is k."""

    below: float
    leading: int = 0

    def accepts(self, features: Floats, similarity: Floats) -> Bools:
        """Whether features (n, d), whose best candidates have these similarities (n,), show a class; (n,)."""
        accepted: Bools = known_scores(features, similarity, self.leading) >= np.float32(self.below)
        return accepted


def unknown_of(bundle: Bundle) -> Unknown:
    """What a bundle says of it."""
    return Unknown(bundle.unknown_below, leading_coordinates(bundle.classes))


def leading_coordinates(classes: int) -> int:
    """k for a gallery of so many classes."""
    return max(2, round(SHARE_OF_DIMENSIONS * (classes - 1)))


def known_scores(features: Floats, similarity: Floats, leading: int) -> Floats:
    """Higher for photos of enrolled classes, from -1 to 1: features (n, d), similarity (n,) to the best candidate."""
    lengths = np.square(features[:, :leading]).sum(axis=1)
    scores: Floats = np.maximum(similarity - WEIGHT * lengths, np.float32(-1))
    return scores
