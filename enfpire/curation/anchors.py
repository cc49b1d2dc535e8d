"""Anchors: the vectors that route a feature to its group.

Anchors of a class are its prototypes' clusters. Anchors of a cell are *trained* on gallery photos, so that a
photo's largest inner product is with an anchor of its own group (multinomial logistic regression with the
groups as labels, a group's score being the log-sum-exp of its anchors' products): routing is what they are for,
and a centroid routes worse.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from enfpire.curation.clustering import spherical_kmeans
from enfpire.curation.held_out import best_of_each
from enfpire.curation.one_thread import one_thread
from enfpire.curation.prototypes import rows_by_class
from enfpire.wire.arrays import Array, Floats, Indices, normalised

SHARPNESS = 20.0
DECAY = 1e-5
STEPS = 300
INT8_LARGEST = 127.0


@dataclass(frozen=True)
class Anchors:
    """vectors (a, m), to be compared with the first m coordinates of a feature; routes (a,), the group of each."""

    vectors: Floats = field(repr=False)
    routes: Indices

    def scores(self, features: Floats) -> Floats:
        """Score of each group for features (n, d): its anchors' largest inner product, shape (n, G)."""
        order = np.argsort(self.routes, kind="stable")
        products = features[:, : self.vectors.shape[1]] @ self.vectors[order].T
        return best_of_each(products, self.routes[order])

    def packed(self, *, int8: bool) -> Array:
        """The vectors as they travel: float16, or int8 under one common scale, which routing does not need."""
        if not int8:
            return Array.of(self.vectors, "f2")
        return Array.of(np.rint(self.vectors * (INT8_LARGEST / np.abs(self.vectors).max())), "i1")

    def as_sent(self, *, int8: bool) -> Anchors:
        """These anchors as a client will read them."""
        return Anchors(self.packed(int8=int8).floats(), self.routes)


def class_anchors(features: Floats, labels: Indices, groups: Indices, per_class: int) -> Anchors:
    """At most `per_class` anchors of each class; groups (C,) is each class's."""
    centres = [spherical_kmeans(features[rows], per_class) for rows in rows_by_class(labels, len(groups))]
    return Anchors(np.concatenate(centres), np.repeat(groups, [len(centre) for centre in centres]))


def cell_anchors(features: Floats, labels: Indices, cells: Indices, groups: Indices, per_cell: int) -> Anchors:
    """At most `per_cell` trained anchors of each cell; cells and groups (C,) are each class's."""
    starts = [spherical_kmeans(features[rows], per_cell) for rows in rows_by_class(cells[labels], int(cells.max()) + 1)]
    group_of_cell = np.zeros(len(starts), np.intp)
    group_of_cell[cells] = groups
    routes = np.repeat(group_of_cell, [len(start) for start in starts])
    weights = 1 / np.bincount(labels)[labels]
    order = np.argsort(routes, kind="stable")
    vectors = _trained(features, groups[labels], weights / weights.sum(), np.concatenate(starts)[order], routes[order])
    # only the largest product counts: one common scale, so that float16 holds them well
    return Anchors((vectors / np.linalg.norm(vectors, axis=1).max()).astype(np.float32), routes[order])


def _trained(features: Floats, targets: Indices, weights: Floats, starts: Floats, routes: Indices) -> Floats:
    """Anchors trained from `starts` (a, m), whose routes (a,) ascend, on features (n, m) of groups targets (n,)."""
    import torch

    # every group gets as many places as the largest has anchors; those that it does not use score nothing
    counts = np.bincount(routes)
    places = counts[:, None] > np.arange(counts.max())
    padded = np.zeros((*places.shape, features.shape[1]), dtype=np.float32)
    padded[places] = SHARPNESS * normalised(starts)
    rows, labels = torch.from_numpy(features), torch.from_numpy(targets)
    share = torch.from_numpy(weights.astype(np.float32))
    unused = torch.zeros(places.shape).masked_fill(~torch.from_numpy(places), -torch.inf)
    anchors = torch.from_numpy(padded).requires_grad_()
    optimiser = torch.optim.LBFGS([anchors], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        products = (rows @ anchors.flatten(0, 1).T).reshape(len(rows), *places.shape)
        scores = torch.logsumexp(products + unused, dim=2)
        wrong = torch.nn.functional.cross_entropy(scores, labels, reduction="none")
        total = (wrong * share).sum() + DECAY * (anchors**2).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    with one_thread():
        optimiser.step(loss)  # type: ignore[no-untyped-call]
    trained: Floats = anchors.detach().numpy()[places]
    return trained
