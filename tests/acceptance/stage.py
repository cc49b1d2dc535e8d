"""What the acceptance tests play on: a real service, a small gallery of real photos, and its published bundles."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.process import CHECKOUT
from enfpire.client.extractor import PhotoExtractor, load_extractor
from enfpire.client.features import whiten
from enfpire.client.floor import Floor
from enfpire.client.match import Match
from enfpire.client.protocol import protect, resolve
from enfpire.client.recognizer import Recognizer
from enfpire.client.settings import ClientSettings
from enfpire.curation.cells import CellsOptions
from enfpire.curation.entries import PhotoEntry
from enfpire.curation.fit import Fit, Options, VectorOptions, encode_fit, fit_base, fit_transform
from enfpire.curation.held_out import Recipe
from enfpire.curation.publish import draft_version, publish
from enfpire.curation.workspace import Workspace
from enfpire.exchange.clients import Credential, add_client
from enfpire.exchange.connection import connect
from enfpire.server import gallery as galleries
from enfpire.server.answer import answer
from enfpire.server.memory_gallery import MemoryLookup
from enfpire.wire.arrays import Floats
from enfpire.wire.bundle import SignedBundle, serving_of
from enfpire.wire.candidates import digest_of
from enfpire.wire.names import KEY_PREFIX, candidates_queue
from examples.demo.kept import KeptFeatures, extract_once
from examples.demo.shots import shoot, spots
from workers.local import LocalService

GALLERY = "spots"
CLASSES, SHOTS = 24, 3
QUEUE = KEY_PREFIX + candidates_queue(GALLERY, bulk=False)
BULK_QUEUE = KEY_PREFIX + candidates_queue(GALLERY, bulk=True)
ANY_FLOOR = Floor(unproved=True, insecure=True)
FITS: dict[str, Options] = {
    "cells": CellsOptions(classes_per_group=6, anchors="class"),
    "projection": VectorOptions(kind="projection", dimensions=8, candidates=6),
    "sign": VectorOptions(kind="sign", dimensions=16, candidates=6),
    "identity": VectorOptions(kind="identity", candidates=6),
}


@dataclass(frozen=True)
class Published:
    """A fit, the bundle that it became, and the bundle's file."""

    fit: Fit
    signed: SignedBundle
    path: Path


@dataclass(frozen=True)
class Stage:
    """`photos` are the query photos, `kept` their raw features, `truth` their classes."""

    folder: Path
    service: LocalService
    extractor: PhotoExtractor
    kept: KeptFeatures
    photos: list[str]
    published: dict[str, Published]
    credential: Credential

    @property
    def truth(self) -> dict[str, str]:
        return {photo: Path(photo).parent.name for photo in self.photos}

    @cached_property
    def raw(self) -> Floats:
        return np.stack([self.kept.raw[photo] for photo in self.photos])

    @property
    def exposed(self) -> list[str]:
        """Photos that tests may send unprotected: only these features ever were on the operator's side."""
        return self.photos[SHOTS - 1 :: SHOTS]

    def features(self, name: str = "cells") -> Floats:
        """Features (n, d) of all query photos."""
        return whiten(self.raw, self.published[name].signed.bundle.whitening)

    def expected(self, name: str = "cells") -> dict[str, Match]:
        """What the three pure functions and the gallery in memory say of each photo."""
        published = self.published[name]
        pending, query = protect(self.features(name), published.signed)
        serving = serving_of(published.signed.bundle)
        reply = answer(query, serving, memory_lookup(published.fit, serving.candidates))
        return dict(zip(self.photos, resolve(pending, reply, published.signed), strict=True))

    def settings(self, **changes: Any) -> ClientSettings:
        return ClientSettings(id=self.credential.client, key=self.credential.key).model_copy(update=changes)

    @contextmanager
    def recognizer(
        self,
        store: Path | str,
        name: str = "cells",
        memory: bool = False,
        extractor: Any = None,
        **changes: Any,
    ) -> Iterator[Recognizer]:
        """A client of its own store; photos' features are those that are kept."""
        with Recognizer.open(
            self.published[name].path,
            exchange=self.service.exchange_url,
            credential=self.credential,
            store=str(store),
            floor=ANY_FLOOR,
            memory=memory,
            extractor=extractor or self.kept,
            settings=self.settings(**changes),
        ) as recognizer:
            yield recognizer

    @cached_property
    def kept_file(self) -> Path:
        """The raw features in a file, for a client in another process."""
        path = self.folder / "kept.npz"
        np.savez(path, names=np.array(self.photos), raw=self.raw)
        return path

    @contextmanager
    def client(self, store: Path, photos: Sequence[str], **orders: Any) -> Iterator[subprocess.Popen[str]]:
        """A client in a process of its own (`client.py`); `orders` replace the usual ones."""
        usual = {
            "bundle": str(self.published["cells"].path),
            "exchange": self.service.exchange_url,
            "credential": self.credential.model_dump(),
            "store": str(store),
            "photos": list(photos),
            "settings": {},
        }
        if "noted" not in orders:
            usual["kept"] = str(self.kept_file)
        argv = [sys.executable, "-m", "tests.acceptance.client"]
        with subprocess.Popen(
            argv, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            process.stdin.write(json.dumps(usual | orders))
            process.stdin.close()
            process.stdin = None  # or `communicate` would flush it
            try:
                yield process
            finally:
                process.kill()


def within(seconds: float, met: Callable[[], object]) -> bool:
    """Whether something comes true within so many seconds."""
    deadline = monotonic() + seconds
    while not (found := met()) and monotonic() < deadline:
        sleep(0.02)
    return bool(found)


@contextmanager
def suspended(stage: Stage, name: str) -> Iterator[Callable[[], None]]:
    """A worker that takes no task until the block ends, or what it gives is called."""
    pid = stage.service.processes[name].pid or 0

    def go_on() -> None:
        os.kill(pid, signal.SIGCONT)

    os.kill(pid, signal.SIGSTOP)
    try:
        # what it was waiting for when it was stopped would still be given to it
        assert within(5, lambda: not blocked_readers(stage.service.exchange_url))
        yield go_on
    finally:
        go_on()


def blocked_readers(url: str) -> int:
    with redis.Redis.from_url(url) as connection:
        return sum("b" in client["flags"] for client in connection.client_list())


def memory_lookup(fitted: Fit, candidates: int = 0) -> MemoryLookup:
    """The in-memory reference for a fit."""
    return MemoryLookup(draft_version(fitted), candidates)


@contextmanager
def build_stage(folder: Path) -> Iterator[Stage]:
    """Start the service, and publish a gallery under each transform."""
    extractor = load_extractor()
    with LocalService(folder / "service", [GALLERY]) as service:
        photos = write_photos(folder / "photos")
        kept = extract_once(extractor, [str(path) for paths in photos.values() for path in paths], lambda _: None)
        with Workspace.open(folder / "workspace") as workspace:
            fill(workspace, extractor, kept, photos["gallery"])
            base = fit_base(workspace.load(GALLERY), Recipe())
            fits = {name: fit_transform(base, options) for name, options in FITS.items()}
            workspace.save_fit(GALLERY, encode_fit(fits["cells"]))
            key = workspace.operator_key()
        with connect(service.exchange_url) as exchange:
            credential = add_client(exchange, "acceptance")
        yield Stage(
            folder=folder,
            service=service,
            extractor=extractor,
            kept=kept,
            photos=[str(path) for path in photos["query"]],
            published={
                name: publish_fit(fitted, key, service, folder / f"{name}.enfpire") for name, fitted in fits.items()
            },
            credential=credential,
        )


def write_photos(folder: Path) -> dict[str, list[Path]]:
    """gallery/CLASS/*.jpg and query/CLASS/*.jpg; their paths, by class."""
    random = np.random.default_rng(0)
    written: dict[str, list[Path]] = {"gallery": [], "query": []}
    for name, spot in islice(spots(), 0, 2 * CLASSES, 2):
        for split, paths in written.items():
            (folder / split / name).mkdir(parents=True)
            for number in range(SHOTS):
                path = folder / split / name / f"{name}_{number}.jpg"
                path.write_bytes(shoot(spot, random))
                paths.append(path)
    return written


def fill(workspace: Workspace, extractor: PhotoExtractor, kept: KeptFeatures, photos: list[Path]) -> None:
    """Enrol photos whose features are kept."""
    entries = [
        PhotoEntry(photo.parent.name, digest_of(photo.read_bytes()), str(photo), kept.raw[str(photo)])
        for photo in photos
    ]
    workspace.add(GALLERY, extractor.describe(), entries)
    infos = {name: {"title": name.replace("_", " ").title(), "floor": 1} for name in workspace.classes(GALLERY)}
    workspace.set_infos(GALLERY, infos)


def publish_fit(fitted: Fit, key: Ed25519PrivateKey, service: LocalService, path: Path) -> Published:
    """Publish a fit, and write its bundle."""
    milvus, exchange = galleries.connect(service.milvus_uri), connect(service.exchange_url)
    signed = publish(fitted, milvus, exchange, key, lambda *_: None)
    milvus.close()
    exchange.close()
    path.write_bytes(signed.data)
    return Published(fitted, signed, path)
