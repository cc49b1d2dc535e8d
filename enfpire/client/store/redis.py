"""The pending store in the client's own Redis: for a client on several hosts.

That Redis must keep what it is given: AOF on, `maxmemory-policy noeviction`. Whoever runs it sees to that, and
to who may connect: it holds features. Keys: `enfpire.client.store.scripts`.
"""

# ruff: noqa: D102 - `PendingStore` describes the methods

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import msgpack

from enfpire.client.recognition import Recognition
from enfpire.client.store import scripts
from enfpire.client.store.connection import connect, errors
from enfpire.client.store.ledger import Sent
from enfpire.client.store.packing import (
    named,
    pack_parcel,
    pack_recognitions,
    printable,
    unpack_parcel,
    unpack_recognitions,
)
from enfpire.client.store.records import JobRecord, JobState, Outstanding, Parcel, Progress, Waiting
from enfpire.client.store.redis_ledger import RedisLedger
from enfpire.errors import StoreError

OPENING_SECONDS = 3600
CHUNK = 10_000

UNKNOWN_JOB = "the store does not know this job; it may have been purged: submit the photos again"


class RedisStore:
    """A `PendingStore` at a `redis://` or `rediss://` URL."""

    def __init__(self, url: str) -> None:
        self._redis = connect(url)
        self.ledger = RedisLedger(self._redis)
        self._open_job = self._redis.register_script(scripts.OPEN_JOB)
        self._set_state = self._redis.register_script(scripts.SET_STATE)
        self._put = self._redis.register_script(scripts.PUT)
        self._postpone = self._redis.register_script(scripts.POSTPONE)
        self._keep_reply = self._redis.register_script(scripts.KEEP_REPLY)
        self._drop_reply = self._redis.register_script(scripts.DROP_REPLY)
        self._commit = self._redis.register_script(scripts.COMMIT)
        self._hold_sets = self._redis.register_script(scripts.HOLD_SETS)
        self._forget = self._redis.register_script(scripts.FORGET)

    def open_job(self, job: JobRecord, photos: Iterable[str]) -> None:
        with errors():
            if self._redis.exists(scripts.key("job", job.id)):
                return
            staging = self._stage(named(job, photos))
            self._open_job(args=[job.id, job.created, staging, *_fields(job)])

    def _stage(self, photos: Iterator[Waiting]) -> str:
        """Bring the photos to Redis under a name of their own, which expires unless the job is opened."""
        staging = scripts.key("opening", secrets.token_hex(8))
        last = ""
        while chunk := {f"{one.row}:{one.photo}": one.row for one in islice(photos, CHUNK)}:
            with self._redis.pipeline() as pipeline:
                pipeline.zadd(staging, chunk)
                pipeline.expire(staging, OPENING_SECONDS)
                pipeline.execute()
            last = staging
        return last

    def jobs(self) -> list[JobRecord]:
        with errors(), self._redis.pipeline(transaction=False) as pipeline:
            for job in self._redis.zrange(scripts.key("jobs"), 0, -1):
                pipeline.hgetall(scripts.key("job", job.decode()))
            return [_job(found) for found in pipeline.execute() if found]

    def job(self, job: str) -> JobRecord | None:
        with errors():
            found = self._redis.hgetall(scripts.key("job", job))
        return _job(found) if found else None

    def set_state(self, job: str, state: JobState) -> None:
        with errors():
            known = self._set_state(args=[job, state.value, int(state is not JobState.OPEN)])
        if not known:
            raise StoreError(UNKNOWN_JOB)

    def waiting(self, job: str, limit: int) -> list[Waiting]:
        with errors():
            members = self._redis.zrange(scripts.key("waiting", job), 0, limit - 1) if limit else []
        pairs = (member.decode().split(":", 1) for member in members)
        return [Waiting(int(row), photo) for row, photo in pairs]

    def put(self, parcel: Parcel, due: float, sent: Sequence[Sent] = ()) -> bool:
        places = msgpack.packb(list(zip(parcel.rows, parcel.photos, strict=True)))
        with errors():
            gallery = self._redis.hget(scripts.key("job", parcel.job), "gallery")
            messages = self.ledger.arguments((gallery or b"").decode(), sent)
            body = pack_parcel(parcel)
            outcome = self._put(args=[parcel.id.hex(), parcel.job, due, body, parcel.query, places, *messages])
        if not outcome:
            raise StoreError(UNKNOWN_JOB)
        return bool(outcome == 1)

    def open_parcels(self, job: str | None = None, limit: int | None = None) -> list[Outstanding]:
        with errors(), self._redis.pipeline(transaction=False) as pipeline:
            scored = self._first("unanswered", job, limit)
            for parcel, _ in scored:
                pipeline.hmget(scripts.key("parcel", parcel.decode()), "job", "attempts")
            found = pipeline.execute()
        return [
            Outstanding(bytes.fromhex(parcel.decode()), owner.decode(), int(attempts), due)
            for (parcel, due), (owner, attempts) in zip(scored, found, strict=True)
            if owner is not None  # resolved in the meantime
        ]

    def _first(self, name: str, job: str | None, limit: int | None) -> list[tuple[bytes, float]]:
        """Parcels of one job or of all in a zset, lowest score first, with their scores."""
        count = -1 if limit is None else limit
        found: list[tuple[bytes, float]] = self._redis.zrange(
            scripts.key(name, job or ""), "-inf", "+inf", byscore=True, withscores=True, offset=0, num=count
        )
        return found

    def outstanding(self, job: str | None = None) -> int:
        with errors(), self._redis.pipeline() as pipeline:
            if job is not None:
                return int(self._redis.scard(scripts.key("parcels", job)))
            return sum(pipeline.zcard(scripts.key("unanswered")).zcard(scripts.key("answered")).execute())

    def postpone(self, parcel: bytes, due: float, attempts: int) -> None:
        with errors():
            self._postpone(args=[parcel.hex(), due, attempts])

    def keep_reply(self, parcel: bytes, data: bytes) -> bool:
        with errors():
            return bool(self._keep_reply(args=[parcel.hex(), data]))

    def answered(self, limit: int, job: str | None = None) -> list[bytes]:
        with errors():
            found = self._first("answered", job, limit)
        return [bytes.fromhex(parcel.decode()) for parcel, _ in found]

    def query(self, parcel: bytes) -> bytes | None:
        return self._field(scripts.key("parcel", parcel.hex()), "query")

    def load(self, parcel: bytes) -> tuple[Parcel, bytes | None] | None:
        with errors():
            query, body, reply = self._redis.hmget(scripts.key("parcel", parcel.hex()), "query", "body", "reply")
        return None if body is None else (unpack_parcel(parcel, query, body), reply)

    def drop_reply(self, parcel: bytes, due: float, attempts: int) -> None:
        with errors():
            self._drop_reply(args=[parcel.hex(), due, attempts])

    def commit(self, job: str, recognitions: Sequence[Recognition], parcel: bytes | None) -> int:
        packed, parts = pack_recognitions(recognitions)
        rows = [value for one in packed for value in (one.row, int(one.failed), one.body)]
        shared = [value for part in parts.items() for value in part]
        with errors():
            stored = self._commit(args=[job, parcel.hex() if parcel else "", len(packed), *rows, *shared])
        if stored < 0:
            raise StoreError(UNKNOWN_JOB)
        return int(stored)

    def recognitions(self, job: str, after: int, limit: int) -> list[tuple[int, Recognition]]:
        with errors():
            rows = self._redis.lrange(scripts.key("order", job), after, after + limit - 1) if limit else []
            bodies = self._redis.hmget(scripts.key("recognised", job), rows) if rows else []
            return list(enumerate(unpack_recognitions(bodies, partial(self._parts, job)), after + 1))

    def _parts(self, job: str, wanted: list[bytes]) -> dict[bytes, bytes]:
        found = self._redis.hmget(scripts.key("parts", job), wanted) if wanted else []
        return {digest: body for digest, body in zip(wanted, found, strict=True) if body is not None}

    def progress(self, job: str) -> Progress:
        with errors():
            counts = self._redis.hmget(scripts.key("job", job), "total", "recognised", "failed", "outstanding")
        if counts[0] is None:
            raise StoreError(UNKNOWN_JOB)
        return Progress(*(int(count) for count in counts))

    def hold_sets(self, gallery: str, sets: Sequence[tuple[bytes, bytes]], cap_bytes: int) -> None:
        with errors():
            self._hold_sets(args=[gallery, cap_bytes, *(value for pair in sets for value in pair)])

    def hold_set(self, gallery: str, digest: bytes, body: bytes, cap_bytes: int) -> None:
        self.hold_sets(gallery, [(digest, body)], cap_bytes)

    def held_set(self, gallery: str, digest: bytes) -> bytes | None:
        return self._field(scripts.key("sets", gallery), digest)

    def held_digests(self, gallery: str) -> frozenset[bytes]:
        with errors():
            return frozenset(self._redis.hkeys(scripts.key("sets", gallery)))

    def keep_bundle(self, digest: bytes, data: bytes) -> None:
        with errors():
            self._redis.hset(scripts.key("bundles"), digest, data)

    def bundle(self, digest: bytes) -> bytes | None:
        return self._field(scripts.key("bundles"), digest)

    def pin(self, gallery: str, key: bytes) -> None:
        with errors():
            self._redis.hset(scripts.key("pins"), gallery, key)

    def pinned(self, gallery: str) -> bytes | None:
        return self._field(scripts.key("pins"), gallery)

    def _field(self, key: str, field: bytes | str) -> bytes | None:
        with errors():
            found: bytes | None = self._redis.hget(key, field)
        return found

    def forget(self, job: str) -> None:
        with errors():
            self._forget(args=[job])

    def purge(self) -> None:
        with errors():
            for key in self._redis.scan_iter(match=f"{scripts.PREFIX}*", count=1000):
                self._redis.unlink(key)

    def close(self) -> None:
        self._redis.close()


def _fields(job: JobRecord) -> list[Any]:
    fields = {
        "id": job.id,
        "gallery": job.gallery,
        "bundle": job.bundle,
        "created": repr(job.created),
        "state": job.state.value,
        "total": job.total,
        "label": printable(job.label),
        "recognised": 0,
        "failed": 0,
        "outstanding": 0,
    }
    return [value for item in fields.items() for value in item]


def _job(found: dict[bytes, bytes]) -> JobRecord:
    return JobRecord(
        id=found[b"id"].decode(),
        gallery=found[b"gallery"].decode(),
        bundle=found[b"bundle"],
        created=float(found[b"created"]),
        state=JobState(found[b"state"].decode()),
        total=int(found[b"total"]),
        label=found[b"label"].decode(),
    )
