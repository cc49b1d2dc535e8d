"""How many bytes the largest candidate set of a gallery has: replies are padded to it."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from enfpire.wire.arrays import Array
from enfpire.wire.candidates import CandidateSet, encode_set


def largest_around(cards: Sequence[CandidateSet], candidates: int) -> int:
    """Bytes that no set of at most `candidates` of the classes exceeds; `cards` are the classes, each by itself.

    It is the size of a set with the longest names, the longest records and the most prototypes that so many classes
    have, whichever classes they are: no search needs to be made to know it.
    """
    counts = heapq.nlargest(candidates, (int(card.counts.values[0]) for card in cards))
    prototypes, dimensions = sum(counts), cards[0].codes.shape[1]
    worst = CandidateSet(
        names=tuple(heapq.nlargest(candidates, (card.names[0] for card in cards), key=lambda name: len(name.encode()))),
        infos=tuple(heapq.nlargest(candidates, (card.infos[0] for card in cards), key=len)),
        counts=Array.of(np.array(counts), "u1"),
        codes=Array.of(np.zeros((prototypes, dimensions)), "i1"),
        scales=Array.of(np.zeros(prototypes), "f4"),
    )
    return len(encode_set(worst))
