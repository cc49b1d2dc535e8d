"""Connections to a Redis, with errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.exceptions import RedisError

from enfpire.errors import UnavailableError


def connect(url: str, timeout: float = 5.0) -> redis.Redis:
    """A client for the Redis at `url`; nothing is sent yet.

    `timeout` bounds connecting and each answer, in seconds. Raises `UnavailableError` for an invalid URL.
    """
    try:
        return redis.Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, socket_keepalive=True, health_check_interval=15
        )
    except ValueError as error:
        raise UnavailableError("this is not a Redis URL; give redis://HOST:PORT/0 or rediss://...") from error


@contextmanager
def reachable(what: str) -> Iterator[None]:
    """Turn an error of Redis into `UnavailableError`, naming `what` could not be reached."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise UnavailableError(
            f"the {what} does not answer ({type(error).__name__}): is it running, and are URL and credential right?"
        ) from error
