"""The same thing again: attackers on n different photos of one class, all linked, silence counted as a message.

They are oracles: they know what the client does for each class, from the channel or from simulated clients of that
class. They are tried on other clients than they learned from, so that what was learned by heart is worth nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from enfpire.audit.clients import Forgetful, Simulator
from enfpire.leakage.channel import Channel
from enfpire.leakage.intervals import balanced_interval, balanced_mean
from enfpire.leakage.repeats import SILENCE, in_order, likelihoods
from enfpire.wire.arrays import Doubles, Indices

PHOTOS = (1, 2, 5, 10, 20)
TRIALS = 2_000
BLOCK = 4_000_000


@dataclass(frozen=True)
class Repeats:
    """How often the class is named after so many photos of it, with a 95 % interval, and by which attacker."""

    photos: int
    attacker: str
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Watched:
    """What clients asked: asked (t, n) as in `enfpire.audit.clients`, labels (t,): their class.

    Whoever learns from them weighs every class the same, or as `prior` (C,) says.
    """

    asked: Indices
    labels: Indices
    prior: Doubles | None = None

    def until(self, photos: int) -> Watched:
        """The same clients after their first photos."""
        return replace(self, asked=self.asked[:, :photos])


Attacker = Callable[[Watched, Indices], Indices]
"""Learns from clients that were watched, and names the class of others from what they asked (t, n): (t,)."""


def known_channel_repeats(
    channel: Channel, random: np.random.Generator, trials: int = TRIALS, photos: Sequence[int] = PHOTOS
) -> tuple[Repeats, ...]:
    """Clients without a memory, `trials` a class; the attacker knows the channel, and counts messages.

    Their order says nothing. Classes weigh as the channel's prior says.
    """
    clients = watch(Forgetful(channel), channel.classes, max(photos), trials, random)
    found = []
    for number in photos:
        seen = clients.until(number)
        guess = _most_likely(seen.asked, channel.classes, lambda asked: likelihoods(channel, asked), channel.prior)
        found.append(_scored(number, "counts", guess, seen.labels, channel.prior))
    return tuple(found)


def learned_repeats(
    simulate: Simulator,
    classes: int,
    random: np.random.Generator,
    trials: int = TRIALS,
    photos: Sequence[int] = PHOTOS,
    attackers: Mapping[str, Attacker] | None = None,
    prior: Doubles | None = None,
) -> tuple[Repeats, ...]:
    """Any client, `trials` a class, half of them to learn from: every attacker after every number of photos.

    Classes weigh the same, or as `prior` (C,) says. The estimates approach those of attackers that know the client's
    true behaviour from below as `trials` grow.
    """
    known, tested = (watch(simulate, classes, max(photos), trials // 2, random) for _ in range(2))
    known = replace(known, prior=prior)
    return tuple(
        _scored(number, name, attack(known.until(number), tested.until(number).asked), tested.labels, prior)
        for number in photos
        for name, attack in (ATTACKERS if attackers is None else attackers).items()
    )


def strongest(found: Iterable[Repeats]) -> dict[int, Repeats]:
    """The strongest attacker for each number of photos."""
    best: dict[int, Repeats] = {}
    for one in found:
        if one.photos not in best or one.accuracy > best[one.photos].accuracy:
            best[one.photos] = one
    return best


def watch(simulate: Simulator, classes: int, photos: int, trials: int, random: np.random.Generator) -> Watched:
    """`trials` simulated clients of every class."""
    asked = [simulate(label, photos, trials, random) for label in range(classes)]
    return Watched(np.concatenate(asked), np.repeat(np.arange(classes), trials))


def by_order(known: Watched, asked: Indices) -> Indices:
    """Knows by heart in which order groups are asked for the first time; sees no clock, hence no silence."""
    return _by_heart(replace(known, asked=_first_asked(known.asked)), _first_asked(asked))


def by_places(known: Watched, asked: Indices) -> Indices:
    """Knows by heart at which photo which group is asked for, and where the client is silent."""
    return _by_heart(known, asked)


def by_steps(known: Watched, asked: Indices) -> Indices:
    """Knows what a client does next, group or silence, given the groups that it asked for before.

    The chances of the steps multiply. Optimal where the next step depends on the set of these groups and on the photo
    alone, as for a client that remembers sets; it needs far fewer clients to learn from than knowing by heart.
    """
    steps, before = _steps(np.concatenate([known.asked, asked]))
    classes, learned = int(known.labels.max()) + 1, len(known.asked)
    owners = np.repeat(known.labels, known.asked.shape[1])
    done, held = (_counts(of[:learned].ravel(), owners, int(of.max()) + 1, classes) for of in (steps, before))
    average = np.asarray(done.sum(axis=1)).ravel()
    total = np.asarray(held.sum(axis=1)).ravel()

    def scores(rows: Indices) -> Doubles:
        logs = np.zeros((len(rows), classes))
        for step, place in zip(steps[learned:][rows].T, before[learned:][rows].T, strict=True):
            usual = ((average[step] + 1) / (total[place] + 2))[:, None]
            logs += np.log((done[step].toarray() + usual) / (held[place].toarray() + 1))
        return logs

    _, first, like = np.unique(asked @ _names(asked.shape[1]), return_index=True, return_inverse=True)
    return _most_likely(first, classes, scores, known.prior)[like]


ATTACKERS: Mapping[str, Attacker] = {"order": by_order, "places": by_places, "steps": by_steps}


def _scored(photos: int, attacker: str, guess: Indices, labels: Indices, prior: Doubles | None = None) -> Repeats:
    right = guess == labels
    low, high = balanced_interval(right, labels, prior)
    return Repeats(photos, attacker, balanced_mean(right, labels, prior), low, high)


def _most_likely(
    rows: Indices, classes: int, score: Callable[[Indices], Doubles], prior: Doubles | None = None
) -> Indices:
    """The class of the largest log likelihood of each row, computed in blocks."""
    size = max(1, BLOCK // classes)
    with np.errstate(divide="ignore"):
        weights = 0 if prior is None else np.log(prior)
    blocks = [(score(rows[start : start + size]) + weights).argmax(axis=1) for start in range(0, len(rows), size)]
    return np.concatenate(blocks)


def _by_heart(known: Watched, asked: Indices) -> Indices:
    """The class that did this most often, times its prior; class 0 for what nobody did."""
    rows = np.concatenate([known.asked, asked])
    _, numbers = np.unique(rows @ _names(rows.shape[1]), return_inverse=True)
    classes, learned = int(known.labels.max()) + 1, len(known.asked)
    pairs, counts = np.unique(numbers[:learned] * classes + known.labels, return_counts=True)
    weights = counts if known.prior is None else counts * known.prior[pairs % classes]
    rising = np.argsort(weights, kind="stable")
    favourite = np.zeros(int(numbers.max()) + 1, dtype=np.intp)
    favourite[pairs[rising] // classes] = pairs[rising] % classes  # the last that is written weighs most
    return favourite[numbers[learned:]]


def _first_asked(asked: Indices) -> Indices:
    return in_order(np.where(_again(asked), SILENCE, asked))


def _again(asked: Indices) -> Indices:
    """Whether a group was asked for before in its row (t, n)."""
    before = [(asked[:, :place] == asked[:, place, None]).any(axis=1) for place in range(asked.shape[1])]
    return np.stack(before, axis=1)


def _steps(asked: Indices) -> tuple[Indices, Indices]:
    """Numbers of what is done at each photo given the groups asked for before, and of these groups; both (t, n)."""
    names = _names(int(asked.max()) + 2)  # their sum names a set of groups, whatever their order
    news = np.where((asked == SILENCE) | _again(asked), 0, names[asked])
    held = np.cumsum(news, axis=1) - news
    _, before = np.unique(held, return_inverse=True)
    _, steps = np.unique(before.ravel() * (len(names) + 1) + asked.ravel() + 1, return_inverse=True)
    return steps.reshape(asked.shape), before.reshape(asked.shape)


def _names(count: int) -> Indices:
    """Random numbers whose sums, modulo 2^64, tell sets and rows apart: n of them collide with chance n^2 / 2^64."""
    return np.random.default_rng(0).integers(-(2**63), 2**63 - 1, count, dtype=np.intp)


def _counts(numbers: Indices, labels: Indices, size: int, classes: int) -> sparse.csr_array:
    """How often a class (columns) did each of these (rows)."""
    return sparse.csr_array((np.ones(len(numbers)), (numbers, labels)), shape=(size, classes))
