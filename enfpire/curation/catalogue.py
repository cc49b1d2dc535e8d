"""The workspace's SQLite file: its tables, and the statements that work on several of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from enfpire.curation.entries import PhotoEntry
from enfpire.errors import StoreError
from enfpire.private_file import make_database
from enfpire.wire.arrays import Floats, Indices, check_rows
from enfpire.wire.bundle import Extractor

LAYOUT = 1

_TABLES = (
    """CREATE TABLE extractors (
        number INTEGER PRIMARY KEY, name TEXT NOT NULL, weights BLOB NOT NULL, dimensions INTEGER NOT NULL,
        UNIQUE (name, weights, dimensions))""",
    "CREATE TABLE galleries (gallery TEXT PRIMARY KEY, extractor INTEGER NOT NULL REFERENCES extractors)",
    """CREATE TABLE classes (
        number INTEGER PRIMARY KEY, gallery TEXT NOT NULL REFERENCES galleries, name TEXT NOT NULL,
        info BLOB NOT NULL DEFAULT 'null', UNIQUE (gallery, name))""",
    """CREATE TABLE features (
        number INTEGER PRIMARY KEY, extractor INTEGER NOT NULL REFERENCES extractors, content BLOB NOT NULL,
        raw BLOB NOT NULL, UNIQUE (extractor, content))""",
    """CREATE TABLE photos (
        number INTEGER PRIMARY KEY, class INTEGER NOT NULL REFERENCES classes ON DELETE CASCADE,
        feature INTEGER NOT NULL REFERENCES features, file TEXT NOT NULL, UNIQUE (class, feature))""",
    "CREATE INDEX photos_by_feature ON photos (feature)",
    "CREATE TABLE fits (number INTEGER PRIMARY KEY, gallery TEXT NOT NULL, created REAL NOT NULL, data BLOB NOT NULL)",
    """CREATE TABLE versions (
        number INTEGER PRIMARY KEY, gallery TEXT NOT NULL, version TEXT NOT NULL, bundle BLOB NOT NULL,
        published REAL NOT NULL, UNIQUE (gallery, version, bundle))""",
)


def connect(folder: Path) -> sqlite3.Connection:
    """Open the catalogue of the workspace in `folder`, both made where they are missing, for their owner only."""
    with explained(folder):
        path = folder / "catalogue.sqlite"
        make_database(path)
        db = sqlite3.connect(path, timeout=30, isolation_level=None)
        try:
            _prepare(db, folder)
        except BaseException:
            db.close()
            raise
        return db


def _prepare(db: sqlite3.Connection, folder: Path) -> None:
    db.execute("PRAGMA synchronous = NORMAL")  # a power cut may take the last batch, which is then enrolled again
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("BEGIN IMMEDIATE")
    with db:
        layout = db.execute("PRAGMA user_version").fetchone()[0]
        if layout > LAYOUT:
            raise StoreError(f"the workspace {folder} was made by a newer EnfPire: update this one")
        if layout == 0:
            for table in _TABLES:
                db.execute(table)
            db.execute(f"PRAGMA user_version = {LAYOUT}")


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn what SQLite or the file system says into a `StoreError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"the workspace {folder} cannot be used ({error}): check that the folder is writable, the disk has room, "
            "and no other EnfPire is at work in it"
        ) from error


def extractor_columns(extractor: Extractor) -> tuple[str, bytes, int]:
    """An extractor as its row."""
    return extractor.name, extractor.weights, extractor.dimensions


def extractor_number(db: sqlite3.Connection, extractor: Extractor) -> int:
    """Number of the extractor's row, made where it is missing."""
    columns = extractor_columns(extractor)
    db.execute("INSERT OR IGNORE INTO extractors (name, weights, dimensions) VALUES (?, ?, ?)", columns)
    found = db.execute("SELECT number FROM extractors WHERE name = ? AND weights = ? AND dimensions = ?", columns)
    number: int = found.fetchone()[0]
    return number


def add_photo(db: sqlite3.Connection, gallery: str, extractor: int, dimensions: int, photo: PhotoEntry) -> bool:
    """Add one photo to its class, which is made where it is missing; False where it was there already."""
    if photo.raw is not None:
        raw = check_rows(photo.raw[None], dimensions).astype("<f4").tobytes()
        db.execute(
            "INSERT OR IGNORE INTO features (extractor, content, raw) VALUES (?, ?, ?)", (extractor, photo.content, raw)
        )
    db.execute("INSERT OR IGNORE INTO classes (gallery, name) VALUES (?, ?)", (gallery, photo.name))
    added = db.execute(
        "INSERT OR IGNORE INTO photos (class, feature, file) "
        "SELECT classes.number, features.number, ? FROM classes, features "
        "WHERE gallery = ? AND name = ? AND extractor = ? AND content = ?",
        (photo.file, gallery, photo.name, extractor, photo.content),
    )
    return added.rowcount > 0


def sweep(db: sqlite3.Connection) -> None:
    """Delete classes without photos, galleries without classes, and raw features that no photo needs."""
    db.execute("DELETE FROM classes WHERE number NOT IN (SELECT class FROM photos)")
    db.execute("DELETE FROM galleries WHERE gallery NOT IN (SELECT gallery FROM classes)")
    db.execute("DELETE FROM features WHERE number NOT IN (SELECT feature FROM photos)")


def load_features(
    db: sqlite3.Connection, gallery: str, dimensions: int, names: tuple[str, ...]
) -> tuple[Floats, Indices]:
    """Raw features (n, D) and labels (n,), numbers of `names`, in the order of class and content."""
    inside = "FROM photos JOIN classes ON classes.number = class WHERE gallery = ?"
    count = db.execute(f"SELECT count(*) {inside}", (gallery,)).fetchone()[0]
    raw, labels = np.empty((count, dimensions), np.float32), np.empty(count, np.intp)
    places = {name: place for place, name in enumerate(names)}
    rows = db.execute(
        "SELECT name, raw FROM photos JOIN classes ON classes.number = class "
        "JOIN features ON features.number = feature WHERE gallery = ? ORDER BY name, content",
        (gallery,),
    )
    for row, (name, data) in enumerate(rows):
        raw[row], labels[row] = np.frombuffer(data, "<f4"), places[name]
    return raw, labels
