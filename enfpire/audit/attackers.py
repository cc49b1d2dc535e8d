"""Attackers on one message. They know transform, bundle and gallery, and have labelled photos.

Each returns its accuracy, every class weighing the same, on photos that it was not trained on.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from enfpire.audit.measures import balanced_accuracy
from enfpire.wire.arrays import Floats, Indices, normalised

NEIGHBOURS = 5


def bayes_accuracy(messages: Indices, labels: Indices, values: int, repeats: int = 5, seed: int = 0) -> float:
    """The Bayes-optimal attacker on discrete messages (n,) of `values` values, labels (n,).

    It learns p(message | class) as a histogram from one half of the photos, and names for each photo of the
    other half the class that is most probable given its message; both halves, `repeats` times. No attacker can
    do better on average than G/C for C equally likely classes; a finite sample scatters around that.
    """
    random = np.random.default_rng(seed)
    found = [_cross_fitted(messages, labels, values, _halves(labels, random)) for _ in range(repeats)]
    return float(np.mean(found))


def _halves(labels: Indices, random: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Half of every class, at random."""
    half = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        half[rows[: (len(rows) + int(random.integers(2))) // 2]] = True
    return half


def _cross_fitted(messages: Indices, labels: Indices, values: int, half: npt.NDArray[np.bool_]) -> float:
    right = np.zeros(len(labels), dtype=bool)
    for test in (half, ~half):
        table = np.zeros((values, int(labels.max()) + 1))
        np.add.at(table, (messages[~test], labels[~test]), 1)
        guess = (table / np.maximum(table.sum(axis=0), 1)).argmax(axis=1)
        right[test] = guess[messages[test]] == labels[test]
    return balanced_accuracy(right, labels)


def nearest_prototype_accuracy(sent: Floats, labels: Indices, prototypes: Floats, owners: Indices) -> float:
    """Names the class of the prototype (p, m) that is most similar to the vector that was sent (n, m)."""
    guess = owners[(normalised(sent) @ normalised(prototypes).T).argmax(axis=1)]
    return balanced_accuracy(guess == labels, labels)


def neighbours_accuracy(sent: Floats, labels: Indices, known: Floats, known_labels: Indices) -> float:
    """kNN: the most frequent class among the labelled photos' protected features (N, m) nearest to each (n, m)."""
    similarities = normalised(sent) @ normalised(known).T
    top = np.argsort(-similarities, axis=1)[:, :NEIGHBOURS]
    votes = np.zeros((len(sent), int(known_labels.max()) + 1))
    rows = np.arange(len(sent))[:, None]
    np.add.at(votes, (rows, known_labels[top]), np.take_along_axis(similarities, top, axis=1))
    return balanced_accuracy(votes.argmax(axis=1) == labels, labels)
