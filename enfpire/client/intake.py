"""Intake: waiting photos of a job become features, and features become parcels.

A photo that cannot be used gets its recognition with an error at once; the batch goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from enfpire.client.asking import Asker
from enfpire.client.features import whiten
from enfpire.client.photos import Photo
from enfpire.client.recognition import Recognition
from enfpire.client.store import JobRecord, PendingStore, Waiting
from enfpire.errors import PhotoError
from enfpire.wire.arrays import Floats
from enfpire.wire.bundle import Whitening


class Extracted(Protocol):
    """A batch that came out of an extractor; `places` are places in the photos that went in."""

    @property
    def places(self) -> tuple[int, ...]:
        """Places of the photos that have a feature."""
        ...

    @property
    def raw(self) -> Floats:
        """Raw features (n, D)."""
        ...

    @property
    def failed(self) -> dict[int, PhotoError]:
        """Photos that cannot be used, by place."""
        ...


class Extractor(Protocol):
    """Photos to raw features."""

    def stream(self, photos: Sequence[Photo]) -> Iterator[Extracted]:
        """Extract a batch after the other."""
        ...


class Intake:
    """Extracts the waiting photos of open jobs, as long as few enough queries wait for their reply."""

    def __init__(
        self,
        store: PendingStore,
        asker: Asker,
        whitening: Whitening,
        extractor: Extractor | None,
        photos_per_query: int,
        window: int,
    ) -> None:
        self._store = store
        self._asker = asker
        self._whitening = whitening
        self._extractor = extractor
        self._chunk = photos_per_query
        self._window = window

    def round(self, jobs: list[JobRecord]) -> bool:
        """Extract one query's worth of photos of each job."""
        worked = [self._take_in(job) for job in jobs]
        return any(worked)

    def _take_in(self, job: JobRecord) -> bool:
        if self._store.outstanding(job.id) >= 2 * self._window:
            return False
        waiting = self._store.waiting(job.id, self._chunk)
        if waiting:
            self.take_in(job.id, waiting, [one.photo for one in waiting])
        return bool(waiting)

    def take_in(self, job: str, waiting: Sequence[Waiting], photos: Sequence[Photo]) -> None:
        """Extract `photos`, which are the waiting ones, and hand their features to the asker."""
        if self._extractor is None:
            raise PhotoError("this recognizer was opened without an extractor: submit features, not photos")
        for extracted in self._extractor.stream(photos):
            self._put(job, waiting, extracted)

    def _put(self, job: str, waiting: Sequence[Waiting], extracted: Extracted) -> None:
        broken = [
            Recognition(row=waiting[place].row, photo=waiting[place].photo, error=str(error))
            for place, error in extracted.failed.items()
        ]
        if broken:
            self._store.commit(job, broken, None)
        if extracted.places:
            chosen = [waiting[place] for place in extracted.places]
            features = whiten(extracted.raw, self._whitening)
            self._asker.ask(job, [one.row for one in chosen], [one.photo for one in chosen], features)
