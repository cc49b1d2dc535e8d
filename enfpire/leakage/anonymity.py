"""How many classes, and how many kinds of them, a message leaves open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enfpire.leakage.channel import NEGLIGIBLE, Channel, of_kinds, posterior
from enfpire.wire.arrays import Doubles, Indices

RULED_OUT = 0.1


@dataclass(frozen=True)
class Anonymity:
    """Effective number of classes that a message leaves open.

    `entropy` in bits, expected over messages; `effective` is the expected 2^entropy (Serjantov, Danezis, "Towards an
    information theoretic metric for anonymity", PET 2002); `count` the expected number of classes that are not ruled
    out; `worst_effective` and `worst_count` those of the worst message that is sent at all often.
    """

    entropy: float
    effective: float
    count: float
    worst_effective: float
    worst_count: int


@dataclass(frozen=True, eq=False)
class Diversity:
    """Kinds that a message leaves open (l-diversity: Machanavajjhala et al., ACM TKDD 1(1), 2007).

    distinct (M,): kinds that are not ruled out; bits (M,): entropy of the kinds, so that entropy-l-diversity has
    l = 2^bits. Means over messages as they are sent; the worst of those that are sent at all often.
    """

    distinct: Indices
    bits: Doubles
    mean_distinct: float
    mean_bits: float
    worst_distinct: int
    worst_bits: float


def anonymity(channel: Channel, negligible: float = NEGLIGIBLE) -> Anonymity:
    """The classes that a message leaves open; messages rarer than `negligible` are not called worst.

    A class is ruled out where its posterior is less than a tenth of the most probable class's.
    """
    sent, table = channel.messages, posterior(channel)
    bits, count = entropies(table), open_values(table)
    often = sent >= min(negligible, sent.max())
    return Anonymity(
        entropy=float(sent @ bits),
        effective=float(sent @ 2**bits),
        count=float(sent @ count),
        worst_effective=float(2 ** bits[often].min()),
        worst_count=int(count[often].min()),
    )


def label_diversity(channel: Channel, kinds: Indices, negligible: float = NEGLIGIBLE) -> Diversity:
    """The kinds that a message leaves open; kinds (C,) are numbers from 0. A kind is ruled out as a class is."""
    table, sent = posterior(of_kinds(channel, kinds)), channel.messages
    bits, distinct = entropies(table), open_values(table)
    often = sent >= min(negligible, sent.max())
    return Diversity(
        distinct=distinct,
        bits=bits,
        mean_distinct=float(sent @ distinct),
        mean_bits=float(sent @ bits),
        worst_distinct=int(distinct[often].min()),
        worst_bits=float(bits[often].min()),
    )


def entropies(table: Doubles) -> Doubles:
    """Shannon entropy in bits of each row of distributions (M, C); 0 for a row of zeros. Shape (M,)."""
    bits: Doubles = -(table * np.log2(np.where(table > 0, table, 1))).sum(axis=1)
    return np.maximum(bits, 0)


def open_values(table: Doubles) -> Indices:
    """How many values of each row (M, C) have at least a tenth of its largest probability. Shape (M,)."""
    largest = table.max(axis=1, keepdims=True)
    open_ones: Indices = ((table >= RULED_OUT * largest) & (table > 0)).sum(axis=1)
    return open_ones
