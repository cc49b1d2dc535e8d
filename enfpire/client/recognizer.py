"""The SDK: submit photos, get recognitions.

with Recognizer.open("groceries.enfpire", exchange="redis://...", credential=credential) as recognizer:
    job = recognizer.submit(photos)
    for recognition in job.results(): ...
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from enfpire.client.asking import Asker
from enfpire.client.courier import INTERACTIVE, Courier
from enfpire.client.exchange_link import ExchangeLink
from enfpire.client.floor import Floor, check_floor
from enfpire.client.intake import MARK, Extractor, Intake
from enfpire.client.job import Job
from enfpire.client.memory import memory_of
from enfpire.client.opening import find_credential, open_pinned, read_bundle
from enfpire.client.photos import Photo
from enfpire.client.pipeline import Pipeline
from enfpire.client.recognition import Recognition
from enfpire.client.refits import check_refit
from enfpire.client.resolution import remember
from enfpire.client.resolving import WorkerResolution, resolve_here
from enfpire.client.settings import ClientSettings
from enfpire.client.store import JobRecord, JobState, PendingStore, Waiting, open_store
from enfpire.errors import PhotoError, UnavailableError, UsageError
from enfpire.exchange.clients import Credential
from enfpire.wire.arrays import check_shape, normalised
from enfpire.wire.bundle import SignedBundle

Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Traffic:
    """Bytes of sealed requests up, and of replies down."""

    up: int
    down: int


class Recognizer:
    """A client of one gallery, under one bundle.

    Made by `open`. Its threads start with the first job and end with `close`.
    """

    def __init__(
        self,
        signed: SignedBundle,
        store: PendingStore,
        link: ExchangeLink,
        credential: Credential,
        settings: ClientSettings,
        extractor: Extractor,
    ) -> None:
        self.bundle = signed.bundle
        self._digest = signed.digest
        self._store = store
        self._link = link
        self._settings = settings
        asker = Asker(store, signed, remembers=settings.memory_bytes > 0)
        self._intake = Intake(
            store, asker, signed.bundle.whitening, extractor, settings.photos_per_query, settings.window
        )
        resolve = WorkerResolution(store, settings) if settings.broker_url else resolve_here(store)
        memory = memory_of(store, signed.bundle, settings.memory_bytes)
        courier = Courier(store, link, credential, settings, memory, resolve)
        self._pipeline = Pipeline(store, asker, courier, self._intake, settings.patience_seconds)
        store.keep_bundle(signed.digest, signed.data)
        remember(signed)

    @classmethod
    def open(  # noqa: PLR0913 - the SDK's front door: keyword options, each with a safe default
        cls,
        bundle: str | Path | bytes,
        *,
        exchange: str,
        credential: Credential | str | Path | None = None,
        store: str | None = None,
        operator_key: bytes | None = None,
        floor: Floor | None = None,
        memory: bool = True,
        consent_to_refit: bool = False,
        extractor: Extractor | Callable[[], Extractor] | None = None,
        settings: ClientSettings | None = None,
    ) -> Self:
        """Open a gallery's bundle (a file, or its bytes) and the exchange (a Redis URL).

        `credential` is what the operator gave this client, or the file that holds it; by default it comes from
        `ENFPIRE_CLIENT_ID` and `ENFPIRE_CLIENT_KEY`. The operator's key is pinned in the store at first use,
        unless `operator_key` (32 bytes) names it. `memory` answers photos whose candidate set is held without a
        message. `consent_to_refit` accepts a bundle that moves classes to other groups than photos were sent under
        before, and other messages about those photos. `extractor` replaces the one that the bundle names.

        Raises `BundleError` (damaged, wrong key, weaker than `floor`, a refit without consent), `UnavailableError`
        (no exchange), `UsageError` (no credential) and `StoreError`.
        """
        settings = _settings(settings, store, memory)
        own = find_credential(credential, settings)
        with ExitStack() as opened:
            kept = opened.enter_context(closing(open_store(settings.store)))
            signed = open_pinned(read_bundle(bundle), kept, operator_key)
            check_floor(signed.bundle, floor or Floor())
            check_refit(signed, kept, consent=consent_to_refit)
            kept.pin(signed.bundle.gallery, signed.key)
            link = opened.enter_context(closing(ExchangeLink(exchange, own.client, signed.bundle.gallery)))
            link.check()
            made = extractor() if callable(extractor) else extractor
            recognizer = cls(signed, kept, link, own, settings, made or _default_extractor(signed, settings))
            opened.pop_all()  # from now on `close` closes them
        return recognizer

    def submit(self, photos: Sequence[Photo] | Features, *, label: str = "") -> Job:
        """Submit photos (paths, PIL images, arrays (h, w, 3) uint8) or features (n, d) float32.

        Paths are read in the background, and after a restart again; a few paths, and everything else, become
        features at once. Features are normalised. A photo that cannot be used, or a feature with NaN, becomes a
        recognition with an error. Raises `FeatureError` for features of the wrong shape, `UsageError` for no photo.
        """
        if isinstance(photos, (str, Path)):
            raise UsageError("give a list of photos; for a single one use `recognize`")
        features = check_shape(photos, self.bundle.dimensions) if isinstance(photos, np.ndarray) else None
        if not len(photos):
            raise UsageError("there is no photo to recognise")
        paths = features is None and all(isinstance(photo, (str, Path)) for photo in photos)
        names = [_name(photo, row) if paths else f"{MARK}{row}" for row, photo in enumerate(photos)]
        record = self._open_job(names, label)
        try:
            if features is not None:
                self._ask_features(record, names, normalised(features))
            elif not paths or len(photos) <= INTERACTIVE:
                self._intake.take_in(record.id, [Waiting(*one) for one in enumerate(names)], list(photos))
        except Exception:  # an interrupt leaves the job open, to be resumed
            self._store.set_state(record.id, JobState.CANCELLED)
            raise
        self._pipeline.follow(record)
        return Job(record, self._store, self._pipeline)

    def recognize(self, photo: Photo, *, timeout: float | None = None) -> Recognition:
        """Recognise one photo and wait for it, at most `timeout` seconds; the store keeps only what it sent.

        Raises `PhotoError` where it cannot be used, `UnavailableError` where no answer came in time.
        """
        job = self.submit([photo])
        if not job.wait(timeout).done:
            raise UnavailableError(f"no answer within {timeout} s; job {job.id} goes on, and can be resumed")
        recognition = next(job.results(wait=False))
        self._store.forget(job.id)
        if recognition.error is not None:
            raise PhotoError(recognition.error)
        return recognition

    def resume(self, job: str) -> Job:
        """Go on with a job that another process, or an error, left open.

        Raises `UsageError` for an unknown job, a cancelled one, or one of another bundle.
        """
        record = self._store.job(job)
        if record is None or record.state is JobState.CANCELLED:
            raise UsageError(f"there is no open job {job!r}; `enfpire jobs list` shows them")
        if not self.knows(record):
            raise UsageError(f"job {job!r} was submitted under another bundle; open that one to resume it")
        for parcel in self._store.open_parcels(job):
            self._store.postpone(parcel.id, time.time(), parcel.attempts)
        self._pipeline.follow(record)
        return Job(record, self._store, self._pipeline)

    def knows(self, record: JobRecord) -> bool:
        """Whether a job was submitted under this recognizer's bundle."""
        return record.bundle == self._digest

    def jobs(self) -> list[JobRecord]:
        """Every job in the store, oldest first."""
        return self._store.jobs()

    @property
    def traffic(self) -> Traffic:
        """Bytes that this recognizer has moved over the exchange so far."""
        return Traffic(self._link.bytes_up, self._link.bytes_down)

    def close(self) -> None:
        """Stop the threads and close all connections; open jobs stay in the store."""
        self._pipeline.stop()
        self._link.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_job(self, names: list[str], label: str) -> JobRecord:
        record = JobRecord(
            id=os.urandom(8).hex(),
            gallery=self.bundle.gallery,
            bundle=self._digest,
            created=time.time(),
            state=JobState.OPEN,
            total=len(names),
            label=label,
        )
        self._store.open_job(record, names)
        return record

    def _ask_features(self, record: JobRecord, names: list[str], features: Features) -> None:
        step = self._settings.photos_per_query
        for start in range(0, len(names), step):
            rows = range(start, min(start + step, len(names)))
            self._pipeline.asker.ask(record.id, rows, names[start : start + step], features[start : start + step])


def _name(path: Photo, row: int) -> str:
    """What a photo is called in the store; a file by its whole path, for the job may go on in another folder."""
    return str(Path(path).expanduser().absolute()) if isinstance(path, (str, Path)) else f"{MARK}{row}"


def _settings(settings: ClientSettings | None, store: str | None, memory: bool) -> ClientSettings:
    changes: dict[str, Any] = {} if store is None else {"store": store}
    if not memory:
        changes["memory_bytes"] = 0
    return (settings or ClientSettings()).model_copy(update=changes)


def _default_extractor(signed: SignedBundle, settings: ClientSettings) -> Extractor:
    from enfpire.client.lazy_extractor import LazyExtractor

    return LazyExtractor(signed.bundle.extractor, Path(settings.weights) if settings.weights else None)
