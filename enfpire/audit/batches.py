"""What one linked batch tells: a query names the groups of its photos once each, ascending.

Is a photo of this class among them? The attacker knows p(group | class), how popular classes are, and how many
photos a batch has. Were that number Poisson, with mean r, groups would be hit independently: with a = p(class)
p(g | class) and w = p(g), the chance that no photo is of the class, given the set S of groups, would be the product
over g in S of (e^(-r a) - e^(-r w)) / (1 - e^(-r w)). For n photos exactly, take the r at which S stands for n photos
(sum over g in S of r w / (1 - e^(-r w)) = n): the saddle point of the inclusion-exclusion sum, which is exact for n
photos in n groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enfpire.audit.measures import placements
from enfpire.leakage.channel import Channel
from enfpire.leakage.intervals import balanced_mean_interval
from enfpire.leakage.messages import query_bits
from enfpire.leakage.repeats import draw_messages_of
from enfpire.wire.arrays import Bools, Doubles

TINY = 1e-300
BISECTIONS = 50


@dataclass(frozen=True)
class BatchLeak:
    """What the set of groups of one batch tells about which classes are in it.

    `bits` bounds what the set reveals. Over pairs of a batch and a class: `accuracy` of saying whether the class is
    in the batch, with its 95 % interval over batches; `prior` is the accuracy without the set. `auc`: how often a class
    that is in a batch looks more likely than the same class in another batch where it is not, mean over classes.
    """

    photos: int
    bits: float
    accuracy: float
    low: float
    high: float
    prior: float
    auc: float


def batch_leak(channel: Channel, photos: int, batches: int, random: np.random.Generator) -> BatchLeak:
    """Attack `batches` simulated batches of `photos` photos: classes drawn from the prior, groups from the channel.

    Take the channel of the labelled photos themselves (`channel_of`): the attacker then knows the true distribution.
    """
    inside, sent = draw_batches(channel, photos, batches, random)
    absent = absence(channel, sent, photos)
    right = ((absent < np.log(0.5)) == inside).mean(axis=1)
    low, high = balanced_mean_interval(right, np.zeros(batches, dtype=np.intp))
    chance = 1 - (1 - channel.prior) ** photos
    return BatchLeak(
        photos=photos,
        bits=query_bits(photos, channel.values),
        accuracy=float(right.mean()),
        low=max(0.0, low),
        high=min(1.0, high),
        prior=float(np.maximum(chance, 1 - chance).mean()),
        auc=_auc(-absent, inside),
    )


def draw_batches(channel: Channel, photos: int, batches: int, random: np.random.Generator) -> tuple[Bools, Bools]:
    """Which classes are in each batch (b, C), and which groups its query names (b, M)."""
    classes = random.choice(channel.classes, (batches, photos), p=channel.prior)
    groups = draw_messages_of(channel, classes, random)
    rows = np.arange(batches)[:, None]
    inside, sent = np.zeros((batches, channel.classes), bool), np.zeros((batches, channel.values), bool)
    inside[rows, classes], sent[rows, groups] = True, True
    return inside, sent


def absence(channel: Channel, sent: Bools, photos: int) -> Doubles:
    """log p(class is not in the batch | the set of groups), sent (b, M), shape (b, C); batches of `photos` photos."""
    rates = _rates(channel.messages, sent, photos)
    logs = np.zeros((len(sent), channel.classes))
    for group, (chances, hit) in enumerate(zip(channel.joint.T, sent.T, strict=True)):
        batches, classes = np.flatnonzero(hit), np.flatnonzero(chances)
        whole = rates[batches, None] * channel.messages[group]
        part = rates[batches, None] * chances[classes]
        inside = np.exp(-part) * -np.expm1(np.minimum(part - whole, 0)) / -np.expm1(-whole)
        logs[np.ix_(batches, classes)] += np.log(np.maximum(inside, TINY))
    return logs


def _rates(messages: Doubles, sent: Bools, photos: int) -> Doubles:
    """The rate at which each set (b, M) stands for so many photos, by bisection; shape (b,)."""
    low, high = np.full(len(sent), 1e-6), photos / (sent @ messages)
    for _ in range(BISECTIONS):
        middle = np.sqrt(low * high)
        hits = middle[:, None] * messages
        expected = np.where(sent, hits / -np.expm1(-hits), 0).sum(axis=1)
        low, high = np.where(expected < photos, middle, low), np.where(expected < photos, high, middle)
    return high


def _auc(scores: Doubles, inside: Bools) -> float:
    """Mean over classes, of those that are in some batches and not in others, of the area under the ROC curve."""
    found = [
        placements(scores[inside[:, column], column], scores[~inside[:, column], column]).mean()
        for column in np.flatnonzero(_mixed(inside))
    ]
    return float(np.mean(found)) if found else 0.5


def _mixed(inside: Bools) -> Bools:
    mixed: Bools = np.logical_and(inside.any(axis=0), ~inside.all(axis=0))
    return mixed
