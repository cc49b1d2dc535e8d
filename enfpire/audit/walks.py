"""The attacker who links queries: forward-backward over a walk's messages, with the transitions that users follow.

L. Rabiner, "A tutorial on hidden Markov models", Proc. IEEE 77(2), 1989, section III: the posterior of the class at
every position of the walk, given the messages before it and after it. No attacker names the class at a position more
often who knows the same. Walks are whole numbers (n, T), a class a position; messages (n, T) are group numbers, or
`SILENCE` where a client with a memory did not ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from enfpire.curation.transitions import Sparse, times
from enfpire.errors import UsageError
from enfpire.leakage.channel import Channel, uniform
from enfpire.leakage.intervals import wilson
from enfpire.leakage.repeats import SILENCE, draw_messages_of, remembered
from enfpire.wire.arrays import Doubles, Indices

# Walks that are smoothed at once: (T, C, CHUNK) doubles are held.
CHUNK = 512


@dataclass(frozen=True, eq=False)
class Steps:
    """What is known of walks: prior (C,) of their first class, matrix (C, C), and the chance of a jump to anywhere."""

    prior: Doubles
    matrix: Sparse
    jumps: float = 0.0

    def ahead(self, before: Doubles) -> Doubles:
        """p(class at the next position) from that at this one, each (C, n)."""
        stepped = times(self.matrix.T.tocsr(), before)
        moved: Doubles = (1 - self.jumps) * stepped + self.jumps * before.sum(axis=0) / len(before)
        return moved

    def back(self, after: Doubles) -> Doubles:
        """p(what follows | class at this position) from that at the next one, each (C, n)."""
        moved: Doubles = (1 - self.jumps) * times(self.matrix, after) + self.jumps * after.mean(axis=0)
        return moved


@dataclass(frozen=True, eq=False)
class Named:
    """How often something is named at each position (T,): share, 95 % interval, and the best guess without messages."""

    share: Doubles
    low: Doubles
    high: Doubles
    prior: Doubles

    @property
    def worst(self) -> int:
        """The position at which it is named most often."""
        return int(self.share.argmax())


@dataclass(frozen=True)
class WalkFigures:
    """How often the class, and its area, are named from the messages of the whole walk."""

    classes: Named
    areas: Named


def exact(groups: Indices) -> Doubles:
    """p(group | class), shape (C, G), where every photo goes to its class's group; groups (C,)."""
    return np.eye(int(groups.max()) + 1)[groups]


def draw_walks(steps: Steps, walks: int, length: int, random: np.random.Generator) -> Indices:
    """Walks (walks, length)."""
    classes = len(steps.prior)
    found = np.empty((walks, length), dtype=np.intp)
    found[:, 0] = random.choice(classes, walks, p=steps.prior)
    ends = np.cumsum(steps.matrix.data)
    starts = np.append(0.0, ends)[steps.matrix.indptr]
    for position in range(1, length):
        here = found[:, position - 1]
        aims = starts[here] + random.random(walks) * (starts[here + 1] - starts[here])
        places = np.searchsorted(ends, aims, side="right")
        places = np.clip(places, steps.matrix.indptr[here], steps.matrix.indptr[here + 1] - 1)
        jumped = random.random(walks) < steps.jumps
        found[:, position] = np.where(jumped, random.integers(classes, size=walks), steps.matrix.indices[places])
    return found


def likelihoods(messages: Indices, emission: Doubles) -> Iterator[Doubles]:
    """p(message at a position | class), shape (C, n), position by position; messages (n, T), emission (C, G).

    Silence says that the photo's group is one of those asked for before it in the walk.
    """
    held = np.zeros((len(messages), emission.shape[1]))
    for column in messages.T:
        asked = column != SILENCE
        table = emission[:, np.maximum(column, 0)]
        table[:, ~asked] = emission @ held[~asked].T
        held[np.flatnonzero(asked), column[asked]] = 1
        yield table


def posteriors(steps: Steps, tables: list[Doubles]) -> Iterator[Doubles]:
    """p(class | the walk's messages), shape (C, n), from the last position to the first; tables as of `likelihoods`.

    Raises `UsageError` for messages that the transitions rule out.
    """
    forward: list[Doubles] = []
    for table in tables:
        before = steps.ahead(forward[-1]) if forward else np.tile(steps.prior[:, None], table.shape[1])
        forward.append(_shares(before * table))
    after = np.ones_like(forward[-1])
    for reached, table in zip(reversed(forward), reversed(tables), strict=True):
        yield _shares(reached * after)
        after = steps.back(after * table)
        after /= after.max(axis=0)


def _shares(weights: Doubles) -> Doubles:
    sums = weights.sum(axis=0)
    if not (sums > 0).all():
        raise UsageError("a walk has messages that the transitions rule out: allow for jumps")
    shares: Doubles = weights / sums
    return shares


def attack_walks(
    steps: Steps, walks: Indices, emission: Doubles, areas: Indices, memory: bool = False, seed: int = 0
) -> WalkFigures:
    """How often the class, and its area, are named at each position of walks (n, T).

    emission (C, G): p(group | class); areas (C,): numbers of areas. With `memory` a client asks for a group once in
    a walk, and the server sees when it does not.
    """
    channel = Channel(uniform(len(emission)), emission)
    messages = draw_messages_of(channel, walks, np.random.default_rng(seed))
    return attack_messages(steps, walks, remembered(messages) if memory else messages, emission, areas)


def attack_messages(steps: Steps, walks: Indices, messages: Indices, emission: Doubles, areas: Indices) -> WalkFigures:
    """`attack_walks` on the messages (n, T) that were sent along the walks (n, T)."""
    right = np.zeros((2, walks.shape[1]))
    for first in range(0, len(walks), CHUNK):
        part = slice(first, first + CHUNK)
        right += _right(steps, walks[part], list(likelihoods(messages[part], emission)), areas)
    priors = _priors(steps, walks.shape[1], areas)
    classes, named = (_named(*each, len(walks)) for each in zip(right, priors, strict=True))
    return WalkFigures(classes, named)


def _right(steps: Steps, walks: Indices, tables: list[Doubles], areas: Indices) -> Doubles:
    """How many walks' class and area are named, shape (2, T)."""
    joined = _membership(areas)
    found = np.zeros((2, walks.shape[1]))
    places = range(walks.shape[1] - 1, -1, -1)
    for position, posterior in zip(places, posteriors(steps, tables), strict=True):
        truth = walks[:, position]
        found[0, position] = (posterior.argmax(axis=0) == truth).sum()
        found[1, position] = (times(joined, posterior).argmax(axis=0) == areas[truth]).sum()
    return found


def _priors(steps: Steps, length: int, areas: Indices) -> Doubles:
    """Chance of the best guess of class and area at each position without any message, shape (2, T)."""
    found = np.zeros((2, length))
    chances = steps.prior[:, None]
    for position in range(length):
        found[:, position] = chances.max(), times(_membership(areas), chances).max()
        chances = steps.ahead(chances)
    return found


def _membership(areas: Indices) -> Sparse:
    return csr_array((np.ones(len(areas)), (areas, np.arange(len(areas)))))


def _named(right: Doubles, prior: Doubles, total: int) -> Named:
    low, high = np.array([wilson(each, total) for each in right]).T
    return Named(right / total, low, high, prior)
