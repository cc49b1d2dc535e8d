"""Attackers on one message. They know transform, bundle and gallery, and have labelled photos.

Each is tried on photos that it was not trained on; but for the oracle, which knows the true distribution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from enfpire.leakage.channel import Channel, message_counts, shares_of
from enfpire.leakage.intervals import balanced_interval, balanced_mean
from enfpire.wire.arrays import Bools, Doubles, Floats, Indices, normalised

REPEATS = 5
NEIGHBOURS = 5
NEAREST_SHARE = 1e-3
BEST = 5


@dataclass(frozen=True, eq=False)
class Attack:
    """What an attacker named for photos with labels (n,): whether its first guess, and one of its five best, are right.

    right and right_in_five (n,) are shares of the attempts on that photo, in [0, 1]. Accuracies weigh every class the
    same, or as `prior` (C,) says.
    """

    right: Doubles
    right_in_five: Doubles
    labels: Indices
    prior: Doubles | None = None

    @property
    def accuracy(self) -> float:
        """Share of photos that are named."""
        return balanced_mean(self.right, self.labels, self.prior)

    @property
    def accuracy_in_five(self) -> float:
        """Share of photos whose class is among the five best guesses."""
        return balanced_mean(self.right_in_five, self.labels, self.prior)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy."""
        return balanced_interval(self.right, self.labels, self.prior)

    @property
    def interval_in_five(self) -> tuple[float, float]:
        """95 % interval of the accuracy of five guesses."""
        return balanced_interval(self.right_in_five, self.labels, self.prior)


def bayes_accuracy(messages: Indices, labels: Indices, values: int) -> float:
    """Accuracy of `bayes_attack`, every class weighing the same."""
    return bayes_attack(messages, labels, values).accuracy


def bayes_attack(messages: Indices, labels: Indices, values: int, prior: Doubles | None = None) -> Attack:
    """The Bayes-optimal attacker on discrete messages (n,) of `values` values, labels (n,).

    It learns p(message | class) as a histogram from one half of the photos, and names for each photo of the
    other half the class that is most probable given its message; both halves, five times. No attacker can
    do better on average than G/C for C equally likely classes; a finite sample scatters around that.
    """
    ranks = np.zeros((2, len(labels)))
    for known, tested in cross_fits(labels):
        rows = shares_of(message_counts(messages[known], labels[known], values, int(labels.max()) + 1))
        ranks[:, tested] += _right(_best(_scores(rows, prior), BEST), messages[tested], labels[tested])
    first, five = ranks / REPEATS
    return Attack(first, five, labels, prior)


def oracle_attack(channel: Channel, messages: Indices, labels: Indices) -> Attack:
    """The attacker that knows p(message | class) and the prior; messages (n,), labels (n,)."""
    return Attack(*_right(_best(channel.joint, BEST), messages, labels), labels, channel.prior)


def popularity_attack(prior: Doubles, labels: Indices) -> Attack:
    """The attacker that sees nothing, and names the classes of the largest prior (C,)."""
    unseen = np.zeros(len(labels), dtype=np.intp)
    return Attack(*_right(_best(prior[:, None], BEST), unseen, labels), labels, prior)


def cross_fits(labels: Indices) -> Iterator[tuple[Bools, Bools]]:
    """Which photos an attacker learns from, and on which it is tried: both ways round, five times."""
    random = np.random.default_rng(0)
    for _ in range(REPEATS):
        half = _halves(labels, random)
        yield ~half, half
        yield half, ~half


def _halves(labels: Indices, random: np.random.Generator) -> Bools:
    """Half of every class, at random."""
    half = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        half[rows[: (len(rows) + int(random.integers(2))) // 2]] = True
    return half


def _scores(rows: Doubles, prior: Doubles | None) -> Doubles:
    scores: Doubles = rows if prior is None else prior[: len(rows), None] * rows
    return scores


def _best(scores: Doubles, count: int) -> Indices:
    """The classes that fit each message best: scores (C, M), result (M, count), best first."""
    best: Indices = np.argsort(-scores.T, axis=1, kind="stable")[:, :count]
    return best


def _right(best: Indices, messages: Indices, labels: Indices) -> tuple[Doubles, Doubles]:
    """Whether the first guess is right, and one of all of them."""
    hits = best[messages] == labels[:, None]
    return hits[:, 0].astype(np.float64), hits.any(axis=1).astype(np.float64)


def scored_attack(scores: Doubles, labels: Indices, prior: Doubles | None = None) -> Attack:
    """The attacker that names the classes of the largest scores (n, C) for photos with labels (n,)."""
    return Attack(*_right(_best(scores.T, BEST), np.arange(len(labels)), labels), labels, prior)


def nearest_prototype_accuracy(sent: Floats, labels: Indices, prototypes: Floats, owners: Indices) -> float:
    """Names the class of the prototype (p, m) that is most similar to the vector that was sent (n, m)."""
    return scored_attack(prototype_scores(sent, prototypes, owners), labels).accuracy


def prototype_scores(sent: Floats, prototypes: Floats, owners: Indices) -> Doubles:
    """Cosine similarity of vectors (n, m) to the nearest prototype (p, m) of each class, shape (n, C)."""
    return _nearest(normalised(sent) @ normalised(prototypes).T, owners)


def neighbours_accuracy(sent: Floats, labels: Indices, known: Floats, known_labels: Indices) -> float:
    """kNN: the most frequent class among the labelled photos' protected features (N, m) nearest to each (n, m)."""
    return scored_attack(neighbour_scores(sent, known, known_labels), labels).accuracy


def neighbour_scores(sent: Floats, known: Floats, known_labels: Indices) -> Doubles:
    """Sum of the similarities of each class among the five nearest of (N, m) to each (n, m), shape (n, C).

    Classes with no vote, or as many, are ranked by their nearest.
    """
    similarities = normalised(sent) @ normalised(known).T
    top = np.argsort(-similarities, axis=1)[:, :NEIGHBOURS]
    votes = NEAREST_SHARE * _nearest(similarities, known_labels)
    rows = np.arange(len(sent))[:, None]
    np.add.at(votes, (rows, known_labels[top]), np.take_along_axis(similarities, top, axis=1))
    return votes


def _nearest(similarities: Floats, owners: Indices) -> Doubles:
    """The largest of the similarities (n, p) of each class, shape (n, C); -1 for a class that owns none."""
    order = np.argsort(owners, kind="stable")
    present, starts = np.unique(owners[order], return_index=True)
    scores = np.full((len(similarities), int(owners.max()) + 1), -1.0)
    scores[:, present] = np.maximum.reduceat(similarities[:, order], starts, axis=1)
    return scores
