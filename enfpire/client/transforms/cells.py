"""`cells`: the group of the nearest anchor travels, and nothing else."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from enfpire.errors import FeatureError
from enfpire.wire.arrays import Array, Bools, Floats, Indices
from enfpire.wire.bundle import Cells
from enfpire.wire.query import MAX_ROWS, Groups

BLOCK_BYTES = 64 * 1024 * 1024


class CellsTransform:
    """Routes features to groups by their nearest anchor: the one with the largest inner product."""

    def __init__(self, spec: Cells) -> None:
        order = np.argsort(spec.routes.values, kind="stable")
        self._anchors = spec.anchors.floats()[order]
        self._routes = spec.routes.values[order].astype(np.intp)
        self._starts = np.flatnonzero(np.diff(self._routes, prepend=-1))
        self._slack = np.float32(spec.slack)

    def scores(self, features: Floats) -> Floats:
        """Score of each group for features (n, d): the largest product with one of its anchors, shape (n, G)."""
        return np.concatenate([np.maximum.reduceat(block, self._starts, axis=1) for block in self._products(features)])

    def route(self, features: Floats) -> Indices:
        """Group of each feature; features (n, d), result (n,)."""
        groups: Indices = self._routes[np.concatenate([block.argmax(axis=1) for block in self._products(features)])]
        return groups

    def protect(self, features: Floats) -> tuple[Groups, Indices]:
        """Group numbers, ascending, each once: a server sees neither order nor counts of a batch.

        Raises `FeatureError` where the features fall into too many groups for one query.
        """
        return canonical_groups(self.route(features))

    def protect_familiar(self, features: Floats, held: Collection[int]) -> tuple[Groups, Indices]:
        """As `protect`, for a client that remembers: `held` are groups whose sets it has.

        Photos that nearly fit one of them go there, and the others share as few further groups as they can.
        """
        scores = self.scores(features)
        held_ones = np.zeros(scores.shape[1], dtype=bool)
        held_ones[list(held)] = True
        return canonical_groups(familiar(scores, self._slack, held_ones))

    def _products(self, features: Floats) -> list[Floats]:
        rows = max(1, BLOCK_BYTES // (4 * len(self._anchors)))
        known = features[:, : self._anchors.shape[1]]
        return [known[start : start + rows] @ self._anchors.T for start in range(0, len(known), rows)]


def familiar(scores: Floats, slack: np.float32, held: Bools) -> Indices:
    """Group of each photo, (n,): the best within `slack` of its highest score that is held, or that others need.

    scores (n, G), held (G,). Groups are added to those that are held, each time the one that serves most of the photos
    which still have none, the best fitting of several (greedy set cover): the fewer groups photos of one thing are
    spread over, the less they tell.
    """
    fits = scores >= scores.max(axis=1, keepdims=True) - slack
    chosen = held.copy()
    left = ~(fits & chosen).any(axis=1)
    while left.any():
        served = fits[left].sum(axis=0)
        most = np.flatnonzero(served == served.max())
        added = int(most[scores[left][:, most].sum(axis=0).argmax()])
        chosen[added] = True
        left &= ~fits[:, added]
    groups: Indices = np.where(fits & chosen, scores, -np.inf).argmax(axis=1)
    return groups


def canonical_groups(each: Indices) -> tuple[Groups, Indices]:
    """The groups of photos, shape (n,), ascending and each once, and the row of each photo's group in them.

    Raises `FeatureError` where there are too many for one query.
    """
    numbers, rows = np.unique(each, return_inverse=True)
    if len(numbers) > MAX_ROWS:
        raise FeatureError(f"{len(numbers)} groups in one query; send at most {MAX_ROWS} photos at a time")
    return Groups(numbers=Array.of(numbers, "u4")), rows.astype(np.intp)
