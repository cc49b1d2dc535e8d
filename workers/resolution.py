"""The resolution worker: `celery -A workers.resolution worker`, on the client's own broker and store.

A shell around `enfpire.client.resolution`. Settings: `ENFPIRE_CLIENT_*`; it never talks to the exchange.
"""

from __future__ import annotations

import logging
import time
from functools import lru_cache
from typing import Any

from celery.signals import worker_process_init

from enfpire.client.resolution import resolve_parcel
from enfpire.client.settings import ClientSettings
from enfpire.client.store import PendingStore, open_store
from enfpire.environment import settings_or_exit
from enfpire.errors import CandidateSetError, WireError
from enfpire.exchange.celery_app import celery_app
from enfpire.exchange.lost_acks import let_go_of_lost_acks
from enfpire.wire.names import RESOLVE_QUEUE, RESOLVE_TASK

logger = logging.getLogger(__name__)
settings = settings_or_exit(ClientSettings)
let_go_of_lost_acks()
app = celery_app("resolution", settings.broker_url, [RESOLVE_QUEUE], settings.resolve_seconds)


@lru_cache(maxsize=1)
def store() -> PendingStore:
    """The process's connection to the client's store."""
    return open_store(settings.store)


@worker_process_init.connect
def _open_in_child(**_: Any) -> None:  # noqa: ANN401 - Celery's signal
    # a connection made before the fork is of no use after it
    store.cache_clear()


@app.task(name=RESOLVE_TASK)
def resolve(parcel: bytes) -> None:
    """Resolve the parcel with this id."""
    try:
        resolve_parcel(store(), parcel)
    except (WireError, CandidateSetError) as error:
        logger.warning("a reply cannot be used and is asked for again: %s", error)
        store().drop_reply(parcel, time.time() + settings.deadline_seconds, attempts=1)
