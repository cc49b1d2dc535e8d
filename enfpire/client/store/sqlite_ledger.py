"""The ledger in the SQLite store."""

# ruff: noqa: D102 - `Ledger` describes the methods

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Sequence

from enfpire.client.store.database import Database
from enfpire.client.store.ledger import SECRET_BYTES, Entry, Question, Sent, hidden, hidden_by_name

SELECT_ENTRIES = """
SELECT gallery, bundle, photos, asked, silent, queries,
    (SELECT count(*) FROM asked_groups WHERE asked_groups.bundle = ledger.bundle), bits, consented
FROM ledger ORDER BY number
"""
SELECT_PARCEL = """
SELECT gallery, bundle, parcels.photos, questions.asked, ifnull(questions.bits, 0)
FROM parcels JOIN jobs ON jobs.id = parcels.job LEFT JOIN questions ON questions.parcel = parcels.id
WHERE parcels.id = ?
"""
KEEP_QUESTION = """
INSERT INTO questions VALUES (?, ?, ?)
ON CONFLICT (parcel) DO UPDATE SET asked = max(asked, excluded.asked), bits = max(bits, excluded.bits)
"""
ADD = """
UPDATE ledger SET queries = queries + ?, asked = asked + ?, silent = silent + ?, bits = bits + ? WHERE bundle = ?
"""


class SqliteLedger:
    """A `Ledger` in the tables of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sent(self, gallery: str, contents: Sequence[bytes]) -> dict[bytes, dict[bytes, bytes]]:
        with self._database.reading() as connection:
            secret = connection.execute("SELECT value FROM secret").fetchone()
            names = {} if secret is None else hidden_by_name(secret[0], gallery, contents)
            found = {content: messages_of(connection, name) for name, content in names.items()}
        return {content: messages for content, messages in found.items() if messages}

    def note(self, parcel: bytes, question: Question) -> None:
        with self._database.writing() as connection:
            row = connection.execute(SELECT_PARCEL, (parcel,)).fetchone()
            if row is None:
                return
            gallery, bundle, photos, asked, bits = row
            more = max(0, question.photos - (asked or 0))
            first = bool(question.photos) and not asked
            silent = -more if asked is not None else photos - question.photos
            open_entry(connection, gallery, bundle)
            connection.execute(KEEP_QUESTION, (parcel, question.photos, question.bits))
            connection.execute(ADD, (int(first), more, silent, max(0.0, question.bits - bits), bundle))
            connection.executemany(
                "INSERT OR IGNORE INTO asked_groups VALUES (?, ?)", ((bundle, group) for group in question.groups)
            )

    def consent(self, gallery: str, bundle: bytes, bits: float, against: Collection[bytes]) -> None:
        with self._database.writing() as connection:
            open_entry(connection, gallery, bundle)
            connection.execute("UPDATE ledger SET consented = ? WHERE bundle = ?", (bits, bundle))
            connection.executemany("INSERT OR IGNORE INTO consents VALUES (?, ?)", ((bundle, one) for one in against))

    def covered(self, bundle: bytes) -> frozenset[bytes]:
        with self._database.reading() as connection:
            rows = connection.execute("SELECT earlier FROM consents WHERE bundle = ?", (bundle,))
            return frozenset(row[0] for row in rows)

    def entries(self) -> list[Entry]:
        with self._database.reading() as connection:
            return [Entry(*row) for row in connection.execute(SELECT_ENTRIES).fetchall()]


def record(connection: sqlite3.Connection, job: str, sent: Sequence[Sent]) -> bool:
    """Record what the photos of a parcel send; False, and nothing done, where one has sent what was not known."""
    gallery, bundle = connection.execute("SELECT gallery, bundle FROM jobs WHERE id = ?", (job,)).fetchone()
    secret = _secret(connection)
    names = [hidden(secret, gallery, one.content) for one in sent]
    if any(_unknown(messages_of(connection, name), bundle, one) for name, one in zip(names, sent, strict=True)):
        return False
    rows = [(name, bundle, one.message) for name, one in zip(names, sent, strict=True)]
    added = connection.executemany("INSERT OR IGNORE INTO sent VALUES (?, ?, ?)", rows).rowcount
    open_entry(connection, gallery, bundle)
    connection.execute("UPDATE ledger SET photos = photos + ? WHERE bundle = ?", (max(0, added), bundle))
    return True


def messages_of(connection: sqlite3.Connection, name: bytes) -> dict[bytes, bytes]:
    """The messages of one content, by the name that the store gives it."""
    return dict(connection.execute("SELECT bundle, message FROM sent WHERE content = ?", (name,)).fetchall())


def open_entry(connection: sqlite3.Connection, gallery: str, bundle: bytes) -> None:
    """Begin the account of a bundle, unless there is one."""
    connection.execute("INSERT OR IGNORE INTO ledger (gallery, bundle) VALUES (?, ?)", (gallery, bundle))


def _unknown(messages: dict[bytes, bytes], bundle: bytes, sent: Sent) -> bool:
    """Whether a photo that sends this under a bundle has sent something that was not known."""
    return messages.pop(bundle, sent.message) != sent.message or len(messages) > sent.others


def _secret(connection: sqlite3.Connection) -> bytes:
    connection.execute("INSERT OR IGNORE INTO secret VALUES (1, ?)", (os.urandom(SECRET_BYTES),))
    value: bytes = connection.execute("SELECT value FROM secret").fetchone()[0]
    return value
