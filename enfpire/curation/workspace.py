"""The operator's workspace: a folder with a catalogue of galleries and the operator's key.

The catalogue (SQLite) holds the raw feature of every enrolled photo under the SHA-256 of the photo's bytes, so that
a content is extracted once, in however many galleries and files it lies. The photos themselves stay where they are.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enfpire.curation.catalogue import connect, explained
from enfpire.curation.keys import open_key
from enfpire.errors import GalleryError
from enfpire.wire.arrays import Floats, Indices
from enfpire.wire.bundle import Extractor
from enfpire.wire.candidates import digest_of, encode_info


@dataclass(frozen=True)
class PhotoEntry:
    """One photo of a class: `content` is the SHA-256 of its bytes, `file` says where it was found.

    `raw` (D,) is what the extractor made of it; None where the workspace has it already.
    """

    name: str
    content: bytes
    file: str
    raw: Floats | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Enrolled:
    """A gallery's photos: raw features (n, D) float32 and labels (n,), numbers of `classes`.

    Classes are in the order of their names, photos in the order of their contents: the same photos make the same
    gallery, however they were enrolled. `infos` has a value a class.
    """

    gallery: str
    raw: Floats = field(repr=False)
    labels: Indices = field(repr=False)
    classes: tuple[str, ...]
    infos: tuple[Any, ...]
    extractor: Extractor

    def encoded_infos(self) -> tuple[bytes, ...]:
        """The info records as they travel."""
        return tuple(encode_info(info) for info in self.infos)


@dataclass(frozen=True)
class Version:
    """A published version of a gallery: its name, the digest of its bundle, and when (unix seconds)."""

    version: str
    bundle: bytes
    published: float


class Workspace:
    """The operator's catalogue and key. Raises `StoreError` where the folder cannot be read or written."""

    def __init__(self, folder: Path, db: sqlite3.Connection) -> None:
        self.folder = folder
        self._db = db

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open the workspace in `folder`, which is made (mode 0700) where it is missing."""
        root = Path(folder).expanduser()
        return cls(root, connect(root))

    def close(self) -> None:
        """Close the catalogue."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def galleries(self) -> tuple[str, ...]:
        """Names of the galleries, sorted."""
        return tuple(name for (name,) in self._read("SELECT gallery FROM galleries ORDER BY gallery"))

    def classes(self, gallery: str) -> tuple[str, ...]:
        """Names of a gallery's classes, sorted; none where there is no such gallery."""
        return tuple(
            name for (name,) in self._read("SELECT name FROM classes WHERE gallery = ? ORDER BY name", gallery)
        )

    def check_extractor(self, gallery: str, extractor: Extractor) -> None:
        """Raise `GalleryError` where the gallery has photos of another extractor."""
        found = self._read(
            "SELECT name, weights, dimensions FROM galleries JOIN extractors ON number = extractor WHERE gallery = ?",
            gallery,
        )
        if found and found[0] != _columns(extractor):
            raise GalleryError(
                f"gallery {gallery} was enrolled with the extractor {found[0][0]} (weights {found[0][1].hex()[:12]}), "
                f"this one is {extractor.name} (weights {extractor.weights.hex()[:12]}): use the same, or enrol the "
                "photos under another gallery name"
            )

    def known(self, extractor: Extractor, contents: Iterable[bytes]) -> set[bytes]:
        """Those contents whose raw feature is here."""
        query = (
            "SELECT 1 FROM features JOIN extractors AS e ON e.number = extractor "
            "WHERE name = ? AND weights = ? AND dimensions = ? AND content = ?"
        )
        return {content for content in contents if self._read(query, *_columns(extractor), content)}

    def add(self, gallery: str, extractor: Extractor, photos: Sequence[PhotoEntry]) -> int:
        """Add photos in one transaction, and the classes that are new; how many photos were not there before.

        Raises `GalleryError` for another extractor than the gallery's, `FeatureError` for a raw feature of the wrong
        shape or with NaN.
        """
        with self._writing() as db:
            self.check_extractor(gallery, extractor)
            number = _extractor_number(db, extractor)
            db.execute("INSERT OR IGNORE INTO galleries VALUES (?, ?)", (gallery, number))
            return sum(_add_photo(db, gallery, number, extractor.dimensions, photo) for photo in photos)

    def set_infos(self, gallery: str, infos: dict[str, Any]) -> None:
        """Set the info records of classes of this gallery; names of no class are passed over.

        Raises `GalleryError` for an info that is too large or not JSON.
        """
        rows = [(encode_info(info), gallery, name) for name, info in infos.items()]
        with self._writing() as db:
            db.executemany("UPDATE classes SET info = ? WHERE gallery = ? AND name = ?", rows)

    def keep_only(self, gallery: str, name: str, contents: Iterable[bytes]) -> int:
        """Remove the photos of a class except these; how many were removed."""
        with self._writing() as db:
            found = db.execute(
                "SELECT photos.rowid, content FROM photos JOIN classes ON classes.number = class "
                "JOIN features ON features.number = feature WHERE gallery = ? AND name = ?",
                (gallery, name),
            ).fetchall()
            kept = set(contents)
            gone = [(row,) for row, content in found if content not in kept]
            db.executemany("DELETE FROM photos WHERE rowid = ?", gone)
            _sweep(db)
        return len(gone)

    def remove(self, gallery: str, names: Iterable[str]) -> int:
        """Remove classes with their photos and raw features; how many classes were removed.

        Raises `GalleryError` where one of them is not in the gallery; nothing is removed then.
        """
        wanted = set(names)
        missing = sorted(wanted - set(self.classes(gallery)))
        if missing:
            raise GalleryError(f"gallery {gallery} has no class {', '.join(missing)}: check the spelling")
        with self._writing() as db:
            db.executemany("DELETE FROM classes WHERE gallery = ? AND name = ?", [(gallery, name) for name in wanted])
            _sweep(db)
        return len(wanted)

    def shared(self, gallery: str) -> tuple[tuple[str, ...], ...]:
        """Photos that lie in several classes at once: the classes of each."""
        found = self._read(
            "SELECT json_group_array(name ORDER BY name) FROM photos JOIN classes ON number = class "
            "WHERE gallery = ? GROUP BY feature HAVING count(*) > 1 ORDER BY min(file)",
            gallery,
        )
        return tuple(tuple(json.loads(names)) for (names,) in found)

    def load(self, gallery: str) -> Enrolled:
        """All of a gallery; raises `GalleryError` where it has no photo."""
        with self._writing() as db:  # one view of the catalogue, while another process may enrol
            found = db.execute(
                "SELECT e.name, e.weights, e.dimensions FROM galleries JOIN extractors AS e ON number = extractor "
                "WHERE gallery = ?",
                (gallery,),
            ).fetchone()
            if found is None:
                raise GalleryError(f"there is no gallery {gallery}: enrol photos first (`enfpire enroll`)")
            classes = db.execute(
                "SELECT name, info FROM classes WHERE gallery = ? ORDER BY name", (gallery,)
            ).fetchall()
            extractor = Extractor(name=found[0], weights=found[1], dimensions=found[2])
            names = tuple(name for name, _ in classes)
            raw, labels = _load_features(db, gallery, extractor.dimensions, names)
        return Enrolled(gallery, raw, labels, names, tuple(json.loads(info) for _, info in classes), extractor)

    def operator_key(self) -> Ed25519PrivateKey:
        """The key that signs bundles, made on first use; back it up, clients pin it."""
        return open_key(self.folder / "operator.key")

    def save_fit(self, gallery: str, data: bytes) -> bytes:
        """Keep a fit as the gallery's newest; its digest. The same fit again changes nothing."""
        digest = digest_of(data)
        with self._writing() as db:
            newest = db.execute(f"{_NEWEST_FIT}", (gallery,)).fetchone()
            if newest is None or digest_of(newest[0]) != digest:
                db.execute("INSERT INTO fits (gallery, created, data) VALUES (?, ?, ?)", (gallery, time.time(), data))
        return digest

    def fit(self, gallery: str) -> bytes:
        """The gallery's newest fit; raises `GalleryError` where there is none."""
        found = self._read(_NEWEST_FIT, gallery)
        if not found:
            raise GalleryError(f"gallery {gallery} was not fitted yet: run `enfpire fit --gallery {gallery}`")
        data: bytes = found[0][0]
        return data

    def record_version(self, gallery: str, version: str, bundle: bytes) -> None:
        """Note a published version with its bundle's digest; the same again changes nothing."""
        with self._writing() as db:
            db.execute(
                "INSERT OR IGNORE INTO versions (gallery, version, bundle, published) VALUES (?, ?, ?, ?)",
                (gallery, version, bundle, time.time()),
            )

    def versions(self, gallery: str) -> tuple[Version, ...]:
        """Published versions of a gallery, oldest first."""
        found = self._read("SELECT version, bundle, published FROM versions WHERE gallery = ? ORDER BY number", gallery)
        return tuple(Version(*row) for row in found)

    def _read(self, query: str, *values: object) -> list[Any]:
        with explained(self.folder):
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with explained(self.folder):
            self._db.execute("BEGIN IMMEDIATE")
            with self._db:
                yield self._db


_NEWEST_FIT = "SELECT data FROM fits WHERE gallery = ? ORDER BY number DESC LIMIT 1"
