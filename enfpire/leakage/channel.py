"""Channels: how a secret makes a message, and what the message then tells about it.

A channel is a table p(message | class), and a prior over the classes. Definitions follow Smith, "On the foundations
of quantitative information flow", FoSSaCS 2009, and Alvim, Chatzikokolakis, McIver, Morgan, Palamidessi, Smith,
"The Science of Quantitative Information Flow", 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

import numpy as np

from enfpire.errors import UsageError
from enfpire.wire.arrays import Doubles, Indices

TOLERANCE = 1e-6
NEGLIGIBLE = 1e-3


@dataclass(frozen=True, eq=False)
class Channel:
    """prior (C,): p(class); rows (C, M): p(message | class). Both float64, and read-only.

    Raises `UsageError` where shapes do not fit, or the prior or a row is not a distribution.
    """

    prior: Doubles
    rows: Doubles

    def __post_init__(self) -> None:
        prior, rows = (np.array(values, dtype=np.float64) for values in (self.prior, self.rows))
        if prior.ndim != 1 or rows.ndim != 2 or len(prior) != len(rows) or 0 in rows.shape:
            raise UsageError(f"a channel of shape {rows.shape} with a prior of shape {prior.shape}: give a row a class")
        object.__setattr__(self, "prior", _distributions("the prior", prior[None])[0])
        object.__setattr__(self, "rows", _distributions("a row", rows))

    @property
    def classes(self) -> int:
        """C."""
        return len(self.prior)

    @property
    def values(self) -> int:
        """M, how many values a message takes."""
        return int(self.rows.shape[1])

    @property
    def joint(self) -> Doubles:
        """p(class, message), shape (C, M)."""
        joint: Doubles = self.prior[:, None] * self.rows
        return joint

    @property
    def messages(self) -> Doubles:
        """p(message), shape (M,)."""
        probabilities: Doubles = self.prior @ self.rows
        return probabilities


def _distributions(what: str, values: Doubles) -> Doubles:
    sums = values.sum(axis=1, keepdims=True)
    if not np.isfinite(values).all() or (values < 0).any() or (abs(sums - 1) > TOLERANCE).any():
        raise UsageError(f"{what} of a channel is no distribution: give probabilities that add up to 1")
    scaled: Doubles = values / sums
    scaled.setflags(write=False)
    return scaled


def uniform(classes: int) -> Doubles:
    """The prior of equally likely classes, shape (C,)."""
    return np.full(classes, 1 / classes)


def channel_of(
    messages: Indices, labels: Indices, values: int, classes: int | None = None, prior: Doubles | None = None
) -> Channel:
    """The channel that was observed: messages (n,) below `values`, labels (n,); classes equally likely by default.

    Raises `UsageError` for a class without photos.
    """
    counts = message_counts(messages, labels, values, classes)
    missing = np.flatnonzero(counts.sum(axis=1) == 0)
    if len(missing):
        raise UsageError(f"class {missing[0]} has no message: leave it out")
    rows = shares_of(counts)
    return Channel(uniform(len(rows)) if prior is None else prior, rows)


def message_counts(messages: Indices, labels: Indices, values: int, classes: int | None = None) -> Doubles:
    """How often a class (rows) sent a message (columns), shape (C, M); C is the largest label + 1 by default.

    Raises `UsageError` for a message or a label outside of the table.
    """
    count = int(labels.max(initial=-1)) + 1 if classes is None else classes
    for name, numbers, end in (("message", messages, values), ("label", labels, count)):
        if ((numbers < 0) | (numbers >= end)).any():
            raise UsageError(f"a {name} is outside of 0 to {end - 1}: say how many there are")
    return np.bincount(labels * values + messages, minlength=count * values).reshape(count, values).astype(np.float64)


def shares_of(counts: Doubles) -> Doubles:
    """Rows p(message | class) from counts (C, M); zeros for a class that sent nothing."""
    shares: Doubles = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def of_kinds(channel: Channel, kinds: Indices) -> Channel:
    """The same messages with the kind as the secret; kinds (C,) are numbers from 0, each of some class.

    Raises `UsageError` where a kind has no class that may occur.
    """
    membership = (kinds[:, None] == np.arange(kinds.max() + 1)).astype(np.float64)
    prior = channel.prior @ membership
    if (prior == 0).any():
        raise UsageError(f"kind {int(prior.argmin())} has no class that may occur: number the kinds without gaps")
    return Channel(prior, membership.T @ channel.joint / prior[:, None])


def posterior(channel: Channel) -> Doubles:
    """p(class | message), shape (M, C); a row of zeros for a message that is never sent."""
    table: Doubles = channel.joint.T / np.maximum(channel.messages, np.finfo(float).tiny)[:, None]
    return table


def prior_vulnerability(channel: Channel, top: int = 1) -> float:
    """Chance that the class is among the `top` best guesses before any message (Bayes vulnerability for top 1)."""
    return float(np.sort(channel.prior)[-top:].sum())


def posterior_vulnerability(channel: Channel, top: int = 1) -> float:
    """Chance that the class is among the `top` best guesses after the message: sum over messages of the largest
    joint probabilities (Smith 2009 for top 1; in general the g-vulnerability of `top` guesses, Alvim et al. ch. 3).
    """
    return float(np.sort(channel.joint, axis=0)[-top:].sum())


def min_entropy_leakage(channel: Channel) -> float:
    """Bits: log2 of posterior over prior Bayes vulnerability (Smith 2009)."""
    return log2(posterior_vulnerability(channel) / prior_vulnerability(channel))


def min_capacity(channel: Channel) -> float:
    """Bits: the largest min-entropy leakage for any prior, log2 of the sum of the columns' largest entries.

    No gain function and no prior leaks more (the "miracle" theorem, Alvim et al. ch. 7); at most log2 M.
    """
    return log2(float(channel.rows.max(axis=0).sum()))


def mutual_information(channel: Channel) -> float:
    """Bits of Shannon's mutual information between class and message."""
    joint = channel.joint
    independent = channel.prior[:, None] * channel.messages
    seen = joint > 0
    return max(0.0, float((joint[seen] * np.log2(joint[seen] / independent[seen])).sum()))


def worst_posterior(channel: Channel, negligible: float = NEGLIGIBLE) -> float:
    """The largest p(class | message) of any message that is sent with at least the probability `negligible`.

    Where every message is rarer than that, of the most frequent ones.
    """
    sent = channel.messages
    return float(posterior(channel)[sent >= min(negligible, sent.max())].max())
