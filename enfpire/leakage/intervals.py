"""Intervals of what was measured on a finite sample: 95 % unless `z` says otherwise."""

from __future__ import annotations

from math import sqrt

import numpy as np

from enfpire.wire.arrays import Bools, Doubles, Indices

Z = 1.96
PRIOR_PHOTOS = 2.0


def wilson(successes: float, total: float, z: float = Z) -> tuple[float, float]:
    """The score interval of a share (Wilson, JASA 22, 1927); (0, 1) where nothing was tried.

    Neither number need be whole: `total` may be an effective sample size.
    """
    if total <= 0:
        return 0.0, 1.0
    share, weight = successes / total, z * z / total
    centre = (share + weight / 2) / (1 + weight)
    half = z * sqrt(max(share * (1 - share), 0.0) / total + weight / (4 * total)) / (1 + weight)
    return max(0.0, centre - half), min(1.0, centre + half)


def balanced_mean(values: Bools | Doubles, labels: Indices, prior: Doubles | None = None) -> float:
    """Mean over classes of the mean of their photos' values, every class weighing the same, or as `prior` (C,) says.

    values (n,), labels (n,): classes without photos do not count.
    """
    counts = np.bincount(labels)
    sums = np.bincount(labels, weights=values.astype(np.float64))
    present = counts > 0
    weights = None if prior is None else prior[: len(counts)][present]
    return float(np.average(sums[present] / counts[present], weights=weights))


def balanced_interval(
    right: Bools | Doubles, labels: Indices, prior: Doubles | None = None, z: float = Z
) -> tuple[float, float]:
    """Interval of an accuracy in which every class weighs the same, or as `prior` (C,) says.

    right (n,): bool, or shares in [0, 1]; labels (n,). The photos of a class are a sample of that class's photos; the
    classes are fixed. With W_c the weight, p_c the share and n_c the photos of class c, and p the sum of W_c p_c:

        N   = 1 / sum W_c^2 / n_c                 photos, as if the classes did not differ
        r_c = (n_c p_c + 2 p) / (n_c + 2)         a class of few photos is no proof of its own certainty
        v_c = r_c (1 - r_c) / (1 - n_c / (n_c + 2)^2)    without the bias of r_c's own scatter
        n   = N p (1 - p) / (sum W_c^2 v_c / n_c / sum W_c^2 / n_c)    photos of a plain sample of this variance

    The interval is Wilson's for p n successes of n (n = N for p = 0 or 1), which does not collapse at 0 or 1.
    """
    weights, counts, sums = _classes(right.astype(np.float64), labels, prior)
    shares = weights**2 / counts
    accuracy, photos = min(1.0, float(weights @ (sums / counts))), 1 / float(shares.sum())
    rates = (sums + PRIOR_PHOTOS * accuracy) / (counts + PRIOR_PHOTOS)
    spread = rates * (1 - rates) / (1 - counts / (counts + PRIOR_PHOTOS) ** 2)
    stratified, plain = float(shares @ spread) * photos, accuracy * (1 - accuracy)
    # rounding may leave one of the two above 0 where every photo is right, or none
    effective = photos * plain / stratified if plain > 0 and stratified > 0 else photos
    return wilson(accuracy * effective, effective, z)


def balanced_mean_interval(
    values: Doubles, labels: Indices, prior: Doubles | None = None, z: float = Z
) -> tuple[float, float]:
    """Interval of the mean over classes of the mean of their photos' values; values (n,), labels (n,).

    Mean -+ z sqrt(sum W_c^2 s_c^2 / n_c), where s_c^2 = (S_c + 2 s^2) / (n_c + 1) is the variance inside a class, S_c
    the sum of squares around its mean, drawn by two photos towards s^2, the variance inside all classes together (or
    of all values, where no class has two photos).
    """
    weights, counts, sums = _classes(values, labels, prior)
    means = sums / counts
    mean = float(weights @ means)
    numbers = np.unique(labels, return_inverse=True)[1]
    squares = np.bincount(numbers, weights=(values - means[numbers]) ** 2)
    freedom = len(values) - len(counts)
    shared = squares.sum() / freedom if freedom else values.var(ddof=1) if len(values) > 1 else np.inf
    inside = (squares + PRIOR_PHOTOS * shared) / (counts - 1 + PRIOR_PHOTOS)
    half = z * sqrt(float((weights**2 * inside / counts).sum()))
    return mean - half, mean + half


def _classes(values: Doubles, labels: Indices, prior: Doubles | None) -> tuple[Doubles, Doubles, Doubles]:
    """Weight, photos and sum of values of every class that has photos."""
    present, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = np.ones(len(present)) if prior is None else prior[present]
    sums = np.bincount(numbers, weights=values).astype(np.float64)
    return weights / weights.sum(), counts.astype(np.float64), sums
