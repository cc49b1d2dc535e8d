"""The operator's workspace: a folder with a catalogue of galleries and the operator's key.

The catalogue (SQLite) holds the raw feature of every enrolled photo under the SHA-256 of the photo's bytes, so that
a content is extracted once, in however many galleries and files it lies. The photos themselves stay where they are.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enfpire.curation.catalogue import (
    add_photo,
    connect,
    explained,
    extractor_columns,
    extractor_number,
    load_features,
    sweep,
)
from enfpire.curation.entries import Enrolled, PhotoEntry, Version
from enfpire.curation.keys import open_key
from enfpire.errors import GalleryError
from enfpire.wire.bundle import Extractor
from enfpire.wire.candidates import digest_of, encode_info

__all__ = ["Enrolled", "PhotoEntry", "Version", "Workspace"]

_GALLERY_EXTRACTOR = (
    "SELECT name, weights, dimensions FROM galleries JOIN extractors ON number = extractor WHERE gallery = ?"
)
_NEWEST_FIT = "SELECT data FROM fits WHERE gallery = ? ORDER BY number DESC LIMIT 1"


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

    def photos(self, gallery: str) -> int:
        """How many photos a gallery has; a content that lies in two classes counts twice."""
        inside = "SELECT count(*) FROM photos JOIN classes ON classes.number = class WHERE gallery = ?"
        return int(self._read(inside, gallery)[0][0])

    def check_extractor(self, gallery: str, extractor: Extractor) -> None:
        """Raise `GalleryError` where the gallery has photos of another extractor."""
        found = self._read(_GALLERY_EXTRACTOR, gallery)
        if found and found[0] != extractor_columns(extractor):
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
        return {content for content in contents if self._read(query, *extractor_columns(extractor), content)}

    def add(self, gallery: str, extractor: Extractor, photos: Sequence[PhotoEntry]) -> int:
        """Add photos in one transaction, and the classes that are new; how many photos were not there before.

        Raises `GalleryError` for another extractor than the gallery's, `FeatureError` for a raw feature of the wrong
        shape or with NaN.
        """
        with self._transaction() as db:
            self.check_extractor(gallery, extractor)
            number = extractor_number(db, extractor)
            db.execute("INSERT OR IGNORE INTO galleries VALUES (?, ?)", (gallery, number))
            return sum(add_photo(db, gallery, number, extractor.dimensions, photo) for photo in photos)

    def set_infos(self, gallery: str, infos: dict[str, Any]) -> tuple[str, ...]:
        """Set the info records of classes of this gallery; the names that are of no class, sorted.

        Raises `GalleryError` for an info that is too large or not JSON.
        """
        rows = [(encode_info(info), gallery, name) for name, info in infos.items()]
        with self._transaction() as db:
            db.executemany("UPDATE classes SET info = ? WHERE gallery = ? AND name = ?", rows)
        return tuple(sorted(set(infos) - set(self.classes(gallery))))

    def keep_only(self, gallery: str, contents: Mapping[str, Collection[bytes]]) -> int:
        """Remove the photos of each of these classes except those contents; how many were removed."""
        with self._transaction() as db:
            gone = [row for name, kept in contents.items() for row in _photos_but(db, gallery, name, kept)]
            db.executemany("DELETE FROM photos WHERE number = ?", gone)
            sweep(db)
        return len(gone)

    def remove_classes(self, gallery: str, names: Iterable[str]) -> int:
        """Remove classes with their photos and raw features; how many classes were removed.

        Raises `GalleryError` where one of them is not in the gallery; nothing is removed then.
        """
        wanted = set(names)
        missing = sorted(wanted - set(self.classes(gallery)))
        if missing:
            raise GalleryError(f"gallery {gallery} has no class {', '.join(missing)}: check the spelling")
        with self._transaction() as db:
            db.executemany("DELETE FROM classes WHERE gallery = ? AND name = ?", [(gallery, name) for name in wanted])
            sweep(db)
        return len(wanted)

    def shared(self, gallery: str) -> tuple[tuple[str, ...], ...]:
        """Photos that lie in several classes at once: the classes of each, sorted."""
        found = self._read(
            "SELECT json_group_array(name) FROM photos JOIN classes ON classes.number = class "
            "WHERE gallery = ? GROUP BY feature HAVING count(*) > 1 ORDER BY min(file)",
            gallery,
        )
        return tuple(tuple(sorted(json.loads(names))) for (names,) in found)

    def load(self, gallery: str) -> Enrolled:
        """All of a gallery; raises `GalleryError` where it has no photo."""
        with self._transaction("DEFERRED") as db:  # one view of the catalogue, while another process may enrol
            found = db.execute(_GALLERY_EXTRACTOR, (gallery,)).fetchone()
            if found is None:
                raise GalleryError(f"there is no gallery {gallery}: enrol photos first (`enfpire enroll`)")
            extractor = Extractor(name=found[0], weights=found[1], dimensions=found[2])
            rows = db.execute("SELECT name, info FROM classes WHERE gallery = ? ORDER BY name", (gallery,)).fetchall()
            names = tuple(name for name, _ in rows)
            raw, labels = load_features(db, gallery, extractor.dimensions, names)
        return Enrolled(gallery, raw, labels, names, tuple(json.loads(info) for _, info in rows), extractor)

    def operator_key(self) -> Ed25519PrivateKey:
        """The key that signs bundles, made on first use; back it up, clients pin it."""
        return open_key(self.folder / "operator.key")

    def save_fit(self, gallery: str, data: bytes) -> bytes:
        """Keep a fit as the gallery's newest; its digest. The same fit again changes nothing."""
        digest = digest_of(data)
        with self._transaction() as db:
            newest = db.execute(_NEWEST_FIT, (gallery,)).fetchone()
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

    def published_fit(self, gallery: str) -> bytes | None:
        """The fit of the gallery's newest published version; None where nothing was published."""
        published = self.versions(gallery)
        return self.fit_of(gallery, published[-1].version) if published else None

    def fit_of(self, gallery: str, version: str) -> bytes | None:
        """The fit that made a version, which is named by the fit's digest; None where it is not here."""
        fits = self._read("SELECT data FROM fits WHERE gallery = ? ORDER BY number DESC", gallery)
        return next((data for (data,) in fits if digest_of(data).hex().startswith(version)), None)

    def record_version(self, gallery: str, version: str, bundle: bytes) -> None:
        """Note a published version with its bundle's digest; the same again changes nothing."""
        with self._transaction() as db:
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
    def _transaction(self, mode: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        with explained(self.folder):
            self._db.execute(f"BEGIN {mode}")
            with self._db:
                yield self._db


def _photos_but(db: sqlite3.Connection, gallery: str, name: str, kept: Collection[bytes]) -> list[tuple[int]]:
    """Numbers of a class's photos without the contents that are kept."""
    found = db.execute(
        "SELECT photos.number, content FROM photos JOIN classes ON classes.number = class "
        "JOIN features ON features.number = feature WHERE gallery = ? AND name = ?",
        (gallery, name),
    )
    return [(row,) for row, content in found if content not in kept]
