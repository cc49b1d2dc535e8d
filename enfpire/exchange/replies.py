"""Reply lists: one list with one reply a request, read by its client alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import redis

from enfpire.exchange.connection import reachable
from enfpire.wire.names import reply_key


def post_reply(exchange: redis.Redis, client: str, request: bytes, data: bytes, seconds: int) -> None:
    """Leave the reply to a request for `seconds`; a second answer replaces the first."""
    key = reply_key(client, request)
    with reachable("exchange"):
        pipe = exchange.pipeline(transaction=True)
        pipe.delete(key)
        pipe.lpush(key, data)
        pipe.expire(key, seconds)
        pipe.execute()


def take_reply(
    exchange: redis.Redis, client: str, requests: Sequence[bytes], wait: float
) -> tuple[bytes, bytes] | None:
    """Take the first reply that is there for any of the requests: its request and its bytes.

    Waits up to `wait` seconds, which must be below the connection's timeout. None where nothing came.
    """
    keys = {reply_key(client, request).encode(): request for request in requests}
    if not keys:
        return None
    with reachable("exchange"):
        found = cast("tuple[bytes, bytes] | None", exchange.blpop(list(keys), timeout=wait))
    return None if found is None else (keys[found[0]], found[1])
