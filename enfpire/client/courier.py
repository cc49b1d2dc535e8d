"""The courier: asks what is due, takes the replies, and asks again until every parcel is resolved.

The broker may lose anything; the store does not. A query that has no reply after its deadline is asked again
with the same id, so that a late answer to the first still counts.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from enfpire.client.handover import HandOver
from enfpire.client.memory import Memory, Now
from enfpire.client.noting import note
from enfpire.client.settings import ClientSettings
from enfpire.client.silence import Silence
from enfpire.client.store import JobRecord, PendingStore
from enfpire.errors import CandidateSetError, Code, RefusedError, WireError
from enfpire.exchange.clients import Credential
from enfpire.wire.codec import MIB, decode
from enfpire.wire.query import Query, Request, seal
from enfpire.wire.reply import Response, decode_response, encode_response

logger = logging.getLogger(__name__)

LONGEST_WAIT = 60.0
INTERACTIVE = 16
SKEWS = 3
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


@dataclass(frozen=True)
class Asked:
    """A parcel that is on its way: when it is asked again, when the query expires (unix seconds), how often it was
    asked, and how often it came back as expired although by this clock it was not.
    """

    job: JobRecord
    due: float
    expires: float = 0.0
    attempts: int = 0
    skews: int = 0


class Courier:
    """Moves the parcels of open jobs through the exchange; small jobs first.

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
        self._hand_over = HandOver(store, resolve)
        self._silence = Silence(3 * settings.deadline_seconds, settings.patience_seconds)
        self._asked: dict[bytes, Asked] = {}
        self._known: set[str] = set()

    def round(self, jobs: list[JobRecord], wait: float) -> bool:
        """Ask what is due and take the replies that are there, waiting up to `wait` seconds for the first.

        True where anything happened. Raises `UnavailableError` when the exchange does not answer, `NoAnswerError`
        when nobody has answered for long, and `RefusedError` for a refusal that asking again will not change.
        """
        self._follow(jobs)
        handled = self._ask_due(sorted(jobs, key=lambda job: job.total))
        taken = self._take_all(wait)
        again = self._hand_over.forgotten({job.id for job in jobs}, self._drop)
        self._silence.check(waiting=bool(self._asked), heard=taken > 0)
        return bool(handled or taken or again)

    def _follow(self, jobs: list[JobRecord]) -> None:
        """Forget the parcels of jobs that ended; take over what an earlier process had asked for new ones."""
        ids = {job.id for job in jobs}
        self._asked = {parcel: asked for parcel, asked in self._asked.items() if asked.job.id in ids}
        for job in jobs:
            if job.id not in self._known:
                left = [parcel for parcel in self._store.open_parcels(job.id) if parcel.attempts]
                self._asked |= {parcel.id: Asked(job, parcel.due, attempts=parcel.attempts) for parcel in left}
        self._known = ids

    def _ask_due(self, jobs: list[JobRecord]) -> int:
        now = time.time()
        on_their_way = {parcel for parcel, asked in self._asked.items() if asked.due > now}
        self._memory.settle(on_their_way)
        handled = 0
        for parcel, asked in self._due(jobs, now):
            if len(on_their_way) >= self._window:
                break
            question = self._question(parcel)
            if question is Now.WAIT:
                continue
            handled += 1
            if isinstance(question, Query):
                self._ask(parcel, asked, question)
                on_their_way.add(parcel)
            elif question is Now.ANSWER:
                note(self._store, parcel, None)
                self._keep(parcel, None)
            else:
                self._asked.pop(parcel, None)
        return handled

    def _due(self, jobs: list[JobRecord], now: float) -> Iterable[tuple[bytes, Asked]]:
        """What was asked and has no answer, then what was never asked; a bounded number of it in one round."""
        yield from [(parcel, asked) for parcel, asked in self._asked.items() if asked.due <= now]
        for job in jobs:
            for parcel in self._store.open_parcels(job.id, 4 * self._window):
                if parcel.id not in self._asked and parcel.due <= now:
                    yield parcel.id, Asked(job, parcel.due, attempts=parcel.attempts)

    def _question(self, parcel: bytes) -> Query | Now | None:
        query = self._query(parcel)
        return None if query is None else self._memory.question(parcel, query)

    def _query(self, parcel: bytes) -> Query | None:
        data = self._store.query(parcel)
        return None if data is None else decode(data, b"q", Query, QUERY_CAP)

    def _ask(self, parcel: bytes, asked: Asked, question: Query) -> None:
        attempts = asked.attempts + 1
        due = self._backoff.due(time.time(), attempts)
        expires = int(due + self._deadline) + 1
        request = Request(client=self._credential.client, id=parcel, expires=expires, query=question)
        # before the push: what left is in the ledger, and a crash in between costs one deadline, not a photo
        note(self._store, parcel, question)
        self._store.postpone(parcel, due, attempts)
        self._asked[parcel] = Asked(asked.job, due, expires, attempts, asked.skews)
        bulk = asked.job.total > INTERACTIVE
        self._exchange.push(asked.job.gallery, seal(request, self._credential.secret), bulk=bulk)

    def _take_all(self, wait: float) -> int:
        taken = 0
        while self._asked and (found := self._exchange.take(list(self._asked), wait if taken == 0 else 0.001)):
            taken += self._accept(*found)
        return taken

    def _accept(self, parcel: bytes, data: bytes) -> bool:
        """Take a reply; False for one that says that nobody could look."""
        try:
            response = decode_response(data)
            if response.id != parcel:
                raise WireError("a reply to another request; ask the operator to check the worker")
        except WireError as error:
            self._hand_over.bad_reply(parcel, error, self._drop)
            return True
        if response.refusal is not None:
            return self._refused(parcel, self._asked[parcel], Code(response.refusal))
        self._keep(parcel, response)
        return True

    def _keep(self, parcel: bytes, response: Response | None) -> None:
        """Keep the whole reply to a parcel's query, what is held included, and have it resolved."""
        query = self._query(parcel)
        if query is None:
            self._asked.pop(parcel, None)
            return
        try:
            reply = self._memory.completed(parcel, query, None if response is None else response.reply)
        except CandidateSetError as error:
            self._hand_over.bad_reply(parcel, error, self._drop)
            return
        self._asked.pop(parcel, None)
        if self._store.keep_reply(parcel, encode_response(Response(id=parcel, reply=reply))):
            self._hand_over(parcel, self._drop)

    def _refused(self, parcel: bytes, asked: Asked, code: Code) -> bool:
        # a query that came too late waited in a long queue, unless this clock says that it was in time
        skews = asked.skews + (code is Code.EXPIRED and time.time() < asked.expires)
        if code not in (Code.TRY_AGAIN, Code.EXPIRED) or skews >= SKEWS:
            del self._asked[parcel]
            self._store.postpone(parcel, time.time(), 0)
            raise RefusedError(code)
        logger.info("asked again later: %s", code.value)
        due = self._backoff.due(time.time(), asked.attempts)
        self._asked[parcel] = Asked(asked.job, due, asked.expires, asked.attempts, skews)
        self._store.postpone(parcel, due, asked.attempts)
        return False

    def _drop(self, parcel: bytes) -> None:
        """Let go of a reply that cannot be used, and ask again later."""
        self._asked.pop(parcel, None)
        self._store.drop_reply(parcel, self._backoff.due(time.time(), 1), 0)
