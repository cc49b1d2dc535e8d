"""Better partitions by swaps: two classes of different groups change places where that lowers a sum of terms.

A swap of class c of group g with class d of group h adds u v^T to the membership matrix S (C, G), with u = e_c - e_d
and v = e_h - e_g; every term is quadratic or quartic in S, so that what a swap changes follows without computing it
anew, for all d at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from enfpire.curation.transitions import Sparse, times
from enfpire.wire.arrays import Doubles, Indices

# Of more classes than this, a sample is tried as partners of each.
PARTNERS = 512
PASSES = 6
NOTHING = 1e-12


class Term(Protocol):
    """A part of the cost of a partition."""

    def changes(self, one: int, others: Indices, groups: Indices) -> Doubles:
        """What the term gains where the class `one` swaps its group with each of `others` (m,)."""
        ...

    def swap(self, one: int, other: int, groups: Indices) -> None:
        """Take the swap into account; `groups` (C,) are those before it."""
        ...


def improved(start: Indices, terms: Sequence[Term], random: np.random.Generator) -> Indices:
    """Groups (C,) after swaps that each lowered the sum of `terms` most for a class, until none does."""
    groups, classes = start.copy(), len(start)
    for _ in range(PASSES):
        swaps = 0
        for one in random.permutation(classes).tolist():
            others = np.arange(classes) if classes <= PARTNERS else random.choice(classes, PARTNERS, replace=False)
            others = others[groups[others] != groups[one]]
            if not len(others):
                continue
            changes = np.sum([term.changes(one, others, groups) for term in terms], axis=0)
            other = int(others[changes.argmin()])
            if changes.min() < -NOTHING:
                for term in terms:
                    term.swap(one, other, groups)
                groups[one], groups[other] = groups[other], groups[one]
                swaps += 1
        if not swaps:
            break
    return groups


def pooled(rows: Doubles, groups: Indices) -> float:
    """Sum over groups of |sum of the group's rows of `rows` (C, d)|^2 / its size; groups (C,)."""
    sums = np.eye(int(groups.max()) + 1)[groups].T @ rows
    return float(((sums**2).sum(axis=1) / np.bincount(groups)).sum())


class Spread:
    """weight x `pooled` rows (C, d)."""

    def __init__(self, rows: Doubles, groups: Indices, weight: float) -> None:
        self._rows, self._weight, self._shares = rows, weight, 1 / np.bincount(groups)
        self._sums = np.zeros((len(self._shares), rows.shape[1]))
        np.add.at(self._sums, groups, rows)

    def changes(self, one: int, others: Indices, groups: Indices) -> Doubles:
        """See `Term`."""
        mine, theirs = groups[one], groups[others]
        moved = self._rows[one] - self._rows[others]
        pull = self._shares[theirs, None] * self._sums[theirs] - self._shares[mine] * self._sums[mine]
        size = self._shares[theirs] + self._shares[mine]
        change: Doubles = self._weight * (2 * (pull * moved).sum(axis=1) + size * (moved**2).sum(axis=1))
        return change

    def swap(self, one: int, other: int, groups: Indices) -> None:
        """See `Term`."""
        moved = self._rows[one] - self._rows[other]
        self._sums[groups[other]] += moved
        self._sums[groups[one]] -= moved


class Flow:
    """weight x sum over classes of |masses to the groups - their mean over the class's own group|^2.

    With P the matrix, M = P S the masses (C, G) and T = S^T M those of groups (G, G): the sum is |M|^2 less the sum
    over groups of |T_g|^2 / size. `_into` is N = P^T S; `_pairs` is P^T P, and `_near` P^T P S.
    """

    def __init__(self, matrix: Sparse, groups: Indices, weight: float) -> None:
        self._matrix, self._turned, self._weight = matrix, matrix.T.tocsr(), weight
        self._pairs: Sparse = (self._turned @ matrix).tocsr()
        self._loops, self._lengths = matrix.diagonal(), self._pairs.diagonal()
        self._shares = 1 / np.bincount(groups)
        members = np.zeros((len(groups), len(self._shares)))
        members[np.arange(len(groups)), groups] = 1
        self._masses, self._into, self._near = (times(each, members) for each in (matrix, self._turned, self._pairs))
        self._between: Doubles = members.T @ self._masses

    def changes(self, one: int, others: Indices, groups: Indices) -> Doubles:
        """See `Term`."""
        mine, theirs, near = groups[one], groups[others], self._near
        lengths = self._lengths[one] + self._lengths[others] - 2 * _row(self._pairs, one)[others]
        pulls = near[one, theirs] - near[one, mine] - near[others, theirs] + near[others, mine]
        change: Doubles = self._weight * (2 * (pulls + lengths) - self._of_means(one, others, mine, theirs))
        return change

    def _of_means(self, one: int, others: Indices, mine: int, theirs: Indices) -> Doubles:
        """Change of sum |T_g|^2 / size, as T becomes T + v p^T + q v^T + w v v^T (p, q: rows of M, N; w = u^T P u)."""
        each = np.arange(len(others))
        p, q = self._masses[one] - self._masses[others], self._into[one] - self._into[others]
        w = self._loops[one] + self._loops[others]
        w = w - _row(self._matrix, one)[others] - _row(self._turned, one)[others]
        shares, size = self._shares, self._shares[theirs] + self._shares[mine]
        means = shares[:, None] * self._between
        corner = means[theirs, theirs] - means[theirs, mine] - means[mine, theirs] + means[mine, mine]
        step = p[each, theirs] - p[:, mine]
        weighted = shares[theirs] * q[each, theirs] - shares[mine] * q[:, mine]
        linear = (means[theirs] * p).sum(axis=1) - p @ means[mine] + (means.T[theirs] * q).sum(axis=1)
        linear += w * corner - q @ means[:, mine]
        squares = size * ((p**2).sum(axis=1) + 2 * w**2) + 2 * q**2 @ shares
        found: Doubles = 2 * linear + squares + 2 * (weighted * step + w * size * step + 2 * w * weighted)
        return found

    def swap(self, one: int, other: int, groups: Indices) -> None:
        """See `Term`."""
        mine, theirs = groups[one], groups[other]
        p, q = self._masses[one] - self._masses[other], self._into[one] - self._into[other]
        w = self._loops[one] + self._loops[other]
        w -= _row(self._matrix, one)[other] + _row(self._turned, one)[other]
        for sign, group in ((1, theirs), (-1, mine)):
            self._between[group] += sign * p
            self._between[:, group] += sign * q
            self._between[group, theirs] += sign * w
            self._between[group, mine] -= sign * w
        for masses, matrix in ((self._masses, self._turned), (self._into, self._matrix), (self._near, self._pairs)):
            moved = _row(matrix, one) - _row(matrix, other)
            masses[:, theirs] += moved
            masses[:, mine] -= moved


def _row(matrix: Sparse, number: int) -> Doubles:
    row = np.zeros(matrix.shape[1])
    part = slice(matrix.indptr[number], matrix.indptr[number + 1])
    row[matrix.indices[part]] = matrix.data[part]
    return row
