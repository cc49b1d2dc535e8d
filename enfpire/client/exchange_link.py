"""The client's two rights on the exchange: to push queries, and to take its own replies."""

from __future__ import annotations

import threading

from celery import Celery

from enfpire.exchange.celery_app import celery_app
from enfpire.exchange.connection import connect, reachable
from enfpire.exchange.publish import publish
from enfpire.exchange.replies import take_reply
from enfpire.wire.names import CANDIDATES_TASK, candidates_queue


class ExchangeLink:
    """A client's connection to the exchange, for one gallery.

    `bytes_up` and `bytes_down` count the sealed requests and the replies that it has moved.
    """

    def __init__(self, url: str, client: str, gallery: str) -> None:
        self._client = client
        self._redis = connect(url)
        queues = [candidates_queue(gallery, bulk=bulk) for bulk in (False, True)]
        self._app: Celery = celery_app("client", url, queues, task_seconds=20)
        self._lock = threading.Lock()
        self.bytes_up = 0
        self.bytes_down = 0

    def check(self) -> None:
        """Raises `UnavailableError` when the exchange does not answer."""
        with reachable("exchange"):
            self._redis.ping()

    def push(self, gallery: str, sealed: bytes, *, bulk: bool) -> None:
        """Push a sealed request onto a gallery's queue."""
        with self._lock:
            publish(self._app, CANDIDATES_TASK, candidates_queue(gallery, bulk=bulk), sealed)
            self.bytes_up += len(sealed)

    def take(self, requests: list[bytes], wait: float) -> tuple[bytes, bytes] | None:
        """Take one reply to any of the requests, waiting up to `wait` seconds."""
        found = take_reply(self._redis, self._client, requests, wait)
        self.bytes_down += 0 if found is None else len(found[1])
        return found

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()
        self._app.close()
