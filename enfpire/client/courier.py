"""The courier: asks what is due, takes the replies, and asks again until every parcel is resolved.

The broker may lose anything; the store does not. A query that has no reply after its deadline is asked again
with the same id, so that a late answer to the first still counts.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from enfpire.client.memory import Memory, Now
from enfpire.client.settings import ClientSettings
from enfpire.client.store import JobRecord, Outstanding, PendingStore
from enfpire.errors import CandidateSetError, Code, RefusedError, WireError
from enfpire.exchange.clients import Credential
from enfpire.wire.codec import MIB, decode
from enfpire.wire.query import Query, Request, seal
from enfpire.wire.reply import Response, decode_response, encode_response

logger = logging.getLogger(__name__)

LONGEST_WAIT = 60.0
INTERACTIVE = 16
BAD_REPLIES = 5
EXPIRIES = 3
HAND_OVER_SECONDS = 10.0
MOST_AGAIN = 256
QUERY_CAP = 64 * MIB


class Exchange(Protocol):
    """What the courier needs of the exchange."""

    def push(self, gallery: str, sealed: bytes, *, bulk: bool) -> None:
        """Push a sealed request onto a gallery's queue."""
        ...

    def take(self, requests: list[bytes], wait: float) -> tuple[bytes, bytes] | None:
        """Take one reply to any of the requests."""
        ...


@dataclass(frozen=True)
class Backoff:
    """When a query is asked again: the deadline, doubled with each attempt, with jitter."""

    deadline: float

    def due(self, now: float, attempts: int) -> float:
        """Time of the next attempt, unix seconds, after `attempts` of them."""
        doublings = min(max(attempts - 1, 0), 10)
        wait = min(LONGEST_WAIT, self.deadline * 2.0**doublings)
        return now + wait * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, hides nothing


class Courier:
    """Moves the parcels of open jobs through the exchange.

    `resolve` is called with the id of each parcel whose reply is in the store.
    """

    def __init__(
        self,
        store: PendingStore,
        exchange: Exchange,
        credential: Credential,
        settings: ClientSettings,
        memory: Memory,
        resolve: Callable[[bytes], None],
    ) -> None:
        self._store = store
        self._exchange = exchange
        self._credential = credential
        self._window = settings.window
        self._deadline = settings.deadline_seconds
        self._backoff = Backoff(settings.deadline_seconds)
        self._memory = memory
        self._resolve = resolve
        self._queries: dict[bytes, Query] = {}
        self._bad: Counter[bytes] = Counter()
        self._expired: Counter[bytes] = Counter()
        self._handed: dict[bytes, float] = {}
        self._checked = 0.0

    def round(self, jobs: list[JobRecord], wait: float) -> bool:
        """Ask what is due and take the replies that are there, waiting up to `wait` seconds for the first.

        True where anything happened. Raises `UnavailableError` when the exchange does not answer, and
        `RefusedError` for a refusal that asking again will not change.
        """
        parcels = {parcel.id: parcel for job in jobs for parcel in self._store.open_parcels(job.id)}
        self._queries = {key: query for key, query in self._queries.items() if key in parcels}
        handled = self._ask_due(parcels, {job.id: job for job in jobs})
        on_their_way = {key: parcel for key, parcel in parcels.items() if parcel.attempts or key in handled}
        taken = self._take_all(on_their_way, wait)
        self._hand_over_again({job.id for job in jobs})
        return bool(handled or taken)

    def _ask_due(self, parcels: dict[bytes, Outstanding], jobs: dict[str, JobRecord]) -> set[bytes]:
        now = time.time()
        waiting_for = {key for key, parcel in parcels.items() if parcel.attempts and parcel.due > now}
        self._memory.settle(waiting_for)
        handled: set[bytes] = set()
        for parcel in parcels.values():
            if len(waiting_for) >= self._window:
                break
            if parcel.due <= now:
                self._ask_or_answer(parcel, jobs[parcel.job], waiting_for, handled)
        return handled

    def _ask_or_answer(self, parcel: Outstanding, job: JobRecord, waiting_for: set[bytes], handled: set[bytes]) -> None:
        query = self._query(parcel.id)
        question = Now.WAIT if query is None else self._memory.question(parcel.id, query)
        if query is None or question is Now.WAIT:
            return
        handled.add(parcel.id)
        if isinstance(question, Query):
            self._ask(parcel, question, job)
            waiting_for.add(parcel.id)
        else:
            self._keep(parcel.id, query, None)

    def _query(self, parcel: bytes) -> Query | None:
        if parcel not in self._queries:
            loaded = self._store.load(parcel)
            if loaded is None:
                return None
            self._queries[parcel] = decode(loaded[0].query, b"q", Query, QUERY_CAP)
        return self._queries[parcel]

    def _ask(self, parcel: Outstanding, question: Query, job: JobRecord) -> None:
        due = self._backoff.due(time.time(), parcel.attempts + 1)
        request = Request(
            client=self._credential.client, id=parcel.id, expires=int(due + self._deadline) + 1, query=question
        )
        # before the push: a crash between the two costs one deadline, not a photo
        self._store.postpone(parcel.id, due, parcel.attempts + 1)
        self._exchange.push(job.gallery, seal(request, self._credential.secret), bulk=job.total > INTERACTIVE)

    def _take_all(self, parcels: dict[bytes, Outstanding], wait: float) -> int:
        taken = 0
        while parcels and (found := self._exchange.take(list(parcels), wait if taken == 0 else 0.001)):
            self._accept(parcels.pop(found[0]), found[1])
            taken += 1
        return taken

    def _accept(self, parcel: Outstanding, data: bytes) -> None:
        try:
            response = decode_response(data)
        except WireError as error:
            self._bad_reply(parcel.id, error)
            return
        query = self._query(parcel.id)
        if response.id != parcel.id:
            self._bad_reply(parcel.id, WireError("a reply to another request; ask the operator to check the worker"))
        elif response.refusal is not None:
            self._refused(parcel, Code(response.refusal))
        elif query is not None:
            self._keep(parcel.id, query, response)

    def _keep(self, parcel: bytes, query: Query, response: Response | None) -> None:
        """Keep the whole reply to a parcel's query, what is held included, and have it resolved."""
        try:
            reply = self._memory.completed(parcel, query, None if response is None else response.reply)
        except CandidateSetError as error:
            self._bad_reply(parcel, error)
            return
        if self._store.keep_reply(parcel, encode_response(Response(id=parcel, reply=reply))):
            self._hand_over(parcel)

    def _hand_over(self, parcel: bytes) -> None:
        self._handed[parcel] = time.monotonic()
        try:
            self._resolve(parcel)
        except (WireError, CandidateSetError) as error:
            self._bad_reply(parcel, error)

    def _hand_over_again(self, jobs: set[str]) -> None:
        """Resolve replies that were kept and forgotten: a resolution task was lost, or a process died."""
        now = time.monotonic()
        if now - self._checked < HAND_OVER_SECONDS / 10:
            return
        self._checked = now
        kept = self._store.answered(MOST_AGAIN)
        self._handed = {parcel: since for parcel, since in self._handed.items() if parcel in kept}
        for parcel in kept:
            # one that this process never handed over was left by another: resolve it now
            if now - self._handed.get(parcel, -HAND_OVER_SECONDS) < HAND_OVER_SECONDS:
                continue
            loaded = self._store.load(parcel)
            if loaded is not None and loaded[0].job in jobs:
                self._hand_over(parcel)

    def _refused(self, parcel: Outstanding, code: Code) -> None:
        self._expired[parcel.id] += code is Code.EXPIRED
        if code not in (Code.TRY_AGAIN, Code.EXPIRED) or self._expired[parcel.id] >= EXPIRIES:
            del self._expired[parcel.id]
            self._store.postpone(parcel.id, time.time(), 0)
            raise RefusedError(code)
        logger.info("asked again later: %s", code.value)
        self._store.postpone(parcel.id, self._backoff.due(time.time(), 1), parcel.attempts)

    def _bad_reply(self, parcel: bytes, error: Exception) -> None:
        # dropped first: whoever goes on after the error asks again, instead of meeting the same reply
        self._store.drop_reply(parcel, self._backoff.due(time.time(), 1), attempts=1)
        self._bad[parcel] += 1
        if self._bad[parcel] >= BAD_REPLIES:
            del self._bad[parcel]
            raise error
        logger.warning("a reply cannot be used and is asked for again: %s", error)
