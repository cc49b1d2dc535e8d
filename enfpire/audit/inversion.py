"""Inversion: how much of the feature can be reconstructed from the message.

The attacker has other photos' features and messages. From vectors it reconstructs by ridge regression, from discrete
messages by the mean feature of the message: both are the linear estimates of the least mean squared error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enfpire.audit.attackers import Attack, prototype_scores, scored_attack
from enfpire.leakage.intervals import balanced_mean, balanced_mean_interval
from enfpire.wire.arrays import Doubles, Floats, Indices, normalised

PENALTIES = 10.0 ** np.arange(-6, 3)


@dataclass(frozen=True, eq=False)
class Likeness:
    """Cosine similarity of reconstructions to the true features (mean, 95 % interval), classes weighing the same."""

    similarity: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Inversion:
    """How alike reconstructions are, and the global mean feature, which needs no message; and what they name.

    `named` compares a reconstruction with the prototypes.
    """

    reconstructed: Likeness
    baseline: Likeness
    named: Attack


def inversion(
    reconstructions: Floats,
    features: Floats,
    labels: Indices,
    known: Floats,
    prototypes: Floats,
    owners: Indices,
) -> Inversion:
    """Compare reconstructions (n, d) with features (n, d) of photos with labels (n,).

    known (N, d): the features that the attacker had; prototypes (p, d) and their owners (p,).
    """
    mean = np.broadcast_to(known.mean(axis=0), features.shape)
    return Inversion(
        reconstructed=likeness(reconstructions, features, labels),
        baseline=likeness(mean, features, labels),
        named=scored_attack(prototype_scores(reconstructions, prototypes, owners), labels),
    )


def likeness(reconstructions: Floats, features: Floats, labels: Indices) -> Likeness:
    """Mean cosine similarity of reconstructions (n, d) and features (n, d); labels (n,)."""
    cosines = (normalised(reconstructions) * normalised(features)).sum(axis=1).astype(np.float64)
    low, high = balanced_mean_interval(cosines, labels)
    return Likeness(balanced_mean(cosines, labels), max(-1.0, low), min(1.0, high))


def from_vectors(sent: Floats, known_sent: Floats, known: Floats) -> Floats:
    """Features (n, d) of what was sent (n, m), by ridge regression on known messages (N, m) and features (N, d).

    The penalty, relative to the mean variance of a message's coordinates, has the least generalised cross-validation
    score (Golub, Heath, Wahba, Technometrics 21(2), 1979).
    """
    centre, mean = known_sent.mean(axis=0), known.mean(axis=0)
    left, values, right = np.linalg.svd((known_sent - centre).astype(np.float64), full_matrices=False)
    targets = left.T @ (known - mean).astype(np.float64)
    outside = float(((known - mean).astype(np.float64) ** 2).sum() - (targets**2).sum())
    unit = float((values**2).sum()) / known_sent.shape[1]
    kept = min(PENALTIES, key=lambda penalty: _gcv(values, targets, outside, penalty * unit, len(known)))
    reconstructed: Floats = (mean + ((sent - centre) @ right.T * _shrunk(values, kept * unit)) @ targets).astype(
        np.float32
    )
    return reconstructed


def _shrunk(values: Doubles, penalty: float) -> Doubles:
    shrunk: Doubles = values / np.maximum(values**2 + penalty, np.finfo(float).tiny)
    return shrunk


def _gcv(values: Doubles, targets: Doubles, outside: float, penalty: float, photos: int) -> float:
    """Residual over the squared share of freedom that is left; `outside` is what no penalty explains."""
    fitted = values * _shrunk(values, penalty)
    residual = outside + float((((1 - fitted)[:, None] * targets) ** 2).sum())
    left = 1 - (fitted.sum() + 1) / photos
    return residual / left**2 if left > 0 else np.inf


def from_messages(messages: Indices, known_messages: Indices, known: Floats) -> Floats:
    """Features (n, d) of discrete messages (n,): the mean of the known features (N, d) with that message (N,).

    A message that no known photo sent is reconstructed as the mean of all.
    """
    values = int(max(messages.max(), known_messages.max())) + 1
    sums = np.zeros((values, known.shape[1]))
    np.add.at(sums, known_messages, known)
    counts = np.bincount(known_messages, minlength=values)
    means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], known.mean(axis=0))
    reconstructed: Floats = means[messages].astype(np.float32)
    return reconstructed
