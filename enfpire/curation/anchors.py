"""Anchors: the vectors that route a feature to its group.

Anchors of a class are its prototypes' clusters. Anchors of a cell are *trained* on gallery photos, so that a
photo's largest inner product is with an anchor of its own group (multinomial logistic regression with the
groups as labels, a group's score being the log-sum-exp of its anchors' products): routing is what they are for,
and a centroid routes worse.
"""

from __future__ import annotations

import numpy as np

from enfpire.curation.clustering import spherical_kmeans
from enfpire.curation.prototypes import rows_by_class
from enfpire.wire.arrays import Floats, Indices, normalised

SHARPNESS = 20.0
DECAY = 1e-5
STEPS = 300


def class_anchors(features: Floats, labels: Indices, groups: Indices, per_class: int) -> tuple[Floats, Indices]:
    """At most `per_class` anchors (a, d) of each class and their groups (a,); groups (C,) is each class's."""
    centres = [spherical_kmeans(features[rows], per_class) for rows in rows_by_class(labels, len(groups))]
    routes = np.repeat(groups, [len(centre) for centre in centres])
    return np.concatenate(centres), routes


def cell_anchors(features: Floats, labels: Indices, groups: Indices, per_cell: int) -> tuple[Floats, Indices]:
    """At most `per_cell` trained anchors (a, d) of each group and their groups (a,)."""
    targets = groups[labels]
    starts = [spherical_kmeans(features[rows], per_cell) for rows in rows_by_class(targets, int(groups.max()) + 1)]
    weights = 1 / np.bincount(labels)[labels]
    anchors = _trained(features, targets, weights / weights.sum(), starts)
    # only the largest product counts: one common scale, so that float16 holds them well
    scaled = (anchors / np.linalg.norm(anchors, axis=1).max()).astype(np.float32)
    return scaled, np.repeat(np.arange(len(starts)), [len(start) for start in starts])


def _trained(features: Floats, targets: Indices, weights: Floats, starts: list[Floats]) -> Floats:
    import torch

    # every group gets as many places as the largest has anchors; those that it does not use score nothing
    places = np.array([len(start) for start in starts])[:, None] > np.arange(max(map(len, starts)))
    padded = np.zeros((*places.shape, features.shape[1]), dtype=np.float32)
    padded[places] = SHARPNESS * normalised(np.concatenate(starts))
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

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # products this small are slower on two, and far slower on a busy machine
    try:
        optimiser.step(loss)  # type: ignore[no-untyped-call]
    finally:
        torch.set_num_threads(threads)
    trained: Floats = anchors.detach().numpy()[places]
    return trained
