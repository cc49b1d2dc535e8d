"""Groups by local search: swaps of two classes, as long as they make the groups better.

What is better: classes that are confused share a group (`affinity`), while groups may not tell the kind too well, nor
mix popular classes with rare ones. A swap leaves every group its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from enfpire.wire.arrays import Doubles, Indices

MOST_SWAPS = 2_000
LEAST_GAIN = 1e-9


class Penalty(Protocol):
    """What groups must not do, counted in the units of the affinity."""

    def of(self, groups: Indices) -> float:
        """The penalty of groups (C,)."""
        ...

    def changes(self, groups: Indices) -> Doubles:
        """By how much the penalty grows for each swap of two classes, shape (C, C)."""
        ...


@dataclass(frozen=True)
class KindPenalty:
    """Groups that tell the kind: kinds (C,); the best guess from a group may be right for a share `most` of classes."""

    kinds: Indices
    most: float
    weight: float = 50.0

    def of(self, groups: Indices) -> float:
        """As `Penalty`."""
        told = kind_counts(groups, self.kinds).max(axis=1).sum()
        return self.weight * max(0.0, float(told) - self.most * len(groups))

    def changes(self, groups: Indices) -> Doubles:
        """As `Penalty`: the hinge of the share over `most`."""
        counts = kind_counts(groups, self.kinds)
        largest = counts.max(axis=1)
        # group, kind that leaves, kind that comes -> how much its largest kind grows
        each = np.eye(counts.shape[1])
        grows = (counts[:, None, None, :] - each[None, :, None, :] + each[None, None, :, :]).max(axis=3)
        grows -= largest[:, None, None]
        mine = grows[groups[:, None], self.kinds[:, None], self.kinds[None, :]]
        allowed, now = self.most * len(groups), float(largest.sum())
        over: Doubles = np.maximum(0, now + mine + mine.T - allowed) - max(0.0, now - allowed)
        return self.weight * over


@dataclass(frozen=True)
class PriorPenalty:
    """Groups that mix popular classes with rare ones: priors (C,).

    The server names the most popular class of the group: it is right with the sum of the groups' largest priors.
    """

    priors: Doubles
    weight: float

    def of(self, groups: Indices) -> float:
        """As `Penalty`."""
        return self.weight * float(_two_largest(self.priors, groups)[0].sum())

    def changes(self, groups: Indices) -> Doubles:
        """As `Penalty`: the growth of the sum of the groups' largest priors."""
        first, second, holder = _two_largest(self.priors, groups)
        others = np.where(holder[groups] == np.arange(len(groups)), second[groups], first[groups])
        grows = np.maximum(others[:, None], self.priors[None, :]) - first[groups][:, None]
        scaled: Doubles = self.weight * (grows + grows.T)
        return scaled


@dataclass(frozen=True)
class SizePenalty:
    """Members that stand for `sizes` (C,) classes each are swapped for equals alone."""

    sizes: Indices

    def of(self, groups: Indices) -> float:  # noqa: ARG002 - the protocol's
        """As `Penalty`."""
        return 0.0

    def changes(self, groups: Indices) -> Doubles:  # noqa: ARG002 - the protocol's
        """As `Penalty`."""
        return np.where(self.sizes[:, None] == self.sizes[None, :], 0.0, np.inf)


def kind_counts(groups: Indices, kinds: Indices) -> Doubles:
    """How many classes of each kind each group has, shape (G, kinds)."""
    counts = np.zeros((int(groups.max()) + 1, int(kinds.max()) + 1))
    np.add.at(counts, (groups, kinds), 1)
    return counts


def _two_largest(values: Doubles, groups: Indices) -> tuple[Doubles, Doubles, Indices]:
    """Largest and second largest value of each group, and which class has the largest."""
    count = int(groups.max()) + 1
    first, second, holder = np.zeros(count), np.zeros(count), np.full(count, -1)
    for group in range(count):
        own = np.flatnonzero(groups == group)
        order = own[np.argsort(-values[own], kind="stable")]
        first[group], holder[group] = values[order[0]], order[0]
        second[group] = values[order[1]] if len(order) > 1 else 0.0
    return first, second, holder


def total(groups: Indices, affinity: Doubles, penalties: tuple[Penalty, ...] = ()) -> float:
    """Affinity (C, C) inside groups (C,), less the penalties: what `regroup` makes larger."""
    inside = float(affinity[groups[:, None] == groups[None, :]].sum()) / 2
    return inside - sum(penalty.of(groups) for penalty in penalties)


def regroup(groups: Indices, affinity: Doubles, penalties: tuple[Penalty, ...] = ()) -> Indices:
    """Better groups (C,) of the same sizes, for affinity (C, C): until no swap of two classes improves them."""
    better = groups.copy()
    # swaps that touch different groups do not change each other's gain, unless a penalty adds up over all groups
    at_once = 1 if penalties else max(1, (int(groups.max()) + 1) // 2)
    for _ in range(MOST_SWAPS):
        gains = swap_gains(better, affinity)
        for penalty in penalties:
            gains -= penalty.changes(better)
        gains[better[:, None] == better[None, :]] = 0
        swaps = _best_swaps(gains, better, at_once)
        if not swaps:
            break
        for one, other in swaps:
            better[one], better[other] = better[other], better[one]
    return better


def swap_gains(groups: Indices, affinity: Doubles) -> Doubles:
    """By how much the affinity inside groups grows for each swap of two classes, shape (C, C).

    Kernighan & Lin, "An efficient heuristic procedure for partitioning graphs", 1970.
    """
    classes = len(groups)
    towards = np.zeros((int(groups.max()) + 1, classes))
    np.add.at(towards, groups, affinity)
    moves = towards[groups].T - towards[groups, np.arange(classes)][:, None]
    gains: Doubles = moves + moves.T - 2 * affinity
    return gains


def _best_swaps(gains: Doubles, groups: Indices, most: int) -> list[tuple[int, int]]:
    partners = gains.argmax(axis=1)
    best = gains[np.arange(len(gains)), partners]
    swaps: list[tuple[int, int]] = []
    touched: set[int] = set()
    for one in np.argsort(-best, kind="stable").tolist():
        if best[one] <= LEAST_GAIN or len(swaps) == most:
            break
        other = int(partners[one])
        if touched.isdisjoint({int(groups[one]), int(groups[other])}):
            swaps.append((one, other))
            touched |= {int(groups[one]), int(groups[other])}
    return swaps
