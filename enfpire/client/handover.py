"""Handing kept replies over to be resolved, again where that was forgotten, and counting those of no use."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from enfpire.client.store import PendingStore
from enfpire.errors import CandidateSetError, EnfPireError, WireError

logger = logging.getLogger(__name__)

BAD_REPLIES = 5
AGAIN_SECONDS = 10.0
LOOK_SECONDS = 1.0
MOST_AGAIN = 64

Drop = Callable[[bytes], None]


class HandOver:
    """Has parcels resolved whose reply is in the store; `drop` lets go of a reply that cannot be used."""

    def __init__(self, store: PendingStore, resolve: Callable[[bytes], None]) -> None:
        self._store = store
        self._resolve = resolve
        self._handed: dict[bytes, float] = {}
        self._bad: Counter[bytes] = Counter()
        self._looked = 0.0

    def __call__(self, parcel: bytes, drop: Drop) -> None:
        """Have one parcel resolved."""
        self._handed[parcel] = time.monotonic()
        try:
            self._resolve(parcel)
        except (WireError, CandidateSetError) as error:
            self.bad_reply(parcel, error, drop)

    def forgotten(self, jobs: set[str], drop: Drop) -> int:
        """Hand over again what was kept and forgotten: a resolution task was lost, or a process died."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return 0
        self._looked = now
        kept = [parcel for job in jobs for parcel in self._store.answered(MOST_AGAIN, job)]
        self._handed = {parcel: since for parcel, since in self._handed.items() if parcel in kept}
        # one that this process never handed over was left by another: at once
        late = [parcel for parcel in kept if now - self._handed.get(parcel, -AGAIN_SECONDS) >= AGAIN_SECONDS]
        for parcel in late:
            self(parcel, drop)
        return len(late)

    def bad_reply(self, parcel: bytes, error: EnfPireError, drop: Drop) -> None:
        """Drop a reply that cannot be used; raises `error` when it was not the first for this parcel."""
        # dropped first: whoever goes on after the error asks again, instead of meeting the same reply
        drop(parcel)
        self._bad[parcel] += 1
        if self._bad[parcel] >= BAD_REPLIES:
            del self._bad[parcel]
            raise error
        logger.warning("a reply cannot be used and is asked for again: %s", error)
