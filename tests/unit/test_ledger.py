"""The ledger of both stores: one message a photo, and what questions have shown."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from enfpire.client.store import Entry, JobState, Parcel, PendingStore, Question, Sent, open_store
from enfpire.client.store.database import LEDGER_SCHEMA
from tests.unit.test_store import JOB, OTHER, opened, parcel, recognition, record

BUNDLE = record().bundle
MILK, BREAD, SALT = (bytes([number]) * 32 for number in (1, 2, 3))


@pytest.fixture(params=["sqlite", "redis"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "store") if request.param == "sqlite" else request.getfixturevalue("redis_url")


@pytest.fixture
def store(where: str) -> Iterator[PendingStore]:
    made = open_store(where)
    opened(made)
    yield made
    made.close()


def put(store: PendingStore, number: int, rows: tuple[int, ...], *sent: Sent) -> Parcel:
    one = parcel(number, rows)
    assert store.put(one, due=1.0, sent=sent)
    return one


def entry(store: PendingStore) -> Entry:
    (one,) = store.ledger.entries()
    return one


def test_a_message_is_remembered_with_its_parcel(store: PendingStore) -> None:
    assert store.ledger.sent("shop", [MILK]) == {}
    put(store, 1, (0, 1), Sent(MILK, b"\x03\x00\x00\x00"), Sent(BREAD, b"\n\x00\xff\x00"))
    found = store.ledger.sent("shop", [MILK, SALT, BREAD])
    assert found == {MILK: {BUNDLE: b"\x03\x00\x00\x00"}, BREAD: {BUNDLE: b"\n\x00\xff\x00"}}
    assert store.ledger.sent("shop", []) == store.ledger.sent("art", [MILK]) == {}


def test_a_photo_sends_one_message(store: PendingStore) -> None:
    put(store, 1, (0,), Sent(MILK, b"one"))
    assert not store.put(parcel(2, (1, 2)), 1.0, [Sent(BREAD, b"two"), Sent(MILK, b"another")])
    # nothing of the parcel is kept
    assert store.load(parcel(2, ()).id) is None
    assert store.ledger.sent("shop", [BREAD]) == {}
    assert [one.row for one in store.waiting(JOB, 10)] == [1, 2, 3, 4, 5]
    put(store, 2, (1, 2), Sent(BREAD, b"two"), Sent(MILK, b"one"))
    assert entry(store) == Entry("shop", BUNDLE, photos=2)


def test_a_parcel_that_is_not_kept_records_nothing(store: PendingStore) -> None:
    put(store, 1, (0,), Sent(MILK, b"one"))
    assert store.put(parcel(1, (0,)), 1.0, [Sent(SALT, b"late")])
    store.set_state(JOB, JobState.CANCELLED)
    assert store.put(parcel(2, (1,)), 1.0, [Sent(BREAD, b"dropped")])
    assert store.ledger.sent("shop", [SALT, BREAD]) == {}


def test_messages_under_several_bundles_are_kept_apart(store: PendingStore) -> None:
    later = b"\n%" * 16
    put(store, 1, (0,), Sent(MILK, b"one"))
    job = record(OTHER)
    store.open_job(type(job)(OTHER, "shop", later, 200.0, JobState.OPEN, 6, ""), [f"{row}" for row in range(6)])
    assert store.put(parcel(2, (0,), OTHER), 1.0, [Sent(MILK, b"two", others=1)])
    assert store.ledger.sent("shop", [MILK]) == {MILK: {BUNDLE: b"one", later: b"two"}}
    assert [(one.bundle, one.photos) for one in store.ledger.entries()] == [(BUNDLE, 1), (later, 1)]


def test_a_message_is_not_sent_in_ignorance_of_one_under_another_bundle(store: PendingStore) -> None:
    put(store, 1, (0,), Sent(MILK, b"one"))
    job = record(OTHER)
    store.open_job(type(job)(OTHER, "shop", b"l" * 32, 200.0, JobState.OPEN, 6, ""), [f"{row}" for row in range(6)])
    assert not store.put(parcel(2, (0, 1), OTHER), 1.0, [Sent(BREAD, b"two"), Sent(MILK, b"two")])
    assert store.load(parcel(2, ()).id) is None
    assert store.ledger.sent("shop", [MILK, BREAD]) == {MILK: {BUNDLE: b"one"}}
    assert store.put(parcel(2, (0, 1), OTHER), 1.0, [Sent(BREAD, b"two"), Sent(MILK, b"two", others=1)])
    # the same again under a bundle that was used is as before, once the other one is known
    assert not store.put(parcel(3, (2,)), 1.0, [Sent(MILK, b"one")])
    put(store, 3, (2,), Sent(MILK, b"one", others=1))


def test_of_many_writers_one_decides(store: PendingStore) -> None:
    def send(number: int) -> bool:
        return store.put(parcel(number, (number,)), 1.0, [Sent(MILK, b"%d" % number)])

    with ThreadPoolExecutor(5) as pool:
        won = list(pool.map(send, range(1, 6)))
    assert sum(won) == 1
    assert store.ledger.sent("shop", [MILK]) == {MILK: {BUNDLE: b"%d" % (won.index(True) + 1)}}


def test_what_was_sent_outlives_its_job_and_goes_with_a_purge(where: str, store: PendingStore) -> None:
    one = put(store, 1, (0, 1), Sent(MILK, b"one"))
    store.ledger.note(one.id, Question(2, (3, 4), 2.5))
    before = store.ledger.entries()
    store.forget(JOB)
    assert store.ledger.sent("shop", [MILK]) == {MILK: {BUNDLE: b"one"}}
    assert store.ledger.entries() == before == [Entry("shop", BUNDLE, 1, 2, 0, 1, 2, 2.5)]
    store.purge()
    assert (store.ledger.sent("shop", [MILK]), store.ledger.entries()) == ({}, [])
    opened(store)
    assert store.put(parcel(1, (0,)), 1.0, [Sent(MILK, b"anew")])
    again = open_store(where)
    assert again.ledger.sent("shop", [MILK]) == {MILK: {BUNDLE: b"anew"}}
    again.close()


def test_a_question_counts_once_however_often_it_is_asked(store: PendingStore) -> None:
    one = put(store, 1, (0, 1, 2))
    for _ in range(3):
        store.ledger.note(one.id, Question(2, (7, 9), 1.25))
    assert entry(store) == Entry("shop", BUNDLE, asked=2, silent=1, queries=1, groups=2, bits=1.25)
    two = put(store, 2, (3, 4))
    store.ledger.note(two.id, Question(2, (9, 300), 2.0))
    assert entry(store) == Entry("shop", BUNDLE, asked=4, silent=1, queries=2, groups=3, bits=3.25)


def test_a_parcel_that_is_answered_from_memory_is_silent(store: PendingStore) -> None:
    one = put(store, 1, (0, 1, 2))
    store.ledger.note(one.id, Question(0, (), 0.0))
    assert entry(store) == Entry("shop", BUNDLE, silent=3)
    # the set was gone by then, and the parcel is asked after all
    store.ledger.note(one.id, Question(3, (7, 9), 2.5))
    assert entry(store) == Entry("shop", BUNDLE, asked=3, queries=1, groups=2, bits=2.5)


def test_what_a_second_question_shows_more_is_added(store: PendingStore) -> None:
    one = put(store, 1, (0, 1, 2))
    store.ledger.note(one.id, Question(1, (7,), 1.5))
    store.ledger.note(one.id, Question(3, (7, 9), 3.5))
    store.ledger.note(one.id, Question(1, (9,), 1.5))
    assert entry(store) == Entry("shop", BUNDLE, asked=3, queries=1, groups=2, bits=3.5)


def test_a_parcel_that_is_gone_notes_nothing(store: PendingStore) -> None:
    one = put(store, 1, (0,))
    store.commit(JOB, [recognition(0)], one.id)
    store.ledger.note(one.id, Question(1, (7,), 1.5))
    store.ledger.note(bytes(16), Question(1, (7,), 1.5))
    assert entry(store) == Entry("shop", BUNDLE)


def test_consent_is_remembered(store: PendingStore) -> None:
    store.ledger.consent("shop", BUNDLE, 2.25, [])
    store.ledger.consent("art", b"a" * 32, 0.1, [])
    assert store.ledger.entries() == [
        Entry("shop", BUNDLE, consented=2.25),
        Entry("art", b"a" * 32, consented=0.1),
    ]
    put(store, 1, (0,), Sent(MILK, b"one"))
    assert store.ledger.entries()[0] == Entry("shop", BUNDLE, photos=1, consented=2.25)


def test_what_consent_was_weighed_against_is_remembered(where: str, store: PendingStore) -> None:
    earlier, later, latest = b"\n%" * 16, b"l" * 32, b"\xff\x00" * 16
    assert store.ledger.covered(BUNDLE) == frozenset()
    store.ledger.consent("shop", BUNDLE, 2.25, [earlier, later])
    store.ledger.consent("shop", BUNDLE, 2.5, [latest, later])
    store.ledger.consent("shop", later, 2.25, [earlier])
    again = open_store(where)
    assert again.ledger.covered(BUNDLE) == {earlier, later, latest}
    assert again.ledger.covered(later) == {earlier}
    assert again.ledger.covered(latest) == frozenset()
    again.purge()
    assert again.ledger.covered(BUNDLE) == frozenset()
    again.close()


def test_no_repr_tells_a_message() -> None:
    told = repr((Sent(b"content!", b"message!"), Question(2, (1234567,), 2.5)))
    assert not any(secret in told for secret in ("content!", "message!", "1234567"))


def test_the_store_holds_no_content(tmp_path: Path, redis_url: str) -> None:
    content = bytes(range(32))
    kept = []
    for place in (str(tmp_path / "store"), redis_url):
        store = open_store(place)
        opened(store)
        store.put(parcel(1, (0,)), 1.0, [Sent(content, b"the message")])
        store.close()
    kept.append(b"".join(file.read_bytes() for file in (tmp_path / "store").iterdir()))
    with redis.Redis.from_url(redis_url) as client:
        kept.append(b"".join(field + value for field, value in client.hgetall("enfclient:sent:").items()))
    for written in kept:
        assert b"the message" in written
        assert content[:8] not in written


# SQLite only


SETS_BEFORE = """
CREATE TABLE sets (
    number INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE, bytes INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX sets_bytes ON sets (number, bytes);
INSERT INTO sets (digest, bytes, body) VALUES (x'aa', 1, x'bb');
"""


def test_a_store_of_the_version_before_gets_a_ledger_and_sets_by_gallery(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    opened(store)
    store.put(parcel(1, (0, 1)), due=1.0)
    store.close()
    file = tmp_path / "pending.sqlite"
    with sqlite3.connect(file) as connection:
        for statement in LEDGER_SCHEMA.split(";"):
            if statement.strip():
                connection.execute(f"DROP TABLE {statement.split()[2]}")
        connection.executescript("DROP TABLE sets;" + SETS_BEFORE)
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    migrated = open_store(str(tmp_path))
    assert migrated.jobs() == [record()]
    assert migrated.load(parcel(1, ()).id) is not None
    assert migrated.ledger.entries() == []
    assert migrated.held_digests("shop") == frozenset()
    migrated.hold_set("shop", MILK, b"set", 100)
    migrated.hold_set("art", MILK, b"another", 100)
    assert migrated.held_set("shop", MILK) == b"set"
    # a parcel that was put before is noted when it is asked
    migrated.ledger.note(parcel(1, ()).id, Question(2, (7,), 1.5))
    put(migrated, 2, (2,), Sent(MILK, b"one"))
    assert entry(migrated) == Entry("shop", BUNDLE, photos=1, asked=2, queries=1, groups=1, bits=1.5)
    migrated.close()
    open_store(str(tmp_path)).close()
