"""SQLite files that their owner alone may read, made whole before anybody can open them."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path


def make_database(path: Path) -> None:
    """Make an empty SQLite file in WAL mode at `path`, mode 0600, unless there is one; its folder too, mode 0700.

    It is made under another name and linked into place: a file that others already open cannot be put into WAL mode
    without a deadlock that SQLite reports at once as "locked", and opening it a second time by hand would drop the
    locks of this process on it (POSIX locks go with the first descriptor that is closed).

    Raises OSError where the folder cannot be written, sqlite3.Error where SQLite fails.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists():
        return
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # SQLite would let all read it
    os.close(descriptor)
    try:
        with closing(sqlite3.connect(name)) as db:
            db.execute("PRAGMA journal_mode = WAL")
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
