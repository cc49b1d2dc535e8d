"""Several messages about the same thing.

The attacker of this module knows p(message | class), and that messages are drawn from it independently. Without a
memory it sees each; a client with a memory of candidate sets asks for a group once, and is silent when it comes again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations_with_replacement
from math import comb, lgamma, log2

import numpy as np

from enfpire.leakage.channel import Channel
from enfpire.wire.arrays import Doubles, Indices

SILENCE = -1
ENUMERATED = 100_000
BLOCK = 4_000_000


def repeats_bound(values: int, prior: float, messages: int) -> float:
    """Largest chance to name the class after so many messages of `values` values: min(1, values^messages x prior).

    The messages together are one that takes values^messages values (Smith 2009); silence is a value, too.
    """
    return 1.0 if messages * log2(values) + log2(prior) >= 0 else float(values**messages * prior)


def repeated_vulnerability(channel: Channel, messages: int, random: np.random.Generator, draws: int = 20_000) -> float:
    """Accuracy of the attacker that sees `messages` independent messages about one class, whatever their order.

    Exact where at most 100,000 multisets of messages exist; else the mean over `draws` of the largest posterior,
    whose standard error is at most 0.5 / sqrt(draws).
    """
    if comb(messages + channel.values - 1, messages) > ENUMERATED:
        return _sampled(channel, messages, random, draws, likelihoods)
    total = 0.0
    for counts in _multisets(messages, channel.values):
        orders = [lgamma(messages + 1) - sum(lgamma(count + 1) for count in row) for row in counts.tolist()]
        total += float(np.exp(_weighted(channel, _log_likelihoods(channel, counts)).max(axis=1) + orders).sum())
    return min(1.0, total)


def remembered_vulnerability(
    channel: Channel, photos: int, random: np.random.Generator, draws: int = 20_000, clock: bool = True
) -> float:
    """Accuracy of the attacker on a client that asks for each group once; mean over `draws` of the largest posterior.

    With a `clock` it sees at which of the photos something was asked, hence also the silence; without, only which
    groups in which order. The standard error is at most 0.5 / sqrt(draws).
    """
    seen = timed_likelihoods if clock else ordered_likelihoods
    return _sampled(channel, photos, random, draws, lambda given, drawn: seen(given, remembered(drawn)))


def remembered(messages: Indices) -> Indices:
    """What is asked by a client that asks for each group once: messages (t, n), repeats in a row made -1."""
    asked = messages.copy()
    for place in range(1, messages.shape[1]):
        again = (messages[:, :place] == messages[:, place, None]).any(axis=1)
        asked[again, place] = SILENCE
    return asked


def likelihoods(channel: Channel, messages: Indices) -> Doubles:
    """log p(messages | class) of independent messages (t, n), shape (t, C)."""
    counts = np.zeros((len(messages), channel.values))
    np.add.at(counts, (np.arange(len(messages))[:, None], messages), 1)
    return _log_likelihoods(channel, counts)


def timed_likelihoods(channel: Channel, asked: Indices) -> Doubles:
    """log p(asked | class) of what `remembered` makes of independent messages: asked (t, n), shape (t, C)."""
    held = np.zeros((len(asked), channel.classes))
    total = np.zeros_like(held)
    for place in asked.T:
        silent = (place == SILENCE)[:, None]
        chance = channel.rows.T[place]
        total += _log(np.where(silent, held, chance))
        held += np.where(silent, 0, chance)
    return total


def ordered_likelihoods(channel: Channel, asked: Indices) -> Doubles:
    """log p(groups in the order in which they were asked | class), for a server without a clock.

    asked (t, n) as for `timed_likelihoods`. Sums over all places of the silences: the chance that m groups are held
    after some photo is the chance that m were held before and it was silent, or m - 1 and the next was asked.
    """
    order = in_order(asked)
    width = order.shape[1]
    chances = np.where(order[:, :, None] == SILENCE, 0, channel.rows.T[order])
    held = np.cumsum(chances, axis=1)
    reached = np.zeros((len(asked), width + 1, channel.classes))
    reached[:, 0] = 1
    for _ in range(asked.shape[1]):
        asking = reached[:, :-1] * chances
        reached[:, 1:] = reached[:, 1:] * held + asking
        reached[:, 0] = 0
    return _log(reached[np.arange(len(asked)), (order != SILENCE).sum(axis=1)])


def in_order(asked: Indices) -> Indices:
    """Rows (t, n) with what was asked in front and the silences behind."""
    order: Indices = np.take_along_axis(asked, np.argsort(asked == SILENCE, axis=1, kind="stable"), axis=1)
    return order


def _multisets(size: int, values: int) -> Iterator[Doubles]:
    """All multisets of `size` messages as counts, in blocks (b, values)."""
    every = list(combinations_with_replacement(range(values), size))
    for start in range(0, len(every), 10_000):
        block = every[start : start + 10_000]
        counts = np.zeros((len(block), values))
        np.add.at(counts, (np.arange(len(block))[:, None], np.array(block, dtype=np.intp)), 1)
        yield counts


def _sampled(
    channel: Channel,
    messages: int,
    random: np.random.Generator,
    draws: int,
    seen: Callable[[Channel, Indices], Doubles],
) -> float:
    rows, total = max(1, BLOCK // (channel.classes * (messages + 1))), 0.0
    for start in range(0, draws, rows):
        drawn = draw_messages(channel, messages, min(rows, draws - start), random)
        scores = _weighted(channel, seen(channel, drawn))
        largest = scores.max(axis=1)
        total += float((1 / np.exp(scores - largest[:, None]).sum(axis=1)).sum())
    return total / draws


def draw_messages(channel: Channel, messages: int, draws: int, random: np.random.Generator) -> Indices:
    """`draws` classes from the prior, and for each so many messages, shape (draws, messages)."""
    classes = random.choice(channel.classes, draws, p=channel.prior)
    return draw_messages_of(channel, np.repeat(classes[:, None], messages, axis=1), random)


def draw_messages_of(channel: Channel, classes: Indices, random: np.random.Generator) -> Indices:
    """A message for each of classes (t, n), same shape."""
    ends = np.cumsum(channel.rows, axis=1)
    drawn: Indices = np.empty_like(classes)
    for place, column in enumerate(classes.T):
        drawn[:, place] = (random.random(len(column))[:, None] >= ends[column, :-1]).sum(axis=1)
    return drawn


def _log_likelihoods(channel: Channel, counts: Doubles) -> Doubles:
    """counts (t, M) -> log of the product of p(message | class)^count, shape (t, C); impossible is -inf."""
    possible = channel.rows > 0
    logs = counts @ np.where(possible, _log(np.where(possible, channel.rows, 1)), 0).T
    logs[(counts @ (~possible).T) > 0] = -np.inf
    result: Doubles = logs
    return result


def _weighted(channel: Channel, logs: Doubles) -> Doubles:
    weighted: Doubles = logs + _log(channel.prior)
    return weighted


def _log(values: Doubles) -> Doubles:
    with np.errstate(divide="ignore"):
        return np.log(values)
