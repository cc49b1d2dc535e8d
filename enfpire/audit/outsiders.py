"""Outsiders: photos of no enrolled class. Does the client notice, and what does the message tell the server?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enfpire.audit.attackers import Attack, bayes_attack
from enfpire.audit.measures import placements
from enfpire.leakage.intervals import wilson
from enfpire.wire.arrays import Doubles, Floats, Indices

OUTSIDER = -1


@dataclass(frozen=True)
class Measured:
    """A share, with its 95 % interval."""

    value: float
    low: float
    high: float


def auroc(known: Floats, outsiders: Floats) -> Measured:
    """Chance that a known photo's score is higher than an outsider's, ties counting half; scores (n,) and (m,).

    Mann and Whitney's U over n m; give one of each at least. Its variance is DeLong's (Biometrics 44(3), 1988); the
    interval is Wilson's for the number of trials of that variance, the smaller of n and m where nothing varies.
    """
    above, below = placements(known, outsiders), placements(outsiders, known)
    value, variance = float(above.mean()), _variance_of_mean(above) + _variance_of_mean(below)
    fewest = min(len(known), len(outsiders))
    trials = value * (1 - value) / variance if variance > 0 and 0 < value < 1 else fewest
    low, high = wilson(value * trials, trials)
    return Measured(value, min(low, value), max(high, value))


def _variance_of_mean(values: Doubles) -> float:
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0


def accepted(scores: Floats, unknown_below: float) -> Measured:
    """Share of scores (n,) that pass the threshold: for outsiders, the false-accept rate."""
    passed = int((scores >= unknown_below).sum())
    low, high = wilson(passed, len(scores))
    return Measured(passed / len(scores) if len(scores) else 0.0, low, high)


def group_leak(known: Indices, outsiders: Indices, values: int) -> Attack:
    """The Bayes attacker on whether a photo shows an enrolled class, from the groups (n,) of known photos and (m,) of
    outsiders, below `values`. Both weigh the same: the prior is one half.
    """
    strange = np.repeat([0, 1], [len(known), len(outsiders)])
    return bayes_attack(np.concatenate([known, outsiders]), strange, values)


def renumbered(classes: int, outside: Indices) -> Indices:
    """New number of each class (C,) where those `outside` (h,) are left out: theirs is -1."""
    inside = ~np.isin(np.arange(classes), outside)
    return np.where(inside, np.cumsum(inside) - 1, OUTSIDER)


def draw_outside(classes: int, count: int, seed: int) -> Indices:
    """`count` of the classes, at random."""
    return np.random.default_rng(seed).choice(classes, count, replace=False)
