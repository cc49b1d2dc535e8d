"""Foldings of a graph: first guesses at an equitable partition.

A strip of spots folds like a map: n pieces on top of each other, every second one turned over. Spots that lie on each
other have the same neighbours but for those that a border lacks. A graph without coordinates has axes all the same: on
a grid the slowest modes of its flow are cos(pi x / n) along each axis, so that their order is that of the axis.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_array, diags_array, eye_array
from scipy.sparse.linalg import eigsh, splu

from enfpire.curation.transitions import Sparse, times
from enfpire.wire.arrays import Doubles, Indices

AXES = 5
PIECES = (*range(1, 21), 24, 32)
# Two modes that decay almost equally fast may be any mixture of two axes.
ALIKE = 1.05
# A mode slower than this share of the fastest weighs no more: an area that nobody leaves has a rate of 0.
SLOWEST = 20
# Users who would never come back start anew so often: else all flow is where nothing leads on.
_TELEPORT = 1e-4
_STILL = 1e-9


def cut(values: Doubles, bins: int) -> Indices:
    """Bin number of each of the values (n,): equal shares of the n, in ascending order."""
    found = np.empty(len(values), dtype=np.intp)
    found[np.argsort(values, kind="stable")] = np.arange(len(values)) * bins // max(len(values), 1)
    return found


def fold(axis: Doubles, pieces: int) -> Doubles:
    """Place (n,) in [0, 1] along its piece, once the axis (n,) is folded into `pieces` of equally many things."""
    along = _along(axis, pieces)
    return np.where(np.floor(along) % 2 == 0, along % 1, 1 - along % 1)


def slide(axis: Doubles, pieces: int) -> Doubles:
    """As `fold`, with no piece turned over: users who go one way, or round in a circle."""
    return _along(axis, pieces) % 1


def _along(axis: Doubles, pieces: int) -> Doubles:
    ranks = np.empty(len(axis))
    ranks[np.argsort(axis, kind="stable")] = np.arange(len(axis)) + 0.5
    return ranks * pieces / len(axis)


def crossed(first: Doubles, second: Doubles, rows: int, columns: int) -> Indices:
    """Groups (n,): `rows` bins of `first`, each cut into `columns` bins of `second`; sizes differ by one at most."""
    outer = cut(first, rows)
    found = outer * columns
    for row in range(rows):
        members = np.flatnonzero(outer == row)
        found[members] += cut(second[members], columns)
    return found


def slow_modes(matrix: Sparse, count: int) -> Doubles:
    """At most `count` slowest modes (C, m) of the flow between classes: they tell areas apart.

    Eigenvectors of the Laplacian of the flow p(c) p(d | c) in the steady state, made symmetric, for the smallest
    eigenvalues but the first; zero for classes that users neither leave nor reach. Orthogonal, each as long as
    it is slow, together of length 1.
    """
    modes, rates = _modes(matrix, count)
    shares = 1 / np.maximum(rates, max(rates.max(initial=0) / SLOWEST, _STILL))
    scaled: Doubles = modes * np.sqrt(shares / max(shares.sum(), _STILL))
    return scaled


def _modes(matrix: Sparse, count: int) -> tuple[Doubles, Doubles]:
    flow = _flow(matrix)
    degrees = times(flow, np.ones(flow.shape[0])) - flow.diagonal()
    moving = np.flatnonzero(degrees > _STILL * max(degrees.max(initial=0), 1))
    wanted = min(count, len(moving) - 1)
    modes, rates = np.zeros((flow.shape[0], max(wanted, 0))), np.zeros(max(wanted, 0))
    if wanted > 0:
        graph = flow[moving][:, moving]
        laplacian = diags_array(times(graph, np.ones(len(moving)))) - graph
        values, vectors = _smallest(csr_array(laplacian), wanted + 1)
        modes[moving], rates = vectors[:, 1:], values[1:]
    return modes, rates


def _flow(matrix: Sparse) -> Sparse:
    """Symmetric flow (C, C) in the steady state, from an equally likely start where there are several; mean 1."""
    classes = matrix.shape[0]
    kept = eye_array(classes) - (1 - _TELEPORT) * matrix.T
    steady = splu(kept.tocsc()).solve(np.full(classes, _TELEPORT))
    flow = diags_array(np.maximum(steady, 0)) @ matrix
    return csr_array((flow + flow.T) / 2)


def _smallest(laplacian: Sparse, count: int) -> tuple[Doubles, Doubles]:
    classes = laplacian.shape[0]
    if count * 3 > classes:
        values, vectors = eigh(laplacian.toarray())
        return values[:count], vectors[:, :count]
    start = np.random.default_rng(0).standard_normal(classes)
    values, vectors = eigsh(laplacian, k=count, sigma=-1e-6 * laplacian.diagonal().mean(), v0=start)
    order = np.argsort(values)
    return values[order], vectors[:, order]


def axes_of(matrix: Sparse) -> list[Doubles]:
    """Values (C,) along each axis that the graph seems to have, slowest first."""
    modes, rates = _modes(matrix, AXES)
    axes = list(modes.T)
    for first in range(len(axes) - 1):
        if rates[first + 1] <= ALIKE * rates[first]:
            axes += _unmixed(modes[:, first], modes[:, first + 1])
    return axes


def _unmixed(one: Doubles, other: Doubles) -> list[Doubles]:
    """Two pairs of axes that two modes may be mixtures of, and the angle of the circle that they may be two waves on.

    The sum of fourth powers of two signals turned by t is A + B cos(4 t + phase); independent ones, such as two
    cosines along two axes, are at an extreme of it (Comon, "Independent component analysis", 1994).
    """
    mixture = one + 1j * other
    angle = np.angle((mixture**4).sum()) / 4
    turned = [mixture * np.exp(-1j * (angle + extra)) for extra in (0, np.pi / 4)]
    return [*(part for each in turned for part in (each.real, each.imag)), np.angle(mixture)]


def factors(groups: int) -> list[tuple[int, int]]:
    """All (rows, columns) with rows x columns = groups."""
    return [(rows, groups // rows) for rows in range(1, groups + 1) if groups % rows == 0]
