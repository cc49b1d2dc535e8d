"""The ledger in the Redis store. Keys: `enfpire.client.store.scripts`."""

# ruff: noqa: D102 - `Ledger` describes the methods

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Any

import msgpack

from enfpire.client.store import scripts
from enfpire.client.store.connection import errors
from enfpire.client.store.ledger import SECRET_BYTES, Entry, Question, Sent, hidden, hidden_by_name


class RedisLedger:
    """A `Ledger` in the Redis of a store."""

    def __init__(self, redis: Any) -> None:  # noqa: ANN401 - the stubs of redis-py type answers as str
        self._redis = redis
        self._note = redis.register_script(scripts.NOTE)
        self._consent = redis.register_script(scripts.CONSENT)

    def sent(self, gallery: str, contents: Sequence[bytes]) -> dict[bytes, dict[bytes, bytes]]:
        with errors():
            secret = self._redis.get(scripts.key("secret"))
            names = {} if secret is None else hidden_by_name(secret, gallery, contents)
            found = self._redis.hmget(scripts.key("sent"), list(names)) if names else []
        return {
            content: _messages(packed)
            for content, packed in zip(names.values(), found, strict=True)
            if packed is not None
        }

    def note(self, parcel: bytes, question: Question) -> None:
        with errors():
            self._note(args=[parcel.hex(), question.photos, repr(question.bits), *question.groups])

    def consent(self, gallery: str, bundle: bytes, bits: float, against: Collection[bytes]) -> None:
        with errors():
            self._consent(args=[gallery, bundle, repr(bits), *against])

    def covered(self, bundle: bytes) -> frozenset[bytes]:
        with errors():
            return frozenset(self._redis.smembers(scripts.key("consented", bundle.hex())))

    def entries(self) -> list[Entry]:
        with errors(), self._redis.pipeline() as pipeline:
            names = [name.decode() for name in self._redis.zrange(scripts.key("ledger"), 0, -1)]
            for name in names:
                pipeline.hgetall(scripts.key("ledger", name)).scard(scripts.key("asked-groups", name))
            found = pipeline.execute()
        return [_entry(*pair) for pair in zip(found[::2], found[1::2], strict=True)]

    def arguments(self, gallery: str, sent: Sequence[Sent]) -> list[bytes | int]:
        """What the script PUT takes of the messages of a parcel's photos."""
        secret = self._secret() if sent else b""
        return [value for one in sent for value in (hidden(secret, gallery, one.content), one.message, one.others)]

    def _secret(self) -> bytes:
        self._redis.set(scripts.key("secret"), os.urandom(SECRET_BYTES), nx=True)
        secret: bytes = self._redis.get(scripts.key("secret"))
        return secret


def _messages(packed: bytes) -> dict[bytes, bytes]:
    flat = msgpack.unpackb(packed, raw=True)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _entry(fields: dict[bytes, bytes], groups: int) -> Entry:
    counts = {name: int(fields.get(name.encode(), 0)) for name in ("photos", "asked", "silent", "queries")}
    consented = fields.get(b"consented")
    return Entry(
        gallery=fields[b"gallery"].decode(),
        bundle=fields[b"bundle"],
        groups=groups,
        bits=float(fields.get(b"bits", 0)),
        consented=None if consented is None else float(consented),
        **counts,
    )
