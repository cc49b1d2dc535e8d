"""Simulated clients: what is asked, photo by photo, by one that photographs the same class again and again.

Observations are whole numbers of shape (trials, n): the group asked for at each photo, or -1 where nothing was asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from enfpire.leakage.channel import Channel
from enfpire.leakage.repeats import SILENCE, draw_messages_of, remembered
from enfpire.wire.arrays import Bools, Floats, Indices


class Simulator(Protocol):
    """A client; the first m columns must be what it asks for m photos, and what it asks may depend on the past only."""

    def __call__(self, label: int, photos: int, trials: int, random: np.random.Generator) -> Indices:
        """Observations (trials, photos) of clients that photograph the class `label`."""
        ...


@dataclass(frozen=True, eq=False)
class Forgetful:
    """Asks for every photo; groups are drawn from the channel."""

    channel: Channel

    def __call__(self, label: int, photos: int, trials: int, random: np.random.Generator) -> Indices:
        """Observations (trials, photos)."""
        return draw_messages_of(self.channel, np.full((trials, photos), label), random)


@dataclass(frozen=True, eq=False)
class Remembering:
    """Asks for every group once; groups are drawn from the channel."""

    channel: Channel

    def __call__(self, label: int, photos: int, trials: int, random: np.random.Generator) -> Indices:
        """Observations (trials, photos)."""
        return remembered(Forgetful(self.channel)(label, photos, trials, random))


@dataclass(frozen=True, eq=False)
class Looking:
    """Looks first into the sets that it holds, and asks for the photo's group only where none of them fits.

    scores (p, G) of each labelled photo; a set that is held is taken for a photo whose score of its group is within
    `slack` of the best; labels (p,). Photos of a class come at random, again and again where `photos` are more than it
    has.
    """

    scores: Floats
    slack: float
    labels: Indices

    def __call__(self, label: int, photos: int, trials: int, random: np.random.Generator) -> Indices:
        """Observations (trials, photos)."""
        own = self.scores[self.labels == label]
        return follow(own, fits_within(own, self.slack), random.choice(len(own), (trials, photos)))[0]


def fits_within(scores: Floats, slack: float) -> Bools:
    """Which groups a client would take for each photo, were their sets held: scores (n, G), result (n, G)."""
    fits: Bools = scores >= scores.max(axis=1, keepdims=True) - np.float32(slack)
    return fits


def follow(scores: Floats, fits: Bools, rows: Indices) -> tuple[Indices, Indices]:
    """What clients ask (t, n), -1 for silence, and whose set answers (t, n), for photos `rows` (t, n) of scores (p, G).

    A client takes the best of the groups that it holds and that fit; only where there is none it asks for the best of
    all.
    """
    trials, best = np.arange(len(rows)), scores.argmax(axis=1)
    held = np.zeros((len(rows), scores.shape[1]), dtype=bool)
    asked, answering = np.full(rows.shape, SILENCE), np.empty(rows.shape, np.intp)
    for place, photos in enumerate(rows.T):
        possible = held & fits[photos]
        silent = possible.any(axis=1)
        known = np.where(possible, scores[photos], -np.inf).argmax(axis=1)
        answering[:, place] = np.where(silent, known, best[photos])
        asked[~silent, place] = answering[~silent, place]
        held[trials, answering[:, place]] = True
    return asked, answering
