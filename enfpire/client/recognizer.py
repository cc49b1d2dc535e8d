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
from enfpire.client.courier import Courier
from enfpire.client.exchange_link import ExchangeLink
from enfpire.client.floor import Floor, check_floor
from enfpire.client.intake import Extractor, Intake
from enfpire.client.job import Job
from enfpire.client.memory import memory_of
from enfpire.client.photos import Photo
from enfpire.client.pipeline import Pipeline
from enfpire.client.recognition import Recognition
from enfpire.client.resolving import WorkerResolution, resolve_here
from enfpire.client.settings import ClientSettings
from enfpire.client.store import JobRecord, JobState, PendingStore, Waiting, open_store
from enfpire.errors import BundleError, PhotoError, UnavailableError, UsageError
from enfpire.exchange.clients import Credential
from enfpire.wire.arrays import check_shape
from enfpire.wire.bundle import SignedBundle, open_bundle

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
        extractor: Extractor | None = None,
    ) -> None:
        self.bundle = signed.bundle
        self._digest = signed.digest
        self._store = store
        self._link = link
        self._settings = settings
        asker = Asker(store, signed)
        self._intake = Intake(
            store, asker, signed.bundle.whitening, extractor, settings.photos_per_query, settings.window
        )
        resolve = WorkerResolution(store, settings) if settings.broker_url else resolve_here(store)
        memory = memory_of(store, signed.bundle, settings.memory_bytes)
        courier = Courier(store, link, credential, settings, memory, resolve)
        self._pipeline = Pipeline(store, asker, courier, self._intake, settings.patience_seconds)
        store.keep_bundle(signed.digest, signed.data)

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
        extractor: Extractor | Callable[[], Extractor] | None = None,
        settings: ClientSettings | None = None,
    ) -> Self:
        """Open a gallery's bundle (a file, or its bytes) and the exchange (a Redis URL).

        `credential` is what the operator gave this client, or the file that holds it; by default it comes from
        `ENFPIRE_CLIENT_ID` and `ENFPIRE_CLIENT_KEY`. The operator's key is pinned in the store at first use,
        unless `operator_key` (32 bytes) names it. `memory` answers photos whose candidate set is held without a
        message. `extractor` replaces the one that the bundle names.

        Raises `BundleError` (damaged, wrong key, weaker than `floor`), `UnavailableError` (no exchange),
        `UsageError` (no credential) and `StoreError`.
        """
        settings = _settings(settings, store, memory)
        own = find_credential(credential, settings)
        with ExitStack() as opened:
            kept = opened.enter_context(closing(open_store(settings.store)))
            signed = open_pinned(read_bundle(bundle), kept, operator_key)
            check_floor(signed.bundle, floor or Floor())
            kept.pin(signed.bundle.gallery, signed.key)
            link = opened.enter_context(closing(ExchangeLink(exchange, own.client, signed.bundle.gallery)))
            link.check()
            made = extractor() if callable(extractor) else extractor
            recognizer = cls(signed, kept, link, own, settings, made or _default_extractor(signed))
            opened.pop_all()  # from now on `close` closes them
        return recognizer

    def submit(self, photos: Sequence[Photo] | Features, *, label: str = "") -> Job:
        """Submit photos (paths, PIL images, arrays (h, w, 3) uint8) or features (n, d) float32.

        Paths are read in the background, and after a restart again; everything else becomes features at once.
        A photo that cannot be used, or a feature with NaN, becomes a recognition with an error. Raises
        `FeatureError` for features of the wrong shape, `UsageError` for no photo at all.
        """
        features = check_shape(photos, self.bundle.dimensions) if isinstance(photos, np.ndarray) else None
        if not len(photos):
            raise UsageError("there is no photo to recognise")
        paths = features is None and all(isinstance(photo, (str, Path)) for photo in photos)
        names = [str(photo) for photo in photos] if paths else [f"#{row}" for row in range(len(photos))]
        record = self._open_job(names, label)
        if features is not None:
            self._ask_features(record, names, features)
        elif not paths:
            waiting = [Waiting(row, name) for row, name in enumerate(names)]
            self._intake.take_in(record.id, waiting, list(photos))
        self._pipeline.follow(record)
        return Job(record, self._store, self._pipeline)

    def recognize(self, photo: Photo, *, timeout: float | None = None) -> Recognition:
        """Recognise one photo and wait for it, at most `timeout` seconds.

        Raises `PhotoError` where it cannot be used, `UnavailableError` where no answer came in time.
        """
        job = self.submit([photo])
        if not job.wait(timeout).done:
            raise UnavailableError(f"no answer within {timeout} s; job {job.id} goes on, and can be resumed")
        recognition = next(job.results(wait=False))
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


def _settings(settings: ClientSettings | None, store: str | None, memory: bool) -> ClientSettings:
    changes: dict[str, Any] = {} if store is None else {"store": store}
    if not memory:
        changes["memory_bytes"] = 0
    return (settings or ClientSettings()).model_copy(update=changes)


def _default_extractor(signed: SignedBundle) -> Extractor:
    from enfpire.client.lazy_extractor import LazyExtractor

    return LazyExtractor(signed.bundle.extractor)


def read_bundle(bundle: str | Path | bytes) -> bytes:
    """Bytes of a bundle; raises `BundleError` where the file cannot be read."""
    if isinstance(bundle, bytes):
        return bundle
    try:
        return Path(bundle).expanduser().read_bytes()
    except OSError as error:
        raise BundleError(f"the bundle {str(bundle)!r} cannot be read: {error.strerror}") from error


def open_pinned(data: bytes, store: PendingStore, operator_key: bytes | None) -> SignedBundle:
    """Open a bundle under `operator_key`, or else the gallery's pinned key, or else under the one that signed it.

    Raises `SignatureError` for another key.
    """
    signed = open_bundle(data, operator_key)
    pinned = store.pinned(signed.bundle.gallery)
    return signed if operator_key is not None or pinned is None else open_bundle(data, pinned)


def find_credential(credential: Credential | str | Path | None, settings: ClientSettings) -> Credential:
    """The client's credential: as given, from its file, or from the environment."""
    if isinstance(credential, Credential):
        return credential
    try:
        if credential is not None:
            return Credential.model_validate_json(Path(credential).expanduser().read_bytes())
        return Credential(client=settings.id, key=settings.key)
    except (OSError, ValueError):
        raise UsageError(
            "no valid credential: give the file that the operator made with `enfpire clients add`, "
            "or set ENFPIRE_CLIENT_ID and ENFPIRE_CLIENT_KEY"
        ) from None
