"""Who resolves a parcel whose reply came: this process, or resolution workers on the client's own broker."""

from __future__ import annotations

from collections.abc import Callable

from enfpire.client.resolution import resolve_parcel
from enfpire.client.settings import ClientSettings
from enfpire.client.store import PendingStore
from enfpire.exchange.celery_app import celery_app
from enfpire.exchange.publish import publish
from enfpire.wire.names import RESOLVE_QUEUE, RESOLVE_TASK


def resolve_here(store: PendingStore) -> Callable[[bytes], None]:
    """Resolve in this process."""

    def resolve(parcel: bytes) -> None:
        resolve_parcel(store, parcel)

    return resolve


def resolve_with_workers(settings: ClientSettings) -> Callable[[bytes], None]:
    """Send the parcel's id, and nothing else, to the resolution workers."""
    app = celery_app("client", settings.broker_url, [RESOLVE_QUEUE], settings.resolve_seconds)

    def resolve(parcel: bytes) -> None:
        publish(app, RESOLVE_TASK, RESOLVE_QUEUE, parcel)

    return resolve
