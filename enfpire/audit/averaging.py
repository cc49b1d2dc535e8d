"""Vectors again: several messages of one photo, or of several photos of one class, and the attacker takes their mean.

The mean of m messages has 1/m of the variance of their noise: a transform that hides by noise alone is undone by
repeats. A transform without noise says the same about a photo each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from enfpire.audit.attackers import Attack, neighbour_scores, prototype_scores, scored_attack
from enfpire.audit.labelled import Labelled
from enfpire.audit.network import network_scores
from enfpire.wire.arrays import Doubles, Floats, Indices

COUNTS = (1, 2, 5, 10, 20)

Protect = Callable[[Floats, np.random.Generator], Floats]
"""What a client does: features (n, d) -> what is sent, in the same order, (n, m)."""


VectorAttacker = Callable[[Floats, Labelled], Doubles]
"""Scores (n, C) of what was sent (n, m), by one that has its own photos' messages, averaged like these."""

Means = Callable[[Labelled, Protect, int, np.random.Generator], Labelled]


def photo_repeats(
    known: Labelled,
    asked: Labelled,
    protect: Protect,
    attackers: Mapping[str, VectorAttacker],
    counts: Sequence[int] = COUNTS,
    seed: int = 0,
) -> dict[int, dict[str, Attack]]:
    """Each attacker on the mean of so many messages of each photo that was asked.

    `known` are features of the attacker's own photos: it protects them as often as the client does.
    """
    return _attacked((means_of_photos, means_of_photos), known, asked, protect, attackers, counts, seed)


def class_repeats(
    known: Labelled,
    asked: Labelled,
    protect: Protect,
    attackers: Mapping[str, VectorAttacker],
    counts: Sequence[int] = COUNTS,
    seed: int = 0,
) -> dict[int, dict[str, Attack]]:
    """Each attacker on the mean of one message each of so many photos of one class; arguments as `photo_repeats`."""
    return _attacked((_own_means_of_classes, means_of_classes), known, asked, protect, attackers, counts, seed)


def means_of_photos(photos: Labelled, protect: Protect, count: int, random: np.random.Generator) -> Labelled:
    """The mean of `count` messages of each photo."""
    total = protect(photos.vectors, random).astype(np.float64)
    for _ in range(count - 1):
        total += protect(photos.vectors, random)
    return Labelled((total / count).astype(np.float32), photos.labels)


def means_of_classes(
    photos: Labelled, protect: Protect, count: int, random: np.random.Generator, rounds: int = 1
) -> Labelled:
    """Means of one message each of `count` photos of a class, from as many disjoint sets of its photos as there are.

    A class of fewer photos makes one mean, of all of them again and again, with a message each time. More `rounds`
    divide the photos anew.
    """
    sets = [
        _disjoint(np.flatnonzero(photos.labels == label), count, random)
        for label in np.unique(photos.labels)
        for _ in range(rounds)
    ]
    chosen = np.concatenate(sets)
    sent = protect(photos.vectors[chosen.ravel()], random)
    return Labelled(sent.reshape(*chosen.shape, -1).mean(axis=1), photos.labels[chosen[:, 0]])


def _own_means_of_classes(photos: Labelled, protect: Protect, count: int, random: np.random.Generator) -> Labelled:
    """About as many means as photos, for the attacker to learn from: nothing but its own photos limits it."""
    return means_of_classes(photos, protect, count, random, rounds=count)


def _disjoint(rows: Indices, count: int, random: np.random.Generator) -> Indices:
    """Sets (s, count) of rows."""
    sets = max(1, len(rows) // count)
    return np.resize(random.permutation(rows), (sets, count))


def _attacked(
    means: tuple[Means, Means],
    known: Labelled,
    asked: Labelled,
    protect: Protect,
    attackers: Mapping[str, VectorAttacker],
    counts: Sequence[int],
    seed: int,
) -> dict[int, dict[str, Attack]]:
    found = {}
    for count in counts:
        random = np.random.default_rng((seed, count))
        own, seen = (make(photos, protect, count, random) for make, photos in zip(means, (known, asked), strict=True))
        found[count] = {
            name: scored_attack(attack(seen.vectors, own), seen.labels) for name, attack in attackers.items()
        }
    return found


def nearest_prototype(prototypes: Floats, owners: Indices) -> VectorAttacker:
    """Compares with the prototypes as the server sees them, (p, m), owners (p,)."""
    return lambda sent, _: prototype_scores(sent, prototypes, owners)


def nearest_neighbours(sent: Floats, own: Labelled) -> Doubles:
    """Compares with its own photos' messages."""
    return neighbour_scores(sent, own.vectors, own.labels)


def network(sent: Floats, own: Labelled) -> Doubles:
    """Learns from its own photos' messages."""
    return network_scores(sent, own.vectors, own.labels)
