"""The server's pure function: query in, reply out.

reply = answer(query, lookup)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from enfpire.errors import WireError
from enfpire.wire.arrays import Array, Floats
from enfpire.wire.bundle import Serving
from enfpire.wire.candidates import digest_of
from enfpire.wire.query import Bits, Groups, Query, Vectors
from enfpire.wire.reply import REPLY_CAP, Reply, SentSet

# At most so many rows are looked up together.
ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class EncodedSet:
    """A candidate set as it travels, with its digest."""

    digest: bytes
    body: bytes = field(repr=False)

    @classmethod
    def of(cls, body: bytes) -> EncodedSet:
        """An encoded set with the digest of its bytes."""
        return cls(digest_of(body), body)


class ReplyTooLargeError(Exception):
    """The candidate sets of a query do not fit into one reply; never leaves the server but as a code."""


class Lookup(Protocol):
    """Where candidate sets come from: Milvus, memory, or a memory in front of Milvus."""

    def by_group(self, groups: Sequence[int]) -> list[EncodedSet]:
        """The candidate set of each group."""
        ...

    def around(self, vectors: Floats) -> list[EncodedSet]:
        """The candidate set around each vector (n, m)."""
        ...


def answer(query: Query, serving: Serving, lookup: Lookup) -> Reply:
    """Candidate sets for every row of the query, each distinct set once.

    Raises `WireError` when the query does not fit the bundle that it names, `ReplyTooLargeError` as soon as the sets
    are larger than a reply may be, each counted as if it were the largest.
    """
    collected = _Collected(frozenset(query.held), serving.largest_set)
    match query.protected:
        case Groups() as groups:
            numbers = _checked_groups(groups, serving)
            collected.take_all(len(numbers), lambda rows: lookup.by_group(numbers[rows]))
        case Vectors() as vectors:
            floats = _checked_vectors(vectors, serving)
            collected.take_all(len(floats), lambda rows: lookup.around(floats[rows]))
        case Bits() as bits:
            signs = _checked_bits(bits, serving)
            collected.take_all(len(signs), lambda rows: lookup.around(signs[rows]))
    return Reply(sets=tuple(collected.sets.values()), index=Array.of(np.array(collected.index), "u4"))


class _Collected:
    """The sets so far, each once and without its body where the client holds it, and which row has which."""

    def __init__(self, held: frozenset[bytes], largest_set: int) -> None:
        self.sets: dict[bytes, SentSet] = {}
        self.index: list[int] = []
        self._held = held
        self._places: dict[bytes, int] = {}
        self._room = REPLY_CAP
        self._padded = self._largest = largest_set

    def take_all(self, rows: int, find: Callable[[slice], list[EncodedSet]]) -> None:
        """Look up all rows, no more at a time than there is room for, judged by the sets so far."""
        start = 0
        while start < rows:
            # one row at first where nobody knows yet how large a set is
            count = max(1, min(ROWS_AT_ONCE, self._room // self._largest)) if self._largest else 1
            for one in find(slice(start, start + count)):
                self._take(one)
            start += count

    def _take(self, found: EncodedSet) -> None:
        self._largest = max(self._largest, len(found.body))
        self.index.append(self._places.setdefault(found.digest, len(self._places)))
        if found.digest in self.sets:
            return
        body = None if found.digest in self._held else found.body
        self._room -= 0 if body is None else max(self._padded, len(body))
        if self._room < 0:
            raise ReplyTooLargeError
        self.sets[found.digest] = SentSet(digest=found.digest, body=body)


def _checked_groups(groups: Groups, serving: Serving) -> list[int]:
    numbers: list[int] = groups.numbers.values.tolist()
    if serving.kind != "cells" or numbers[-1] >= serving.groups:
        raise WireError("the query's groups are not of this bundle")
    return numbers


def _checked_vectors(vectors: Vectors, serving: Serving) -> Floats:
    if serving.kind in ("cells", "sign") or vectors.rows.shape[1] != serving.dimensions:
        raise WireError("the query's vectors are not of this bundle")
    return vectors.rows.floats()


def _checked_bits(bits: Bits, serving: Serving) -> Floats:
    """The codes as vectors of 1 and -1: their cosine orders as Hamming distance does."""
    if serving.kind != "sign" or bits.width != serving.dimensions:
        raise WireError("the query's codes are not of this bundle")
    return bits.signs()
