"""Intake: waiting photos of a job become features, and features become parcels.

A photo that cannot be used gets its recognition with an error at once; the batch goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from enfpire.client.asking import NOT_FINITE, Asker
from enfpire.client.content import content_of
from enfpire.client.features import whiten
from enfpire.client.photos import Photo
from enfpire.client.recognition import Recognition
from enfpire.client.store import JobRecord, PendingStore, Waiting
from enfpire.errors import PhotoError
from enfpire.wire.arrays import Floats
from enfpire.wire.bundle import Whitening

# The name of a photo that is no file begins so: it exists only in the process that submitted it.
MARK = "#"
NOT_ON_DISK = "it was not a file, and the process that had it ended; submit it again"


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
        extractor: Extractor,
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
        """Extract one query's worth of photos of each job, small jobs first."""
        worked = [self._take_in(job) for job in sorted(jobs, key=lambda job: job.total)]
        return any(worked)

    def _take_in(self, job: JobRecord) -> bool:
        if self._store.outstanding(job.id) >= 2 * self._window:
            return False
        waiting = self._store.waiting(job.id, self._chunk)
        if waiting:
            self.take_in(job.id, waiting, [one.photo for one in waiting])
        return bool(waiting)

    def take_in(self, job: str, waiting: Sequence[Waiting], photos: Sequence[Photo]) -> None:
        """Extract `photos`, which are the waiting ones, and hand their features to the asker, a query at a time."""
        for start in range(0, len(photos), self._chunk):
            part = slice(start, start + self._chunk)
            self._take_in_part(job, waiting[part], photos[part])

    def _take_in_part(self, job: str, waiting: Sequence[Waiting], photos: Sequence[Photo]) -> None:
        lost = [place for place, photo in enumerate(photos) if isinstance(photo, str) and photo.startswith(MARK)]
        errors = dict.fromkeys(lost, NOT_ON_DISK)
        places: list[int] = []
        rows: list[Floats] = []
        for extracted in self._extractor.stream(photos) if not lost else ():
            errors |= {place: str(error) for place, error in extracted.failed.items()}
            good = np.isfinite(extracted.raw).all(axis=1)
            errors |= dict.fromkeys(np.array(extracted.places)[~good].tolist(), NOT_FINITE)
            places += np.array(extracted.places)[good].tolist()
            rows.append(extracted.raw[good])
        contents, unreadable = _contents(photos, places)
        self._refuse(job, waiting, errors | unreadable)
        if contents:
            chosen = [waiting[place] for place in contents]
            kept = [place in contents for place in places]
            features = whiten(np.concatenate(rows)[kept], self._whitening)
            names = [one.photo for one in chosen]
            self._asker.ask(job, [one.row for one in chosen], names, features, list(contents.values()))

    def _refuse(self, job: str, waiting: Sequence[Waiting], errors: dict[int, str]) -> None:
        broken = [
            Recognition(row=waiting[place].row, photo=waiting[place].photo, error=error)
            for place, error in sorted(errors.items())
        ]
        if broken:
            self._store.commit(job, broken, None)


def _contents(photos: Sequence[Photo], places: Sequence[int]) -> tuple[dict[int, bytes], dict[int, str]]:
    """Contents of the photos at these places, in their order, and why the others have none."""
    contents: dict[int, bytes] = {}
    errors: dict[int, str] = {}
    for place in places:
        try:
            contents[place] = content_of(photos[place])
        except PhotoError as error:  # it was there when its pixels were read
            errors[place] = str(error)
    return contents, errors
