"""Groups that stay uniform along walks: partitions close to an equitable one.

A partition of a graph is equitable where all classes of a group have the same transition mass to each group, and from
each group. Whoever links the queries of a walk over an equitable partition, with classes of a group equally likely at
first, finds them equally likely after every further query: the forward filter and the backward smoother only ever
multiply by what depends on the group. (Kemeny, Snell, "Finite Markov chains", 1960, ch. 6: strong lumpability; Godsil,
Royle, "Algebraic graph theory", 2001, ch. 9.3.) Few graphs have one with groups of a given size; the nearest is sought.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from enfpire.curation.clustering import MANY_POINTS, balanced_clusters, equal_sizes
from enfpire.curation.foldings import PIECES, axes_of, crossed, cut, factors, fold, slide, slow_modes
from enfpire.curation.swaps import Flow, Spread, Term, improved, pooled
from enfpire.curation.transitions import Sparse, Transitions, times
from enfpire.errors import UsageError
from enfpire.wire.arrays import Doubles, Floats, Indices

AREAS = 16
STARTS = 3  # one, for many classes
# Of the foldings that cut one axis into a number of bins, so many are crossed with those of other axes.
KEPT = 8

Cost = Callable[[Indices], float]


def equitable_groups(
    transitions: Transitions,
    groups: int,
    similarity: Floats | None = None,
    weight: float = 0.1,
    area_weight: float = 0.2,
    seed: int = 0,
) -> Indices:
    """Group number (C,) of every class: groups of equal size, as close to an equitable partition as was found.

    It minimises mismatch + area_weight x area_share - weight x likeness, which see; `similarity` (C, d) are unit class
    means. Starts are foldings of the graph along the axes that it seems to have, and along its coordinates where there
    are any; swaps of two classes improve the best of them. Raises `UsageError` for fewer classes than groups.
    """
    matrix, classes = transitions.matrix, len(transitions.classes)
    if not 1 <= groups <= classes:
        raise UsageError(f"{classes} classes do not make {groups} groups: ask for 1 to {classes}")
    modes = slow_modes(matrix, AREAS - 1)
    means = np.zeros((classes, 1)) if similarity is None else similarity.astype(np.float64)

    def cost(found: Indices) -> float:
        return mismatch(matrix, found) + area_weight * area_share(modes, found) - weight * likeness(means, found)

    def terms(found: Indices) -> list[Term]:
        share = 1 / (2 * _length(matrix))
        flows = [Flow(each, found, share) for each in (matrix, matrix.T.tocsr())]
        return [*flows, Spread(modes, found, area_weight), Spread(means, found, -weight / classes)]

    starts = {round(cost(start), 9): start for start in _starts(transitions, groups, similarity, cost, seed)}
    random = np.random.default_rng(seed)
    best = [starts[each] for each in sorted(starts)[: STARTS if classes <= MANY_POINTS else 1]]
    return min((improved(start, terms(start), random) for start in best), key=cost)


def mismatch(matrix: Sparse, groups: Indices) -> float:
    """How far groups (C,) are from an equitable partition of matrix (C, C): 0 for one, about 1 for groups at random.

    The variance inside groups of the masses to each group, and of those from each, over what is expected at random.
    """
    members = np.eye(int(groups.max()) + 1)[groups]
    masses = [times(each, members) for each in (matrix, matrix.T.tocsr())]
    return sum((float((each**2).sum()) - pooled(each, groups) for each in masses), 0.0) / (2 * _length(matrix))


def area_share(modes: Doubles, groups: Indices) -> float:
    """How much of the `slow_modes` (C, m) the groups (C,) explain: 1 for groups that are areas, 0 for spread ones."""
    return pooled(modes, groups)


def likeness(means: Doubles, groups: Indices) -> float:
    """How alike the classes of a group are: mean inner product of their unit means (C, d), 1 for equal ones."""
    return pooled(means, groups) / len(means)


def _length(matrix: Sparse) -> float:
    # Staying is a mass to the own group whatever the groups are: it says nothing about how well they are chosen.
    moves = float((matrix.data**2).sum() - (matrix.diagonal() ** 2).sum())
    return max(moves, len(matrix.data) * 1e-12)


def _starts(
    transitions: Transitions, groups: int, similarity: Floats | None, cost: Cost, seed: int
) -> Iterator[Indices]:
    classes = len(transitions.classes)
    sizes = equal_sizes(classes, groups)
    yield np.random.default_rng(seed).permutation(np.repeat(np.arange(groups), sizes))
    if similarity is not None and classes <= MANY_POINTS:
        yield balanced_clusters(similarity, groups, seed)
    axes = [] if transitions.coordinates is None else list(transitions.coordinates.T)
    axes += axes_of(transitions.matrix)
    pieces = [number for number in PIECES if number <= classes]
    folded = [way(axis, number) for axis in axes for number in pieces for way in (fold, slide)]
    kept = {bins: _best_cuts(folded, bins, cost) for bins, _ in factors(groups)}
    for rows, columns in factors(groups):
        yield from (crossed(one, other, rows, columns) for one in kept[rows] for other in kept[columns])


def _best_cuts(folded: list[Doubles], bins: int, cost: Cost) -> list[Doubles]:
    """The `KEPT` of the folded axes that give the best groups when cut into so many bins."""
    different = {_shape(cut(each, bins)): each for each in folded}
    return sorted(different.values(), key=lambda each: cost(cut(each, bins)))[:KEPT]


def _shape(groups: Indices) -> bytes:
    """The same for groups that differ in their numbers alone."""
    _, firsts, numbers = np.unique(groups, return_index=True, return_inverse=True)
    return firsts[numbers].tobytes()
