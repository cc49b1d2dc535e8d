"""Clustering on the unit sphere: plain, and with the same number of members in every cluster."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from enfpire.wire.arrays import Doubles, Floats, Indices, normalised

STARTS = 4
ROUNDS = 30
# An optimal assignment takes time with the cube of the points and memory with their square: beyond, prices must do.
MANY_POINTS = 1_500
PRICE_ROUNDS = 200


def spherical_kmeans(points: Floats, clusters: int, seed: int = 0) -> Floats:
    """At most `clusters` unit centres of unit points (n, d); the points themselves where they are no more."""
    if len(points) <= clusters:
        return points
    if clusters == 1:
        return normalised(points.mean(axis=0, keepdims=True))
    random = np.random.default_rng(seed)
    runs = [_one_run(points, clusters, random) for _ in range(STARTS)]
    return max(runs, key=lambda run: run[0])[1]


def _one_run(points: Floats, clusters: int, random: np.random.Generator) -> tuple[float, Floats]:
    centres = points[random.choice(len(points), clusters, replace=False)]
    for _ in range(ROUNDS):
        nearest = (points @ centres.T).argmax(axis=1)
        moved = _centres(points, nearest, centres)
        if np.allclose(moved, centres):
            break
        centres = moved
    return float((points @ centres.T).max(axis=1).sum()), centres


def _centres(points: Floats, members: Indices, fallback: Floats) -> Floats:
    sums = np.zeros_like(fallback)
    np.add.at(sums, members, points)
    empty = np.bincount(members, minlength=len(fallback)) == 0
    sums[empty] = fallback[empty]
    return normalised(sums)


def equal_sizes(members: int, clusters: int) -> Indices:
    """Sizes of `clusters` clusters of `members` things that differ by one at most."""
    return np.full(clusters, members // clusters) + (np.arange(clusters) < members % clusters)


def balanced_clusters(points: Floats, clusters: int, seed: int = 0) -> Indices:
    """Cluster number of each of the unit points (n, d): k-means whose clusters are of equal size.

    The assignment of each round is optimal for the centres of the last (Hungarian method), or nearly so beyond 1,500
    points.
    """
    random = np.random.default_rng(seed)
    runs = [_balanced_run(points, clusters, random) for _ in range(STARTS)]
    return max(runs, key=lambda run: run[0])[1]


def _balanced_run(points: Floats, clusters: int, random: np.random.Generator) -> tuple[float, Indices]:
    centres = points[random.choice(len(points), clusters, replace=False)]
    assign = assign_equally if len(points) <= MANY_POINTS else assign_at_prices
    members = assign(points @ centres.T)
    for _ in range(ROUNDS):
        centres = _centres(points, members, centres)
        again = assign(points @ centres.T)
        if np.array_equal(again, members):
            break
        members = again
    return float((points * centres[members]).sum()), members


def assign_equally(gains: Floats) -> Indices:
    """Column of each row of gains (n, G) so that columns are used equally often and the gains sum highest."""
    rows, clusters = gains.shape
    # every column may be used floor times, and n mod G of them once more: which, the gains decide
    slots = np.repeat(np.arange(clusters), -(-rows // clusters))
    spare = len(slots) - rows
    cost = -gains[:, slots].astype(np.float64)
    if spare:
        # idle rows fill the spare slots, at most one a column
        idle = np.zeros((spare, len(slots)))
        last = np.append(slots[1:] != slots[:-1], True)
        idle[:, ~last] = 1e6
        cost = np.vstack([cost, idle])
    taken_by, slot = linear_sum_assignment(cost)
    columns: Indices = slots[slot[np.argsort(taken_by)]][:rows]
    return columns


def assign_at_prices(gains: Floats) -> Indices:
    """Column of each row of gains (n, G), columns used equally often, the gains nearly highest.

    Columns that too many rows want get dearer until few do (an auction); what is left goes by the highest gains.
    """
    rows, clusters = gains.shape
    prices = np.zeros(clusters)
    step = 0.2 * float(gains.std()) * clusters / rows
    for _ in range(PRICE_ROUNDS):
        wanted = np.bincount((gains - prices).argmax(axis=1), minlength=clusters)
        prices += step * (wanted - rows / clusters)
        step *= 0.985
    return _assign_in_order(gains - prices)


def _assign_in_order(gains: Doubles) -> Indices:
    rows, clusters = gains.shape
    small, larger = divmod(rows, clusters)
    used, columns = [0] * clusters, np.full(rows, -1, np.intp)
    for place in np.argsort(-gains, axis=None, kind="stable").tolist():
        row, column = divmod(place, clusters)
        if columns[row] >= 0 or used[column] > small or (used[column] == small and not larger):
            continue
        larger -= used[column] == small
        columns[row] = column
        used[column] += 1
    return columns
