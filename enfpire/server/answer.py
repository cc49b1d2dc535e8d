"""The server's pure function: query in, reply out.

reply = answer(query, lookup)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from enfpire.errors import WireError
from enfpire.wire.arrays import Array, Floats
from enfpire.wire.bundle import Serving
from enfpire.wire.candidates import digest_of
from enfpire.wire.query import Groups, Query, Vectors
from enfpire.wire.reply import Reply, SentSet


@dataclass(frozen=True)
class EncodedSet:
    """A candidate set as it travels, with its digest."""

    digest: bytes
    body: bytes = field(repr=False)

    @classmethod
    def of(cls, body: bytes) -> EncodedSet:
        """An encoded set with the digest of its bytes."""
        return cls(digest_of(body), body)


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

    Raises `WireError` when the query does not fit the bundle that it names.
    """
    match query.protected:
        case Groups() as groups:
            found = lookup.by_group(_checked_groups(groups, serving))
        case Vectors() as vectors:
            found = lookup.around(_checked_vectors(vectors, serving))
    places: dict[bytes, int] = {}
    index = [places.setdefault(one.digest, len(places)) for one in found]
    distinct = {one.digest: one for one in found}
    held = set(query.held)
    sets = tuple(SentSet(digest=d, body=None if d in held else distinct[d].body) for d in places)
    return Reply(sets=sets, index=Array.of(np.array(index), "u4"))


def _checked_groups(groups: Groups, serving: Serving) -> list[int]:
    numbers: list[int] = groups.numbers.values.tolist()
    if serving.kind != "cells" or numbers[-1] >= serving.groups:
        raise WireError("the query's groups are not of this bundle")
    return numbers


def _checked_vectors(vectors: Vectors, serving: Serving) -> Floats:
    if serving.kind == "cells" or vectors.rows.shape[1] != serving.dimensions:
        raise WireError("the query's vectors are not of this bundle")
    return vectors.rows.floats()
