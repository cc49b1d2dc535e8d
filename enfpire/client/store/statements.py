"""Steps that several transactions of the SQLite store share; each works inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from enfpire.client.store.packing import PackedRecognition, unpack_parcel
from enfpire.client.store.records import JobState
from enfpire.errors import StoreError


def state_of(connection: sqlite3.Connection, job: str) -> JobState:
    """State of a job; raises `StoreError` for one that the store does not know."""
    row = connection.execute("SELECT state FROM jobs WHERE id = ?", (job,)).fetchone()
    if row is None:
        raise StoreError("the store does not know this job; it may have been purged: submit the photos again")
    return JobState(row[0])


def no_longer_waiting(connection: sqlite3.Connection, job: str, rows: Iterable[int]) -> None:
    """Take rows off the list of those that wait."""
    connection.executemany("DELETE FROM waiting WHERE job = ? AND row = ?", ((job, row) for row in rows))


def release(connection: sqlite3.Connection, parcel: bytes, resolved: frozenset[int]) -> None:
    """Delete a parcel; those of its rows that have no recognition wait again."""
    body = connection.execute("SELECT body FROM bodies WHERE parcel = ?", (parcel,)).fetchone()
    if body is None:
        return
    released = unpack_parcel(parcel, b"", body[0])
    connection.executemany(
        "INSERT OR IGNORE INTO waiting SELECT ?1, ?2, ?3 "
        "WHERE NOT EXISTS (SELECT 1 FROM recognitions WHERE job = ?1 AND row = ?2)",
        [
            (released.job, row, photo)
            for row, photo in zip(released.rows, released.photos, strict=True)
            if row not in resolved
        ],
    )
    connection.execute("DELETE FROM bodies WHERE parcel = ?", (parcel,))
    for table in ("replies", "questions"):
        connection.execute(f"DELETE FROM {table} WHERE parcel = ?", (parcel,))  # noqa: S608 - our names
    connection.execute("DELETE FROM parcels WHERE id = ?", (parcel,))


def insert(connection: sqlite3.Connection, job: str, packed: Sequence[PackedRecognition]) -> int:
    """Insert those that are new, and count them."""
    last = connection.execute("SELECT ifnull(max(seq), 0) FROM recognitions WHERE job = ?", (job,)).fetchone()[0]
    counts = {}
    for failed in (False, True):
        values = [(job, seq, one.row, one.body) for seq, one in enumerate(packed, last + 1) if one.failed is failed]
        counts[failed] = connection.executemany("INSERT OR IGNORE INTO recognitions VALUES (?, ?, ?, ?)", values)
    recognised, failures = (max(0, counts[failed].rowcount) for failed in (False, True))
    connection.execute(
        "UPDATE jobs SET recognised = recognised + ?, failed = failed + ? WHERE id = ?", (recognised, failures, job)
    )
    return recognised + failures


def delete_job(connection: sqlite3.Connection, job: str) -> None:
    """Delete a job and everything of it."""
    for table in ("bodies", "replies", "questions"):
        connection.execute(
            f"DELETE FROM {table} WHERE parcel IN (SELECT id FROM parcels WHERE job = ?)",  # noqa: S608 - our names
            (job,),
        )
    for table in ("parcels", "waiting", "recognitions", "parts"):
        connection.execute(f"DELETE FROM {table} WHERE job = ?", (job,))  # noqa: S608 - our names
    connection.execute("DELETE FROM jobs WHERE id = ?", (job,))


def evict(connection: sqlite3.Connection, gallery: str, cap_bytes: int) -> None:
    """Delete the candidate sets of a gallery that are held longest while all of it together are over the cap."""
    total = "SELECT ifnull(sum(bytes), 0) FROM sets WHERE gallery = ?"
    if connection.execute(total, (gallery,)).fetchone()[0] <= cap_bytes:
        return
    connection.execute(
        "DELETE FROM sets WHERE number IN (SELECT number FROM (SELECT number, "
        "sum(bytes) OVER (ORDER BY number DESC) AS younger FROM sets WHERE gallery = ?) WHERE younger > ?)",
        (gallery, cap_bytes),
    )


def parts_of(connection: sqlite3.Connection, job: str, wanted: Sequence[bytes]) -> dict[bytes, bytes]:
    """Parts of a job's recognitions by their digests, as far as the store has them."""
    statement = "SELECT digest, body FROM parts WHERE job = ? AND digest = ?"
    rows = (connection.execute(statement, (job, one)).fetchone() for one in wanted)
    return {row[0]: row[1] for row in rows if row is not None}
