"""Waits for a server: Redis until it answers, anything else until its port takes connections."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry

from enfpire.errors import UnavailableError

PAUSE_SECONDS = 0.02


def wait_until_ready(url: str, timeout: float = 10.0, alive: Callable[[], bool] = lambda: True) -> None:
    """Return as soon as the server at `url` answers.

    `alive` tells whether waiting still makes sense, e.g. whether the process that was started still runs. Raises
    `UnavailableError` after `timeout` seconds, when `alive` says no, and at once for a password that is refused.
    """
    deadline = time.monotonic() + timeout
    while not answers(url, min(1.0, timeout)):
        if not alive():
            raise UnavailableError(f"the server for {shown(url)} ended while it started; read its log")
        if time.monotonic() > deadline:
            raise UnavailableError(f"{shown(url)} did not answer within {timeout:g} s; check that it runs there")
        time.sleep(PAUSE_SECONDS)


def answers(url: str, timeout: float = 1.0) -> bool:
    """Whether the server at `url` answers now.

    Raises `UnavailableError` when it answers but refuses the password.
    """
    if urlsplit(url).scheme in ("redis", "rediss"):
        return _redis_answers(url, timeout)
    return _port_answers(url, timeout)


def shown(url: str) -> str:
    """The URL without user and password, fit for messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}"


def _redis_answers(url: str, timeout: float) -> bool:
    try:
        once = Retry(NoBackoff(), 0)
        with Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=once) as connection:
            return bool(connection.ping())
    except AuthenticationError as error:
        raise UnavailableError(f"{shown(url)} refuses the user or the password; correct the URL") from error
    except RedisError:
        return False


def _port_answers(url: str, timeout: float) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 19530), timeout).close()
    except OSError:
        return False
    return True
