"""The connection to the client's own Redis, and its failures as `StoreError`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from enfpire.errors import StoreError

TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 5.0


def connect(url: str) -> Any:  # noqa: ANN401 - the stubs of redis-py type answers as str
    """A client of the Redis at `url` that has answered; raises `StoreError`, which never quotes the URL."""
    try:
        client = redis.Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=CONNECT_SECONDS)
    except ValueError:  # not chained: it may quote the password
        raise StoreError("the URL of the store is wrong; write redis://user:password@host:port/0") from None
    with errors():
        client.ping()
    return client


@contextmanager
def errors() -> Iterator[None]:
    """Raise `StoreError` with advice for a failure of Redis."""
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
