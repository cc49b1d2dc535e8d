"""The SQLite file under the store: opened, protected, and one connection for each thread that is inside.

Nothing is lost when a process is killed. When the power fails, a transaction that is not `lasting` may be undone
(synchronous=NORMAL): a parcel, a reply or a date that is lost so only means that the same query is asked again.
Recognitions, jobs and pins are lasting (FULL): whoever has read a recognition finds it under the same number. So is
the ledger's note of a question, and with it all before it: what a photo sends is on the disk before it is sent.
Measured, put + keep_reply + commit of 256 photos x 128 dimensions, 2 cores that others were using: 15,000 photos/s;
13,200 were all FULL, 17,700 were all NORMAL; 24,000 a second of CPU time. What each photo sends and what each question
shows is written too: 8,000 to 11,000 photos/s where 16,000 to 18,000 were without.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enfpire.errors import StoreError
from enfpire.private_file import make_database

APPLICATION_ID = 0x454E4650
SCHEMA_VERSION = 3
BUSY_SECONDS = 30.0

# Bodies have tables of their own: a row with a large blob would be written again whenever a small column changes.
# A query comes before its body, so that reading it does not read the features.
SCHEMA = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, gallery TEXT NOT NULL, bundle BLOB NOT NULL, created REAL NOT NULL, state TEXT NOT NULL,
    total INTEGER NOT NULL, label TEXT NOT NULL,
    recognised INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE waiting (
    job TEXT NOT NULL, row INTEGER NOT NULL, photo TEXT NOT NULL, PRIMARY KEY (job, row)
) WITHOUT ROWID;
CREATE TABLE parcels (
    id BLOB PRIMARY KEY, job TEXT NOT NULL, photos INTEGER NOT NULL, due REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, answered INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX parcels_due ON parcels (answered, due);
CREATE INDEX parcels_job ON parcels (job, answered, due);
CREATE TABLE bodies (parcel BLOB NOT NULL UNIQUE, query BLOB NOT NULL, body BLOB NOT NULL);
CREATE TABLE replies (number INTEGER PRIMARY KEY AUTOINCREMENT, parcel BLOB NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE recognitions (
    job TEXT NOT NULL, seq INTEGER NOT NULL, row INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (job, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX recognitions_row ON recognitions (job, row);
CREATE TABLE parts (
    job TEXT NOT NULL, digest BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (job, digest)
) WITHOUT ROWID;
CREATE TABLE bundles (digest BLOB NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE pins (gallery TEXT PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID;
"""

# Since version 3; before it, all galleries shared the sets.
SETS_SCHEMA = """
CREATE TABLE sets (
    number INTEGER PRIMARY KEY AUTOINCREMENT, gallery TEXT NOT NULL, digest BLOB NOT NULL, bytes INTEGER NOT NULL,
    body BLOB NOT NULL, UNIQUE (gallery, digest)
);
CREATE INDEX sets_bytes ON sets (gallery, number, bytes);
"""

# Since version 3. `sent` calls a photo by the HMAC of its content under the `secret`; `questions` are those of parcels
# that are still there; the others stay when jobs go.
LEDGER_SCHEMA = """
CREATE TABLE secret (number INTEGER PRIMARY KEY CHECK (number = 1), value BLOB NOT NULL);
CREATE TABLE sent (
    content BLOB NOT NULL, bundle BLOB NOT NULL, message BLOB NOT NULL, PRIMARY KEY (content, bundle)
) WITHOUT ROWID;
CREATE TABLE ledger (
    number INTEGER PRIMARY KEY AUTOINCREMENT, gallery TEXT NOT NULL, bundle BLOB NOT NULL UNIQUE,
    photos INTEGER NOT NULL DEFAULT 0, asked INTEGER NOT NULL DEFAULT 0, silent INTEGER NOT NULL DEFAULT 0,
    queries INTEGER NOT NULL DEFAULT 0, bits REAL NOT NULL DEFAULT 0, consented REAL
);
CREATE TABLE asked_groups (bundle BLOB NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (bundle, number)) WITHOUT ROWID;
CREATE TABLE consents (bundle BLOB NOT NULL, earlier BLOB NOT NULL, PRIMARY KEY (bundle, earlier)) WITHOUT ROWID;
CREATE TABLE questions (parcel BLOB PRIMARY KEY, asked INTEGER NOT NULL, bits REAL NOT NULL) WITHOUT ROWID;
"""

# What brings a store of an older version to this one; sets that are dropped are asked for again.
MIGRATIONS = {2: "DROP TABLE sets;" + SETS_SCHEMA + LEDGER_SCHEMA}

TABLES = (
    "jobs",
    "waiting",
    "parcels",
    "bodies",
    "replies",
    "recognitions",
    "parts",
    "sets",
    "bundles",
    "pins",
    "secret",
    "sent",
    "ledger",
    "asked_groups",
    "consents",
    "questions",
)

ADVICE = {
    sqlite3.SQLITE_BUSY: "another process has kept it locked; try again when that one is done",
    sqlite3.SQLITE_FULL: "the disk is full; free space and run the same command again, nothing is lost",
    sqlite3.SQLITE_READONLY: "it cannot be written; check its owner and permissions",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the path and its permissions",
    sqlite3.SQLITE_NOTADB: "it is not a store of EnfPire; choose another path",
    sqlite3.SQLITE_CORRUPT: "it is damaged; move it away and submit the photos again",
}


class Database:
    """A pool of connections to one file.

    The file has mode 0600, and so have the journals that SQLite puts beside it; a directory that does not exist
    is created with mode 0700.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process = os.getpid()
        self._closed = False
        self._idle: list[sqlite3.Connection] = []
        _create(path)
        self._prepare()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection inside a read transaction: everything read is of one moment."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self, *, lasting: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection inside a write transaction, rolled back when the block raises.

        One that is `lasting` is on the disk when the block ends, and with it all before it.
        """
        with self._transaction("BEGIN IMMEDIATE", "FULL" if lasting else "NORMAL") as connection:
            yield connection

    def forget_journal(self) -> None:
        """Empty the write-ahead log, which may still hold what was deleted."""
        with self._errors(), self._connection() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def shrink(self) -> None:
        """Give the space of deleted records back to the file system."""
        with self._errors(), self._connection() as connection:
            connection.execute("VACUUM")

    def close(self) -> None:
        """Close every connection; a thread that is still inside closes its own when it leaves."""
        self._closed = True
        self._drain()

    def _drain(self) -> None:
        while self._idle and self._process == os.getpid():
            self._idle.pop().close()

    @contextmanager
    def _transaction(self, begin: str, synchronous: str = "FULL") -> Iterator[sqlite3.Connection]:
        with self._errors(), self._connection() as connection:
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        if self._closed:
            raise StoreError(f"the store {self._path} is closed; open it again")
        if self._process != os.getpid():  # SQLite's locks do not survive a fork
            raise StoreError(f"the store {self._path} was opened before a fork; open it in the process that uses it")
        connection = self._idle.pop() if self._idle else _connect(self._path)
        try:
            yield connection
        finally:
            self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        self._idle.append(connection)
        if self._closed:
            self._drain()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            advice = ADVICE.get(code, f"SQLite says {getattr(error, 'sqlite_errorname', type(error).__name__)}")
            raise StoreError(f"the store {self._path} failed: {advice}") from error

    def _prepare(self) -> None:
        """Create the tables once, or those that an older version lacks, whichever process comes first."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
            empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
            if ours and version == SCHEMA_VERSION:
                return
            if ours and version not in MIGRATIONS:
                raise StoreError(f"the store {self._path} is of version {version}; update EnfPire or move it away")
            if not ours and not empty:
                raise StoreError(f"{self._path} is not a store of EnfPire; choose another path")
            for statement in (MIGRATIONS[version] if ours else SCHEMA + SETS_SCHEMA + LEDGER_SCHEMA).split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _create(path: Path) -> None:
    try:
        make_database(path)
        path.chmod(0o600)
    except OSError as error:
        raise StoreError(f"the store {path} cannot be created: {error.strerror}; choose another path") from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        for pragma in ("secure_delete = ON", "temp_store = MEMORY"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except sqlite3.Error:
        connection.close()
        raise
    return connection
