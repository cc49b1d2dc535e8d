"""The candidate worker: `celery -A workers.candidates worker -Q candidates.<gallery>:,candidates.<gallery>.bulk:`.

A shell around `enfpire.server`: connections that live as long as the process, one task, and the push to the
client's reply list. Settings: `ENFPIRE_EXCHANGE_*` and `ENFPIRE_SERVER_*`.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

from celery.signals import worker_process_init

from enfpire.environment import refuse_to_start, settings_or_exit
from enfpire.errors import UsageError
from enfpire.exchange.bundles import fetch_serving
from enfpire.exchange.celery_app import celery_app
from enfpire.exchange.clients import client_secret
from enfpire.exchange.connection import connect as connect_redis
from enfpire.exchange.lost_acks import let_go_of_lost_acks
from enfpire.exchange.replies import post_reply
from enfpire.exchange.settings import ExchangeSettings
from enfpire.server.answer import Lookup
from enfpire.server.gallery import MilvusClient, MilvusLookup
from enfpire.server.gallery import connect as connect_milvus
from enfpire.server.serve import serve
from enfpire.server.settings import ServerSettings
from enfpire.wire.bundle import Serving
from enfpire.wire.names import CANDIDATES_TASK, candidates_queue

# A bundle that is withdrawn is refused after so long at the latest.
REMEMBERED_SECONDS = 60.0

exchange_settings = settings_or_exit(ExchangeSettings)
server_settings = settings_or_exit(ServerSettings)
if not server_settings.galleries:
    refuse_to_start(UsageError("no gallery to serve: name them in ENFPIRE_SERVER_GALLERIES, separated by commas"))
let_go_of_lost_acks()
app = celery_app(
    "candidates",
    exchange_settings.url,
    [candidates_queue(gallery, bulk=bulk) for gallery in server_settings.galleries for bulk in (False, True)],
    exchange_settings.task_seconds,
)


class Desk:
    """What one worker process holds: its connections, and what it has looked up of bundles."""

    def __init__(self) -> None:
        self.exchange = connect_redis(exchange_settings.url)
        self._milvus: MilvusClient | None = None
        self._serving: dict[bytes, tuple[Serving, float]] = {}
        self._lookups: dict[Serving, Lookup] = {}

    def secret(self, client: str) -> bytes | None:
        """Key of a registered client; asked each time, so that revoking works at once."""
        return client_secret(self.exchange, client)

    def serving(self, digest: bytes) -> Serving | None:
        """Serving record of a bundle; only those that exist are remembered, and not for long."""
        known, until = self._serving.get(digest, (None, 0.0))
        if known is not None and time.monotonic() < until:
            return known
        found = fetch_serving(self.exchange, digest)
        if found is not None:
            self._serving[digest] = found, time.monotonic() + REMEMBERED_SECONDS
        elif known is not None:
            del self._serving[digest]
            self._lookups.pop(known, None)
        return found

    def lookup(self, serving: Serving) -> Lookup:
        """The Milvus lookup that serves a bundle."""
        if serving not in self._lookups:
            self._lookups[serving] = MilvusLookup(self._connected(), serving)
        return self._lookups[serving]

    def _connected(self) -> MilvusClient:
        if self._milvus is None:
            self._milvus = connect_milvus(server_settings.milvus_uri, server_settings.milvus_token)
        return self._milvus


@lru_cache(maxsize=1)
def desk() -> Desk:
    """The process's desk, made on first use."""
    return Desk()


@worker_process_init.connect
def _open_in_child(**_: Any) -> None:  # noqa: ANN401 - Celery's signal
    # connections made before the fork are of no use after it
    desk.cache_clear()


@app.task(name=CANDIDATES_TASK)
def candidates(sealed: bytes) -> None:
    """Answer one sealed request on its client's reply list."""
    answered = serve(sealed, desk(), desk().lookup)
    if answered is not None:
        post_reply(desk().exchange, answered.client, answered.request, answered.data, exchange_settings.reply_seconds)
