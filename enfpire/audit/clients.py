"""Simulated clients: what is asked, photo by photo, by one that photographs the same class again and again.

Observations are whole numbers of shape (trials, n): the group asked for at each photo, or -1 where nothing was asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from enfpire.leakage.channel import Channel
from enfpire.leakage.repeats import SILENCE, draw_messages_of, remembered
from enfpire.wire.arrays import Indices

Bools = npt.NDArray[np.bool_]


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

    groups (p,): the group of each labelled photo; fits (p, G): whether the client would take its answer for the photo
    from the set of that group, held without being asked for; labels (p,). Photos of a class come at random, again and
    again where `photos` are more than it has. A group that is held is not asked for again.
    """

    groups: Indices
    fits: Bools
    labels: Indices

    def __call__(self, label: int, photos: int, trials: int, random: np.random.Generator) -> Indices:
        """Observations (trials, photos)."""
        drawn = random.choice(np.flatnonzero(self.labels == label), (trials, photos))
        asked: Indices = np.full((trials, photos), SILENCE, dtype=np.intp)
        held = np.zeros((trials, self.fits.shape[1]), dtype=bool)
        for place, rows in enumerate(drawn.T):
            groups = self.groups[rows]
            silent = (held & self.fits[rows]).any(axis=1) | held[np.arange(trials), groups]
            asked[~silent, place] = groups[~silent]
            held[~silent, groups[~silent]] = True
        return asked
