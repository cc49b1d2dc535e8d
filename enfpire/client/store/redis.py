"""The pending store in the client's own Redis: for a client on several hosts.

That Redis must keep what it is given: AOF on, `maxmemory-policy noeviction`. Whoever runs it sees to that, and
to who may connect: it holds features. Keys: `enfpire.client.store.scripts`.
"""

# ruff: noqa: D102 - `PendingStore` describes the methods

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import msgpack
import redis

from enfpire.client.recognition import Recognition
from enfpire.client.store import scripts
from enfpire.client.store.packing import (
    named,
    pack_parcel,
    pack_recognitions,
    printable,
    unpack_parcel,
    unpack_recognitions,
)
from enfpire.client.store.records import JobRecord, JobState, Outstanding, Parcel, Progress, Waiting
from enfpire.errors import StoreError

TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 5.0
OPENING_SECONDS = 3600
CHUNK = 10_000

UNKNOWN_JOB = "the store does not know this job; it may have been purged: submit the photos again"


class RedisStore:
    """A `PendingStore` at a `redis://` or `rediss://` URL."""

    def __init__(self, url: str) -> None:
        self._redis = _connect(url)
        self._open_job = self._redis.register_script(scripts.OPEN_JOB)
        self._set_state = self._redis.register_script(scripts.SET_STATE)
        self._put = self._redis.register_script(scripts.PUT)
        self._postpone = self._redis.register_script(scripts.POSTPONE)
        self._keep_reply = self._redis.register_script(scripts.KEEP_REPLY)
        self._drop_reply = self._redis.register_script(scripts.DROP_REPLY)
        self._commit = self._redis.register_script(scripts.COMMIT)
        self._hold_set = self._redis.register_script(scripts.HOLD_SET)

    def open_job(self, job: JobRecord, photos: Iterable[str]) -> None:
        with _errors():
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
        with _errors(), self._redis.pipeline(transaction=False) as pipeline:
            for job in self._redis.zrange(scripts.key("jobs"), 0, -1):
                pipeline.hgetall(scripts.key("job", job.decode()))
            return [_job(found) for found in pipeline.execute() if found]

    def job(self, job: str) -> JobRecord | None:
        with _errors():
            found = self._redis.hgetall(scripts.key("job", job))
        return _job(found) if found else None

    def set_state(self, job: str, state: JobState) -> None:
        with _errors():
            known = self._set_state(args=[job, state.value, int(state is not JobState.OPEN)])
        if not known:
            raise StoreError(UNKNOWN_JOB)

    def waiting(self, job: str, limit: int) -> list[Waiting]:
        with _errors():
            members = self._redis.zrange(scripts.key("waiting", job), 0, limit - 1) if limit else []
        pairs = (member.decode().split(":", 1) for member in members)
        return [Waiting(int(row), photo) for row, photo in pairs]

    def put(self, parcel: Parcel, due: float) -> None:
        places = msgpack.packb(list(zip(parcel.rows, parcel.photos, strict=True)))
        with _errors():
            known = self._put(args=[parcel.id.hex(), parcel.job, due, pack_parcel(parcel), places])
        if not known:
            raise StoreError(UNKNOWN_JOB)

    def unanswered(self, now: float, limit: int) -> list[Outstanding]:
        with _errors():
            return self._outstanding(
                self._redis.zrangebyscore(scripts.key("unanswered"), "-inf", now, start=0, num=limit, withscores=True)
            )

    def open_parcels(self, job: str | None = None) -> list[Outstanding]:
        with _errors():
            found = self._outstanding(self._redis.zrange(scripts.key("unanswered"), 0, -1, withscores=True))
        return [one for one in found if job is None or one.job == job]

    def _outstanding(self, scored: Sequence[tuple[bytes, float]]) -> list[Outstanding]:
        with self._redis.pipeline(transaction=False) as pipeline:
            for parcel, _ in scored:
                pipeline.hmget(scripts.key("parcel", parcel.decode()), "job", "attempts")
            found = pipeline.execute()
        return [
            Outstanding(bytes.fromhex(parcel.decode()), job.decode(), int(attempts), due)
            for (parcel, due), (job, attempts) in zip(scored, found, strict=True)
            if job is not None  # resolved in the meantime
        ]

    def outstanding(self, job: str | None = None) -> int:
        with _errors(), self._redis.pipeline() as pipeline:
            if job is not None:
                return int(self._redis.scard(scripts.key("parcels", job)))
            return sum(pipeline.zcard(scripts.key("unanswered")).zcard(scripts.key("answered")).execute())

    def postpone(self, parcel: bytes, due: float, attempts: int) -> None:
        with _errors():
            self._postpone(args=[parcel.hex(), due, attempts])

    def keep_reply(self, parcel: bytes, data: bytes) -> bool:
        with _errors():
            return bool(self._keep_reply(args=[parcel.hex(), data]))

    def answered(self, limit: int) -> list[bytes]:
        with _errors():
            members = self._redis.zrange(scripts.key("answered"), 0, limit - 1) if limit else []
        return [bytes.fromhex(member.decode()) for member in members]

    def load(self, parcel: bytes) -> tuple[Parcel, bytes | None] | None:
        with _errors():
            body, reply = self._redis.hmget(scripts.key("parcel", parcel.hex()), "body", "reply")
        return None if body is None else (unpack_parcel(parcel, body), reply)

    def drop_reply(self, parcel: bytes, due: float, attempts: int) -> None:
        with _errors():
            self._drop_reply(args=[parcel.hex(), due, attempts])

    def commit(self, job: str, recognitions: Sequence[Recognition], parcel: bytes | None) -> int:
        packed, parts = pack_recognitions(recognitions)
        rows = [value for one in packed for value in (one.row, int(one.failed), one.body)]
        shared = [value for part in parts.items() for value in part]
        with _errors():
            stored = self._commit(args=[job, parcel.hex() if parcel else "", len(packed), *rows, *shared])
        if stored < 0:
            raise StoreError(UNKNOWN_JOB)
        return int(stored)

    def recognitions(self, job: str, after: int, limit: int) -> list[tuple[int, Recognition]]:
        with _errors():
            rows = self._redis.lrange(scripts.key("order", job), after, after + limit - 1) if limit else []
            bodies = self._redis.hmget(scripts.key("recognised", job), rows) if rows else []
            return list(enumerate(unpack_recognitions(bodies, self._parts), after + 1))

    def _parts(self, wanted: list[bytes]) -> dict[bytes, bytes]:
        found = self._redis.hmget(scripts.key("parts"), wanted) if wanted else []
        return {digest: body for digest, body in zip(wanted, found, strict=True) if body is not None}

    def progress(self, job: str) -> Progress:
        with _errors():
            counts = self._redis.hmget(scripts.key("job", job), "total", "recognised", "failed", "outstanding")
        if counts[0] is None:
            raise StoreError(UNKNOWN_JOB)
        return Progress(*(int(count) for count in counts))

    def hold_set(self, digest: bytes, body: bytes, cap_bytes: int) -> None:
        with _errors():
            self._hold_set(args=[digest, body, cap_bytes])

    def held_set(self, digest: bytes) -> bytes | None:
        return self._field("sets", digest)

    def held_digests(self) -> frozenset[bytes]:
        with _errors():
            return frozenset(self._redis.hkeys(scripts.key("sets")))

    def keep_bundle(self, digest: bytes, data: bytes) -> None:
        with _errors():
            self._redis.hset(scripts.key("bundles"), digest, data)

    def bundle(self, digest: bytes) -> bytes | None:
        return self._field("bundles", digest)

    def pin(self, gallery: str, key: bytes) -> None:
        with _errors():
            self._redis.hset(scripts.key("pins"), gallery, key)

    def pinned(self, gallery: str) -> bytes | None:
        return self._field("pins", gallery)

    def _field(self, name: str, field: bytes | str) -> bytes | None:
        with _errors():
            found: bytes | None = self._redis.hget(scripts.key(name), field)
        return found

    def purge(self) -> None:
        with _errors():
            for key in self._redis.scan_iter(match=f"{scripts.PREFIX}*", count=1000):
                self._redis.unlink(key)

    def close(self) -> None:
        self._redis.close()


def _connect(url: str) -> Any:  # noqa: ANN401 - the stubs of redis-py type answers as str
    try:
        client = redis.Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=CONNECT_SECONDS)
    except ValueError:  # not chained: it may quote the password
        raise StoreError("the URL of the store is wrong; write redis://user:password@host:port/0") from None
    with _errors():
        client.ping()
    return client


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise StoreError("the client's Redis cannot be reached; start it, or check the URL of the store") from error
    except redis.RedisError as error:
        # The text of a reply may quote arguments, so that only its kind is told.
        raise StoreError(
            f"the client's Redis refused a command ({type(error).__name__}); check its memory limit, its disk and "
            "the rights of the user in the store's URL"
        ) from None


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
