"""Can the server name the kind of thing, where it cannot name the thing?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enfpire.audit.attackers import REPEATS, cross_fits
from enfpire.leakage.channel import Channel, message_counts, of_kinds, posterior_vulnerability, shares_of
from enfpire.leakage.intervals import balanced_interval, balanced_mean
from enfpire.wire.arrays import Doubles, Indices


@dataclass(frozen=True)
class KindLeak:
    """How often the kind is named from a message, with its 95 % interval; `prior` is how often it is without one."""

    accuracy: float
    low: float
    high: float
    prior: float


def kind_attack(
    messages: Indices, labels: Indices, kinds: Indices, values: int, prior: Doubles | None = None
) -> KindLeak:
    """The Bayes attacker on kinds (C,), numbers from 0, from messages (n,) of `values` values with labels (n,).

    It learns p(message | class) from one half of the photos, as `bayes_attack` does, and names the kind whose classes
    are together the most probable. Every class weighs the same, or as `prior` (C,) says.
    """
    weights = np.ones(len(kinds)) if prior is None else prior
    right = np.zeros(len(labels))
    for known, tested in cross_fits(labels):
        rows = shares_of(message_counts(messages[known], labels[known], values, len(kinds)))
        guess = _kind_weights(weights[:, None] * rows, kinds).argmax(axis=0)
        right[tested] += guess[messages[tested]] == kinds[labels[tested]]
    shares = right / REPEATS
    low, high = balanced_interval(shares, labels, prior)
    return KindLeak(balanced_mean(shares, labels, prior), low, high, kind_prior(kinds, labels, prior))


def kind_vulnerability(channel: Channel, kinds: Indices) -> float:
    """Accuracy of the attacker that knows p(message | class): the posterior Bayes vulnerability of the kind."""
    return posterior_vulnerability(of_kinds(channel, kinds))


def kind_prior(kinds: Indices, labels: Indices, prior: Doubles | None = None) -> float:
    """How often the most frequent kind is right for classes that have photos: the largest share of them."""
    present = np.unique(labels)
    weights = np.ones(len(present)) if prior is None else prior[present]
    return float(np.bincount(kinds[present], weights=weights).max() / weights.sum())


def _kind_weights(joint: Doubles, kinds: Indices) -> Doubles:
    """Sums over the classes of each kind of weights (C, M), shape (K, M)."""
    sums = np.zeros((int(kinds.max()) + 1, joint.shape[1]))
    np.add.at(sums, kinds, joint)
    return sums
