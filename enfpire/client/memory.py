"""The client's memory: candidate sets that it holds are not asked for again.

The answer is the one that the server would give, for a set depends on the gallery version alone. A set that is on
its way for one parcel is not asked for by another either: that one waits.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from typing import Protocol

import numpy as np

from enfpire.client.store import PendingStore
from enfpire.errors import CandidateSetError
from enfpire.wire.arrays import Array
from enfpire.wire.bundle import Bundle, Cells
from enfpire.wire.candidates import digest_of
from enfpire.wire.query import Groups, Query
from enfpire.wire.reply import Reply, SentSet


class Now(Enum):
    """What to do for a parcel instead of asking."""

    WAIT = "another parcel is asking for one of its sets"
    ANSWER = "every set is held"


class Memory(Protocol):
    """Decides what is asked for a parcel, and completes the reply with what is held."""

    def question(self, parcel: bytes, query: Query) -> Query | Now:
        """What to ask for this parcel."""
        ...

    def completed(self, parcel: bytes, query: Query, reply: Reply | None) -> Reply:
        """The reply to the whole query; `reply` answered the question, None where nothing was asked."""
        ...

    def settle(self, unsettled: Collection[bytes]) -> None:
        """Forget the questions of all parcels but these."""
        ...


class NoMemory:
    """Everything is asked, always."""

    def question(self, parcel: bytes, query: Query) -> Query | Now:  # noqa: ARG002 - the protocol's
        """The query itself."""
        return query

    def completed(self, parcel: bytes, query: Query, reply: Reply | None) -> Reply:  # noqa: ARG002 - the protocol's
        """The reply itself."""
        if reply is None:
            raise CandidateSetError("nothing was asked, and nothing is held; the query is asked again")
        return reply

    def settle(self, unsettled: Collection[bytes]) -> None:
        """There is nothing to forget."""


class SetMemory:
    """Keeps the candidate sets of one `cells` bundle in the store, up to a number of bytes for its gallery."""

    def __init__(self, store: PendingStore, gallery: str, cells: Cells, cap_bytes: int) -> None:
        self._store = store
        self._gallery = gallery
        self._cells = cells
        self._cap = cap_bytes
        self._asking: dict[bytes, frozenset[int]] = {}
        self._relied: dict[bytes, frozenset[bytes]] = {}
        self._gone: dict[bytes, frozenset[bytes]] = {}
        self._held = store.held_digests(gallery)

    def question(self, parcel: bytes, query: Query) -> Query | Now:
        """The query without the groups whose set is held, unless it was gone when this parcel relied on it."""
        held = self._held - self._gone.get(parcel, frozenset())
        missing = [group for group in _groups(query) if self._cells.digest(group) not in held]
        if not missing:
            self._relied[parcel] = held
            return Now.ANSWER
        on_their_way = frozenset[int]().union(*(groups for key, groups in self._asking.items() if key != parcel))
        if not on_their_way.isdisjoint(missing):
            return Now.WAIT
        self._asking[parcel] = frozenset(missing)
        self._relied[parcel] = held
        return query.model_copy(update={"protected": Groups(numbers=Array.of(np.array(missing), "u4"))})

    def completed(self, parcel: bytes, query: Query, reply: Reply | None) -> Reply:
        """Hold the sets that came, and name for each group of the query the set that came or is held.

        Raises `CandidateSetError` where one is missing.
        """
        came = {} if reply is None else {sent.digest: sent for sent in reply.sets}
        digests = [self._cells.digest(group) for group in _groups(query)]
        # read first: holding those that came may push these out
        kept = {
            digest: self._store.held_set(self._gallery, digest) for digest in digests if came and digest not in came
        }
        checked = [body for digest in digests if (body := _checked(came.get(digest)))]
        self._store.hold_sets(self._gallery, checked, self._cap)
        self._held = self._store.held_digests(self._gallery)
        self._check(parcel, [digest for digest in digests if digest not in came and kept.get(digest) is None])
        sets = [came.get(digest) or self._remembered(digest, kept.get(digest)) for digest in digests]
        return Reply(sets=tuple(sets), index=Array.of(np.arange(len(digests)), "u4"))

    def settle(self, unsettled: Collection[bytes]) -> None:
        """Forget the questions of all parcels but these."""
        self._asking = {parcel: groups for parcel, groups in self._asking.items() if parcel in unsettled}

    def _check(self, parcel: bytes, expected: Collection[bytes]) -> None:
        """Raise `CandidateSetError` where one of the sets that did not come is not held either."""
        missing = frozenset(expected) - self._held
        relied = self._relied.pop(parcel, frozenset())
        gone = self._gone.pop(parcel, frozenset())
        if missing:
            # Pushed out while the question was on its way: relied on again, it might be so again. One that was asked
            # for is no such set: else a reply that lacks it would have those asked for that are held.
            self._gone[parcel] = gone | (missing & relied)
            raise CandidateSetError("the reply lacks a candidate set that the bundle names; it is asked for again")

    def _remembered(self, digest: bytes, body: bytes | None) -> SentSet:
        return SentSet(digest=digest, body=None if digest in self._held else body)


def _checked(sent: SentSet | None) -> tuple[bytes, bytes] | None:
    """Digest and body of a set that came; under a false digest it would poison the memory."""
    if sent is None or sent.body is None or digest_of(sent.body) != sent.digest:
        return None
    return sent.digest, sent.body


def _groups(query: Query) -> list[int]:
    assert isinstance(query.protected, Groups)  # noqa: S101 - only `cells` bundles have a memory
    numbers: list[int] = query.protected.numbers.values.tolist()
    return numbers


def memory_of(store: PendingStore, bundle: Bundle, cap_bytes: int) -> Memory:
    """The memory for a bundle; none where `cap_bytes` is 0, or where vectors travel."""
    if cap_bytes and isinstance(bundle.transform, Cells):
        return SetMemory(store, bundle.gallery, bundle.transform, cap_bytes)
    return NoMemory()
