"""Who resolves a parcel whose reply came: this process, or resolution workers on the client's own broker."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from enfpire.client.resolution import resolve_parcel
from enfpire.client.settings import ClientSettings
from enfpire.client.store import PendingStore
from enfpire.exchange.celery_app import celery_app
from enfpire.exchange.publish import publish
from enfpire.wire.names import RESOLVE_QUEUE, RESOLVE_TASK

logger = logging.getLogger(__name__)

TRIES = 2
MOST_REMEMBERED = 4096


def resolve_here(store: PendingStore) -> Callable[[bytes], None]:
    """Resolve in this process."""

    def resolve(parcel: bytes) -> None:
        resolve_parcel(store, parcel)

    return resolve


class WorkerResolution:
    """Sends the parcel's id, and nothing else, to the resolution workers.

    A parcel that they were sent twice in vain is resolved here: no worker runs, or they have another store.
    """

    def __init__(self, store: PendingStore, settings: ClientSettings) -> None:
        self._here = resolve_here(store)
        self._app = celery_app("client", settings.broker_url, [RESOLVE_QUEUE], settings.resolve_seconds)
        self._sent: Counter[bytes] = Counter()

    def __call__(self, parcel: bytes) -> None:
        """Resolve a parcel whose reply is in the store."""
        self._sent[parcel] += 1
        if len(self._sent) > MOST_REMEMBERED:
            self._sent = Counter({parcel: self._sent[parcel]})
        if self._sent[parcel] <= TRIES:
            publish(self._app, RESOLVE_TASK, RESOLVE_QUEUE, parcel)
            return
        logger.warning("resolution workers do not resolve; are they running, on this client's broker and store?")
        self._here(parcel)
        del self._sent[parcel]
