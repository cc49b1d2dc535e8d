"""A gallery version in memory: the reference that every vector store is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from enfpire.server.answer import EncodedSet
from enfpire.server.nearest import nearest_first, similarities
from enfpire.server.version import GalleryVersion
from enfpire.wire.arrays import Floats, Indices
from enfpire.wire.candidates import collect, decode_set, encode_set


class MemoryLookup:
    """Answers from a `GalleryVersion`; `candidates` is how many classes are returned around a vector."""

    def __init__(self, version: GalleryVersion, candidates: int = 0) -> None:
        self._version = version
        self._candidates = candidates

    def by_group(self, groups: Sequence[int]) -> list[EncodedSet]:
        """The candidate set of each group; needs a version that has groups."""
        members = self._version.members or ()
        return [self._set_of(members[group]) for group in groups]

    def around(self, vectors: Floats) -> list[EncodedSet]:
        """The candidate set around each vector (n, m)."""
        return [self._set_of(np.sort(found)) for found in nearest_in_memory(self._version, vectors, self._candidates)]

    def _set_of(self, classes: Indices) -> EncodedSet:
        return encoded_set(self._version.cards[number] for number in classes.tolist())


def nearest_in_memory(version: GalleryVersion, vectors: Floats, count: int) -> list[Indices]:
    """For each vector (n, m) at most `count` distinct classes, nearest first."""
    return [nearest_first(version.owners, similarities(query, version.vectors), count) for query in vectors]


def encoded_set(cards: Iterable[bytes]) -> EncodedSet:
    """The candidate set that these cards make, in the order given; needs one at least."""
    return EncodedSet.of(encode_set(collect([decode_set(card) for card in cards])))
