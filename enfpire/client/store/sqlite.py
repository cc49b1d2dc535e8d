"""The pending store in one SQLite file: for a client on one host."""

# ruff: noqa: D102 - `PendingStore` describes the methods

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from enfpire.client.recognition import Recognition
from enfpire.client.store.database import TABLES, Database
from enfpire.client.store.ledger import Sent
from enfpire.client.store.packing import (
    named,
    pack_parcel,
    pack_recognitions,
    printable,
    unpack_parcel,
    unpack_recognitions,
)
from enfpire.client.store.records import JobRecord, JobState, Outstanding, Parcel, Progress, Waiting
from enfpire.client.store.sqlite_ledger import SqliteLedger, record
from enfpire.client.store.statements import delete_job, evict, insert, no_longer_waiting, parts_of, release, state_of

SELECT_JOBS = "SELECT id, gallery, bundle, created, state, total, label FROM jobs"
SELECT_OUTSTANDING = "SELECT id, job, attempts, due FROM parcels WHERE answered = 0"
SELECT_ANSWERED = "SELECT parcel FROM replies JOIN parcels ON id = parcel WHERE answered = 1"


class SqliteStore:
    """A `PendingStore` in the file `path`, with WAL beside it."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path)
        self.ledger = SqliteLedger(self._database)

    def open_job(self, job: JobRecord, photos: Iterable[str]) -> None:
        values = (job.id, job.gallery, job.bundle, job.created, job.state.value, job.total, printable(job.label))
        rows = ((job.id, one.row, one.photo) for one in named(job, photos))
        with self._database.writing() as connection:
            added = connection.execute("INSERT OR IGNORE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0)", values)
            if added.rowcount:
                connection.executemany("INSERT INTO waiting VALUES (?, ?, ?)", rows)

    def jobs(self) -> list[JobRecord]:
        with self._database.reading() as connection:
            rows = connection.execute(f"{SELECT_JOBS} ORDER BY created, id").fetchall()
        return [_job(row) for row in rows]

    def job(self, job: str) -> JobRecord | None:
        with self._database.reading() as connection:
            row = connection.execute(f"{SELECT_JOBS} WHERE id = ?", (job,)).fetchone()
        return None if row is None else _job(row)

    def set_state(self, job: str, state: JobState) -> None:
        with self._database.writing() as connection:
            state_of(connection, job)
            connection.execute("UPDATE jobs SET state = ? WHERE id = ?", (state.value, job))
            if state is not JobState.OPEN:
                for (parcel,) in connection.execute("SELECT id FROM parcels WHERE job = ?", (job,)).fetchall():
                    release(connection, parcel, frozenset())
        if state is not JobState.OPEN:
            self._database.forget_journal()

    def waiting(self, job: str, limit: int) -> list[Waiting]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT row, photo FROM waiting WHERE job = ? ORDER BY row LIMIT ?", (job, limit)
            ).fetchall()
        return [Waiting(*row) for row in rows]

    def put(self, parcel: Parcel, due: float, sent: Sequence[Sent] = ()) -> bool:
        body = pack_parcel(parcel)
        with self._database.writing(lasting=False) as connection:
            if state_of(connection, parcel.job) is not JobState.OPEN:
                return True
            if connection.execute("SELECT 1 FROM parcels WHERE id = ?", (parcel.id,)).fetchone() is not None:
                return True
            if not record(connection, parcel.job, sent):
                return False
            connection.execute(
                "INSERT INTO parcels (id, job, photos, due) VALUES (?, ?, ?, ?)",
                (parcel.id, parcel.job, len(parcel.rows), due),
            )
            connection.execute("INSERT INTO bodies VALUES (?, ?, ?)", (parcel.id, parcel.query, body))
            no_longer_waiting(connection, parcel.job, parcel.rows)
        return True

    def open_parcels(self, job: str | None = None, limit: int | None = None) -> list[Outstanding]:
        condition, values = _of(job)
        statement = f"{SELECT_OUTSTANDING} AND {condition} ORDER BY due, id LIMIT ?"
        with self._database.reading() as connection:
            rows = connection.execute(statement, (*values, -1 if limit is None else limit)).fetchall()
        return [Outstanding(*row) for row in rows]

    def outstanding(self, job: str | None = None) -> int:
        condition, values = _of(job)
        with self._database.reading() as connection:
            row = connection.execute(f"SELECT count(*) FROM parcels WHERE {condition}", values).fetchone()  # noqa: S608
        return int(row[0])

    def postpone(self, parcel: bytes, due: float, attempts: int) -> None:
        with self._database.writing(lasting=False) as connection:
            connection.execute(
                "UPDATE parcels SET due = ?, attempts = ? WHERE id = ? AND answered = 0", (due, attempts, parcel)
            )

    def keep_reply(self, parcel: bytes, data: bytes) -> bool:
        with self._database.writing(lasting=False) as connection:
            marked = connection.execute("UPDATE parcels SET answered = 1 WHERE id = ? AND answered = 0", (parcel,))
            if marked.rowcount:
                connection.execute("INSERT INTO replies (parcel, body) VALUES (?, ?)", (parcel, data))
        return bool(marked.rowcount)

    def answered(self, limit: int, job: str | None = None) -> list[bytes]:
        condition, values = _of(job)
        statement = f"{SELECT_ANSWERED} AND {condition} ORDER BY number LIMIT ?"
        with self._database.reading() as connection:
            rows = connection.execute(statement, (*values, limit)).fetchall()
        return [row[0] for row in rows]

    def query(self, parcel: bytes) -> bytes | None:
        return self._body("SELECT query FROM bodies WHERE parcel = ?", parcel)

    def load(self, parcel: bytes) -> tuple[Parcel, bytes | None] | None:
        with self._database.reading() as connection:
            kept = connection.execute("SELECT query, body FROM bodies WHERE parcel = ?", (parcel,)).fetchone()
            reply = connection.execute("SELECT body FROM replies WHERE parcel = ?", (parcel,)).fetchone()
        return None if kept is None else (unpack_parcel(parcel, *kept), None if reply is None else reply[0])

    def drop_reply(self, parcel: bytes, due: float, attempts: int) -> None:
        with self._database.writing(lasting=False) as connection:
            connection.execute("DELETE FROM replies WHERE parcel = ?", (parcel,))
            connection.execute(
                "UPDATE parcels SET answered = 0, due = ?, attempts = ? WHERE id = ?", (due, attempts, parcel)
            )

    def commit(self, job: str, recognitions: Sequence[Recognition], parcel: bytes | None) -> int:
        packed, parts = pack_recognitions(recognitions)
        rows = [one.row for one in recognitions]
        with self._database.writing() as connection:
            state_of(connection, job)
            connection.executemany(
                "INSERT OR IGNORE INTO parts VALUES (?, ?, ?)", ((job, *part) for part in parts.items())
            )
            stored = insert(connection, job, packed)
            no_longer_waiting(connection, job, rows)
            if parcel is not None:
                release(connection, parcel, frozenset(rows))
            over = parcel is not None and connection.execute("SELECT 1 FROM parcels LIMIT 1").fetchone() is None
        if over:  # with other parcels on their way their features would soon be in the journal again
            self._database.forget_journal()
        return stored

    def recognitions(self, job: str, after: int, limit: int) -> list[tuple[int, Recognition]]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT seq, body FROM recognitions WHERE job = ? AND seq > ? ORDER BY seq LIMIT ?",
                (job, after, limit),
            ).fetchall()
            found = unpack_recognitions([row[1] for row in rows], lambda wanted: parts_of(connection, job, wanted))
        return [(row[0], one) for row, one in zip(rows, found, strict=True)]

    def progress(self, job: str) -> Progress:
        with self._database.reading() as connection:
            state_of(connection, job)
            row = connection.execute(
                "SELECT total, recognised, failed, (SELECT ifnull(sum(photos), 0) FROM parcels WHERE job = jobs.id) "
                "FROM jobs WHERE id = ?",
                (job,),
            ).fetchone()
        return Progress(*row)

    def hold_sets(self, gallery: str, sets: Sequence[tuple[bytes, bytes]], cap_bytes: int) -> None:
        values = [(gallery, digest, len(body), body) for digest, body in sets if len(body) <= cap_bytes]
        with self._database.writing(lasting=False) as connection:
            connection.executemany("REPLACE INTO sets (gallery, digest, bytes, body) VALUES (?, ?, ?, ?)", values)
            evict(connection, gallery, cap_bytes)

    def hold_set(self, gallery: str, digest: bytes, body: bytes, cap_bytes: int) -> None:
        self.hold_sets(gallery, [(digest, body)], cap_bytes)

    def held_set(self, gallery: str, digest: bytes) -> bytes | None:
        return self._body("SELECT body FROM sets WHERE gallery = ? AND digest = ?", gallery, digest)

    def held_digests(self, gallery: str) -> frozenset[bytes]:
        with self._database.reading() as connection:
            rows = connection.execute("SELECT digest FROM sets WHERE gallery = ?", (gallery,))
            return frozenset(row[0] for row in rows)

    def keep_bundle(self, digest: bytes, data: bytes) -> None:
        with self._database.writing() as connection:
            connection.execute("INSERT OR IGNORE INTO bundles VALUES (?, ?)", (digest, data))

    def bundle(self, digest: bytes) -> bytes | None:
        return self._body("SELECT body FROM bundles WHERE digest = ?", digest)

    def pin(self, gallery: str, key: bytes) -> None:
        with self._database.writing() as connection:
            connection.execute("REPLACE INTO pins VALUES (?, ?)", (gallery, key))

    def pinned(self, gallery: str) -> bytes | None:
        return self._body("SELECT key FROM pins WHERE gallery = ?", gallery)

    def forget(self, job: str) -> None:
        with self._database.writing() as connection:
            delete_job(connection, job)
        self._database.forget_journal()

    def purge(self) -> None:
        with self._database.writing() as connection:
            for table in TABLES:
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
        self._database.shrink()
        self._database.forget_journal()

    def close(self) -> None:
        self._database.close()

    def _body(self, statement: str, *key: bytes | str) -> bytes | None:
        with self._database.reading() as connection:
            row = connection.execute(statement, key).fetchone()
        return None if row is None else row[0]


def _of(job: str | None) -> tuple[str, tuple[str, ...]]:
    """Condition that a parcel is of that job, or of any, and its values."""
    return ("TRUE", ()) if job is None else ("job = ?", (job,))


def _job(row: tuple[str, str, bytes, float, str, int, str]) -> JobRecord:
    id_, gallery, bundle, created, state, total, label = row
    return JobRecord(id_, gallery, bundle, created, JobState(state), total, label)
