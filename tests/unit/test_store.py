"""One contract, two stores; then what only one of them promises."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from enfpire.client.protocol import Pending
from enfpire.client.recognition import Recognition
from enfpire.client.store import JobRecord, JobState, Parcel, PendingStore, Progress, Waiting, open_store
from enfpire.client.store.packing import pack_recognitions, unpack_recognitions
from enfpire.client.store.redis import RedisStore
from enfpire.errors import StoreError, UsageError

JOB = "00000000000000aa"
OTHER = "00000000000000bb"


@pytest.fixture(params=["sqlite", "redis"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "store") if request.param == "sqlite" else request.getfixturevalue("redis_url")


@pytest.fixture
def store(where: str) -> Iterator[PendingStore]:
    opened = open_store(where)
    yield opened
    opened.close()


def record(id: str = JOB, total: int = 6, created: float = 100.5) -> JobRecord:  # noqa: A002
    return JobRecord(id, "shop", b"\x00\xff" * 16, created, JobState.OPEN, total, "photos → out.csv")


def names(total: int = 6) -> list[str]:
    return [f"album/été: {row}.jpg" for row in range(total)]


def parcel(number: int, rows: tuple[int, ...], job: str = JOB, groups: bool = True) -> Parcel:
    features = np.random.default_rng(number).standard_normal((len(rows), 8)).astype(np.float32)
    places = np.arange(len(rows))[::-1].copy()
    pending = Pending(features, places, np.arange(len(rows)) + 7 if groups else None)
    return Parcel(bytes([number]) * 16, job, rows, tuple(names(100)[row] for row in rows), pending, b"ENFq\x01\x00")


def recognition(row: int, name: str | None = "oat milk", **fields: Any) -> Recognition:
    return Recognition(row=row, photo=names(100)[row], name=name, **fields)


def opened(store: PendingStore, *, total: int = 6, job: str = JOB) -> None:
    store.open_job(record(job, total), names(total))


def rows_waiting(store: PendingStore, job: str = JOB) -> list[int]:
    return [one.row for one in store.waiting(job, 1000)]


def test_a_job_is_opened_once(store: PendingStore) -> None:
    store.open_job(record(OTHER, 2, created=200.0), names(2))
    store.open_job(record(), iter(names()))
    store.open_job(replace(record(), gallery="another"), ["x"] * 6)
    assert store.jobs() == [record(), record(OTHER, 2, created=200.0)]
    assert store.job(JOB) == record()
    assert store.job("f" * 16) is None
    assert store.waiting(JOB, 2) == [Waiting(0, names()[0]), Waiting(1, names()[1])]
    assert store.waiting(JOB, 0) == []
    assert store.progress(JOB) == Progress(6, 0, 0, 0)


def test_an_empty_job_is_done(store: PendingStore) -> None:
    store.open_job(record(total=0), [])
    assert store.waiting(JOB, 10) == []
    assert store.progress(JOB).done


def test_more_photos_than_one_chunk_come_in_order(store: PendingStore) -> None:
    store.open_job(record(total=10_050), (f"{row}.jpg" for row in range(10_050)))
    assert [one.row for one in store.waiting(JOB, 20_000)] == list(range(10_050))


def test_a_job_of_the_wrong_size_is_not_opened(store: PendingStore) -> None:
    with pytest.raises(UsageError, match="6 photos came with 5"):
        store.open_job(record(), names(5))
    assert store.jobs() == []
    assert store.waiting(JOB, 10) == []


def test_an_undecodable_file_name_is_refused_and_an_undecodable_label_shown(store: PendingStore) -> None:
    with pytest.raises(UsageError, match="photo 1 is not valid UTF-8"):
        store.open_job(record(total=2), ["a.jpg", "b\udcff.jpg"])
    store.open_job(replace(record(total=1), label="fold\udcffer"), ["a.jpg"])
    assert [job.label for job in store.jobs()] == ["fold?er"]


@pytest.mark.parametrize("groups", [True, False])
def test_a_parcel_comes_back_as_it_was_put(store: PendingStore, groups: bool) -> None:
    opened(store)
    sent = parcel(1, (4, 2, 5), groups=groups)
    store.put(sent, due=10.0)
    loaded = store.load(sent.id)
    assert loaded is not None
    found, reply = loaded
    assert (found, reply) == (sent, None)
    assert found.pending.features.dtype == np.float32
    np.testing.assert_array_equal(found.pending.features, sent.pending.features)
    np.testing.assert_array_equal(found.pending.rows, sent.pending.rows)
    if sent.pending.groups is None:
        assert found.pending.groups is None
    else:
        np.testing.assert_array_equal(found.pending.groups, sent.pending.groups)
    assert rows_waiting(store) == [0, 1, 3]
    assert store.progress(JOB).outstanding == 3


def test_a_parcel_is_put_once(store: PendingStore) -> None:
    opened(store)
    store.put(parcel(1, (0, 1)), due=10.0)
    assert store.keep_reply(parcel(1, ()).id, b"reply")
    store.put(parcel(1, (0, 1)), due=99.0)
    assert store.outstanding() == 1
    assert store.progress(JOB).outstanding == 2
    assert store.open_parcels() == []


def test_parcels_are_asked_again_when_they_are_due(store: PendingStore) -> None:
    opened(store)
    opened(store, job=OTHER)
    for number, due, job in ((1, 30.0, JOB), (2, 10.25, JOB), (3, 20.0, OTHER)):
        store.put(parcel(number, (number,), job), due)
    assert [(one.id[0], one.attempts, one.due) for one in store.open_parcels(limit=2)] == [(2, 0, 10.25), (3, 0, 20.0)]
    store.postpone(parcel(2, ()).id, due=1e9 + 0.25, attempts=2)
    store.postpone(bytes(16), due=1.0, attempts=2)
    assert [(one.id[0], one.job, one.attempts, one.due) for one in store.open_parcels(JOB)] == [
        (1, JOB, 0, 30.0),
        (2, JOB, 2, 1e9 + 0.25),
    ]
    assert [one.id[0] for one in store.open_parcels(JOB, 1)] == [1]
    assert [one.id[0] for one in store.open_parcels(OTHER, 5)] == [3]
    assert store.open_parcels(JOB, 0) == store.open_parcels("f" * 16) == []
    assert [one.id[0] for one in store.open_parcels()] == [3, 1, 2]
    assert (store.outstanding(), store.outstanding(JOB), store.outstanding("f" * 16)) == (3, 2, 0)


def test_one_reply_is_kept(store: PendingStore) -> None:
    opened(store)
    first, second = parcel(1, (0, 1)), parcel(2, (2,))
    store.put(first, due=10.0)
    store.put(second, due=5.0)
    assert not store.keep_reply(bytes(16), b"nobody asked")
    assert store.keep_reply(first.id, b"one\x00")
    assert not store.keep_reply(first.id, b"two")
    assert store.keep_reply(second.id, b"three")
    assert store.answered(10) == [first.id, second.id]
    assert store.answered(1) == [first.id]
    assert store.load(first.id) == (first, b"one\x00")
    assert store.open_parcels(JOB) == store.open_parcels() == []
    assert store.outstanding(JOB) == store.outstanding() == 2
    store.postpone(first.id, due=1.0, attempts=9)
    assert store.open_parcels(JOB) == store.open_parcels() == []


def test_replies_of_one_job_are_found_among_those_of_others(store: PendingStore) -> None:
    opened(store)
    opened(store, job=OTHER)
    owners = {1: OTHER, 2: JOB, 3: OTHER, 4: JOB}
    for number, owner in owners.items():
        store.put(parcel(number, (number,), owner), due=1.0)
    for number in (4, 3, 2, 1):
        store.keep_reply(parcel(number, ()).id, b"reply")
    assert [one[0] for one in store.answered(10)] == [4, 3, 2, 1]
    assert [one[0] for one in store.answered(10, JOB)] == [4, 2]
    assert [one[0] for one in store.answered(1, OTHER)] == [3]
    store.drop_reply(parcel(4, ()).id, due=1.0, attempts=1)
    store.commit(OTHER, [recognition(3)], parcel(3, ()).id)
    assert [one[0] for one in store.answered(10, JOB)] == [2]
    assert [one[0] for one in store.answered(10, OTHER)] == [1]
    assert store.answered(0, JOB) == store.answered(10, "f" * 16) == []
    assert [one.id[0] for one in store.open_parcels(JOB)] == [4]


def test_a_query_is_read_alone(store: PendingStore) -> None:
    opened(store)
    sent = replace(parcel(1, (0, 1)), query=b"ENFq\x00\xff" * 50)
    store.put(sent, due=1.0)
    assert store.query(sent.id) == sent.query
    store.keep_reply(sent.id, b"reply")
    assert store.query(sent.id) == sent.query
    assert store.load(sent.id) == (sent, b"reply")
    store.commit(JOB, [recognition(0)], sent.id)
    assert store.query(sent.id) is None


def test_a_forgotten_job_leaves_nothing_and_the_others_all(store: PendingStore) -> None:
    for job, first in ((JOB, 1), (OTHER, 3)):
        opened(store, job=job)
        store.put(parcel(first, (0, 1), job), due=1.0)
        store.put(parcel(first + 1, (2,), job), due=2.0)
        store.keep_reply(parcel(first, ()).id, b"reply")
        store.commit(job, [recognition(3, info={"title": "Hafer"}, candidates=("oat", "rye"))], None)
    store.forget(JOB)
    store.forget(JOB)
    assert (store.jobs(), store.job(JOB)) == ([record(OTHER)], None)
    assert [store.load(parcel(number, ()).id) for number in (1, 2)] == [None, None]
    assert (rows_waiting(store), store.recognitions(JOB, 0, 10), store.outstanding(JOB)) == ([], [], 0)
    assert not store.keep_reply(parcel(2, ()).id, b"late")
    assert [one[0] for one in store.answered(10)] == [3]
    assert [one.id[0] for one in store.open_parcels()] == [4]
    assert store.progress(OTHER) == Progress(6, 1, 0, 3)
    assert store.recognitions(OTHER, 0, 10)[0][1].candidates == ("oat", "rye")
    assert rows_waiting(store, OTHER) == [4, 5]
    opened(store)
    assert rows_waiting(store) == [0, 1, 2, 3, 4, 5]
    assert store.progress(JOB) == Progress(6, 0, 0, 0)


def test_a_bad_reply_is_dropped_and_asked_again(store: PendingStore) -> None:
    opened(store)
    sent = parcel(1, (0, 1))
    store.put(sent, due=10.0)
    store.keep_reply(sent.id, b"bad")
    store.drop_reply(sent.id, due=40.0, attempts=2)
    store.drop_reply(bytes(16), due=40.0, attempts=2)
    assert store.answered(10) == []
    assert store.load(sent.id) == (sent, None)
    assert [(one.attempts, one.due) for one in store.open_parcels(JOB)] == [(2, 40.0)]
    assert store.outstanding() == 1
    assert store.keep_reply(sent.id, b"good")
    assert store.load(sent.id) == (sent, b"good")


def test_the_first_recognition_of_a_row_stays(store: PendingStore) -> None:
    opened(store)
    sent = parcel(1, (0, 1))
    store.put(sent, due=10.0)
    store.keep_reply(sent.id, b"reply")
    full = recognition(
        0,
        similarity=0.75,
        margin=0.125,
        info={"title": "\ud800 Hafer", "n": [1, 2**80]},
        group=3,
        candidates=("oat", "rye"),
    )
    unknown = recognition(1, None, group=4, candidates=("oat", "rye"))
    assert store.commit(JOB, [full, unknown], sent.id) == 2
    assert store.commit(JOB, [recognition(1, "late"), recognition(2, "early")], sent.id) == 1
    assert [one for _, one in store.recognitions(JOB, 0, 10)] == [full, unknown, recognition(2, "early")]
    assert store.load(sent.id) is None
    assert not store.keep_reply(sent.id, b"late reply")
    assert (store.answered(10), store.outstanding(), store.open_parcels()) == ([], 0, [])
    assert store.progress(JOB) == Progress(6, 3, 0, 0)
    assert rows_waiting(store) == [3, 4, 5]


def test_recognitions_are_read_from_where_one_stopped(store: PendingStore) -> None:
    opened(store)
    opened(store, job=OTHER)
    store.commit(JOB, [recognition(3), recognition(1)], None)
    store.commit(OTHER, [recognition(0)], None)
    store.commit(JOB, [recognition(1), recognition(5)], None)
    first = store.recognitions(JOB, 0, 2)
    rest = store.recognitions(JOB, first[-1][0], 2)
    assert [one.row for _, one in first + rest] == [3, 1, 5]
    numbers = [number for number, _ in first + rest]
    assert numbers == sorted(set(numbers))
    assert numbers[0] > 0
    assert store.recognitions(JOB, numbers[-1], 2) == []
    assert store.recognitions("f" * 16, 0, 2) == []
    assert store.recognitions(JOB, 0, 0) == []


def test_a_photo_that_failed_before_it_was_asked_counts(store: PendingStore) -> None:
    opened(store, total=2)
    assert store.commit(JOB, [recognition(1, None, error="truncated file")], None) == 1
    assert rows_waiting(store) == [0]
    assert store.progress(JOB) == Progress(2, 0, 1, 0)
    store.commit(JOB, [recognition(0)], None)
    assert store.progress(JOB) == Progress(2, 1, 1, 0)
    assert store.progress(JOB).done
    assert store.commit(JOB, [], None) == 0


def test_rows_that_a_commit_leaves_out_wait_again(store: PendingStore) -> None:
    opened(store)
    store.put(parcel(1, (0, 1, 2)), due=10.0)
    store.commit(JOB, [recognition(2)], None)
    store.commit(JOB, [recognition(1)], parcel(1, ()).id)
    assert store.waiting(JOB, 10) == [Waiting(row, names()[row]) for row in (0, 3, 4, 5)]


def test_a_cancelled_job_forgets_its_features_and_can_be_taken_up_again(store: PendingStore) -> None:
    opened(store)
    opened(store, job=OTHER)
    for one in (parcel(1, (0, 1)), parcel(2, (2, 3)), parcel(3, (0,), OTHER)):
        store.put(one, due=10.0)
    store.keep_reply(parcel(1, ()).id, b"reply")
    store.commit(JOB, [recognition(2)], None)
    store.set_state(JOB, JobState.CANCELLED)
    assert store.job(JOB) == replace(record(), state=JobState.CANCELLED)
    assert [store.load(parcel(number, ()).id) for number in (1, 2)] == [None, None]
    assert (store.outstanding(JOB), store.outstanding(), store.answered(10)) == (0, 1, [])
    assert not store.keep_reply(parcel(2, ()).id, b"late")
    assert rows_waiting(store) == [0, 1, 3, 4, 5]
    store.put(parcel(4, (0, 1)), due=10.0)
    assert store.load(parcel(4, ()).id) is None
    store.set_state(JOB, JobState.OPEN)
    store.put(parcel(4, (0, 1)), due=10.0)
    assert rows_waiting(store) == [3, 4, 5]


def test_a_job_that_the_store_does_not_know(store: PendingStore) -> None:
    for call in (
        lambda: store.put(parcel(1, (0,)), 1.0),
        lambda: store.commit(JOB, [recognition(0)], None),
        lambda: store.progress(JOB),
        lambda: store.set_state(JOB, JobState.DONE),
    ):
        with pytest.raises(StoreError, match="submit the photos again"):
            call()
    assert store.jobs() == []


def test_the_candidate_sets_held_longest_go_first(store: PendingStore) -> None:
    digests = [bytes([number]) * 32 for number in range(5)]
    for digest in digests[:3]:
        store.hold_set("shop", digest, digest[:1] * 40, 100)
    assert store.held_digests("shop") == {digests[1], digests[2]}
    store.hold_set("shop", digests[1], digests[1][:1] * 40, 100)
    store.hold_set("shop", digests[3], b"x" * 40, 100)
    assert store.held_digests("shop") == {digests[1], digests[3]}
    store.hold_set("shop", digests[4], b"x" * 101, 100)
    assert store.held_set("shop", digests[4]) is None
    assert store.held_set("shop", digests[1]) == digests[1][:1] * 40
    store.hold_set("shop", digests[3], b"x" * 40, 60)
    assert store.held_digests("shop") == {digests[3]}


def test_candidate_sets_are_held_together(store: PendingStore) -> None:
    digests = [bytes([number]) * 32 for number in range(6)]
    store.hold_sets("shop", [(digest, digest[:1] * 40) for digest in digests[:3]], 120)
    assert store.held_digests("shop") == set(digests[:3])
    store.hold_sets("shop", [(digests[0], b"a" * 40), (digests[3], b"b" * 40), (digests[4], b"c" * 121)], 120)
    assert store.held_digests("shop") == {digests[0], digests[2], digests[3]}
    assert store.held_set("shop", digests[0]) == b"a" * 40
    store.hold_sets("shop", [(digest, b"d" * 50) for digest in digests], 120)
    assert store.held_digests("shop") == set(digests[4:])
    store.hold_sets("shop", [], 60)
    assert store.held_digests("shop") == {digests[5]}


def test_each_gallery_holds_sets_of_its_own(store: PendingStore) -> None:
    """Else an operator who names the sets of another gallery would learn from silence what was asked there."""
    same, other = b"s" * 32, b"o" * 32
    store.hold_set("shop", same, b"x" * 60, 100)
    assert (store.held_digests("art"), store.held_set("art", same)) == (frozenset(), None)
    store.hold_sets("art", [(same, b"y" * 70), (other, b"z" * 30)], 100)
    assert store.held_digests("shop") == {same}
    assert store.held_digests("art") == {same, other}
    assert (store.held_set("shop", same), store.held_set("art", same)) == (b"x" * 60, b"y" * 70)
    store.hold_sets("art", [], 50)
    assert store.held_digests("shop") == {same}
    assert store.held_digests("art") == {other}


def test_bundles_pins_and_purge(where: str, store: PendingStore) -> None:
    opened(store)
    store.put(parcel(1, (0,)), due=1.0)
    store.commit(JOB, [recognition(1)], None)
    store.hold_set("shop", b"s" * 32, b"set", 100)
    store.keep_bundle(b"b" * 32, b"bundle")
    store.keep_bundle(b"b" * 32, b"bundle")
    store.pin("shop", b"old")
    store.pin("shop", b"key")
    assert (store.bundle(b"b" * 32), store.bundle(bytes(32))) == (b"bundle", None)
    assert (store.pinned("shop"), store.pinned("art")) == (b"key", None)
    store.purge()
    assert (store.jobs(), store.held_digests("shop"), store.bundle(b"b" * 32), store.pinned("shop")) == (
        [],
        frozenset(),
        None,
        None,
    )
    opened(store)
    store.hold_set("shop", b"s" * 32, b"x" * 100, 100)
    assert store.held_digests("shop") == {b"s" * 32}
    assert store.recognitions(JOB, 0, 10) == []
    assert len(open_again(where).waiting(JOB, 10)) == 6


def open_again(where: str) -> PendingStore:
    return open_store(where)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from tests.unit.test_store import JOB, open_store, opened, parcel, recognition
store = open_store(sys.argv[1])
opened(store)
store.put(parcel(1, (0, 1)), due=10.0)
store.put(parcel(2, (2, 3)), due=20.0)
store.keep_reply(parcel(1, ()).id, b"reply")
store.commit(JOB, [recognition(4)], None)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_is_lost_when_the_process_is_killed(where: str) -> None:
    root = str(Path(__file__).parents[2])
    ended = subprocess.run([sys.executable, "-c", KILLED, where, root], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    store = open_store(where)
    assert store.job(JOB) == record()
    assert rows_waiting(store) == [5]
    assert store.answered(10) == [parcel(1, ()).id]
    assert [one.id for one in store.open_parcels()] == [parcel(2, ()).id]
    assert store.load(parcel(1, ()).id) == (parcel(1, (0, 1)), b"reply")
    assert [one.row for _, one in store.recognitions(JOB, 0, 10)] == [4]
    store.close()


def commit_everything(where: str, worker: int) -> int:
    store = open_store(where)
    stored = sum(
        store.commit(JOB, [recognition(row, f"worker {worker}") for row in range(start, start + 5)], None)
        for start in range(0, 56, 3)
    )
    store.close()
    return stored


def test_processes_commit_at_the_same_time(where: str) -> None:
    if where.startswith("redis"):
        opened(open_store(where), total=60)
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:  # for SQLite they also create the file at the same time
        stored = pool.starmap(open_and_commit, [(where, worker) for worker in range(3)])
    store = open_store(where)
    found = store.recognitions(JOB, 0, 100)
    assert sum(stored) == len(found) == store.progress(JOB).recognised
    assert sorted(one.row for _, one in found) == list(range(59))
    assert rows_waiting(store) == [59]
    store.close()


def open_and_commit(where: str, worker: int) -> int:
    store = open_store(where)
    opened(store, total=60)
    store.close()
    return commit_everything(where, worker)


def test_threads_share_a_store(store: PendingStore) -> None:
    opened(store, total=80)
    start = threading.Barrier(4)

    def work(worker: int) -> tuple[int, int]:
        start.wait()
        kept = stored = 0
        for number in range(20):
            one = parcel(number, tuple(range(4 * number, 4 * number + 4)))
            store.put(one, due=1.0)
            kept += store.keep_reply(one.id, b"reply from %d" % worker)
            stored += store.commit(JOB, [recognition(row) for row in one.rows], None)
        return kept, stored

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(4)))
    assert sum(kept for kept, _ in results) == 20
    assert sum(stored for _, stored in results) == 80
    assert len(store.answered(100)) == 20
    assert store.progress(JOB) == Progress(80, 80, 0, 80)


def test_no_repr_tells_a_photo_or_a_feature(store: PendingStore) -> None:
    opened(store)
    sent = parcel(1, (0, 1))
    store.put(sent, due=1.0)
    loaded = store.load(sent.id)
    packed, _ = pack_recognitions([recognition(0)])
    told = repr((sent, loaded, store.waiting(JOB, 10), store.jobs(), store.open_parcels(), packed))
    for secret in ("album", "photos →", str(sent.pending.features[0, 0])[:6], "ENFq", "oat"):
        assert secret not in told


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(JSON, st.lists(st.text(st.characters(codec="utf-8")), max_size=3)), max_size=4))
def test_recognitions_come_back_whatever_their_info(values: list[tuple[Any, list[str]]]) -> None:
    sent = [recognition(row, info=info, candidates=tuple(candidates)) for row, (info, candidates) in enumerate(values)]
    packed, parts = pack_recognitions(sent)
    assert unpack_recognitions([one.body for one in packed], lambda wanted: {key: parts[key] for key in wanted}) == sent


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x90", b"\x99" + b"\x00" * 9])
def test_a_damaged_recognition_is_told_without_its_content(body: bytes) -> None:
    with pytest.raises(StoreError, match="damaged record") as caught:
        unpack_recognitions([body], lambda _: {})
    assert caught.value.__cause__ is None


# SQLite only


def test_only_the_user_can_read_the_file(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "new" / "store"))
    opened(store)
    assert stat.S_IMODE((tmp_path / "new" / "store").stat().st_mode) == 0o700
    files = list((tmp_path / "new" / "store").iterdir())
    assert {file.name for file in files} >= {"pending.sqlite", "pending.sqlite-wal"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    store.close()


def test_a_path_is_a_folder_or_a_sqlite_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    open_store("~/mine.sqlite").close()
    open_store("~/folder").close()
    assert (tmp_path / "mine.sqlite").is_file()
    assert (tmp_path / "folder" / "pending.sqlite").is_file()


@pytest.mark.parametrize("state", [JobState.DONE, JobState.CANCELLED])
def test_features_are_in_no_file_once_a_job_is_over(tmp_path: Path, state: JobState) -> None:
    store = open_store(str(tmp_path))
    opened(store, total=60)
    parcels = [parcel(number, tuple(range(20 * number, 20 * number + 20))) for number in range(3)]
    marks = [one.pending.features[3].tobytes() for one in parcels]
    for one in parcels:
        store.put(one, due=1.0)
    assert all(mark in on_disk(tmp_path) for mark in marks)
    store.commit(JOB, [recognition(row) for row in range(20)], parcels[0].id)
    store.set_state(JOB, state)
    assert not any(mark in on_disk(tmp_path) for mark in marks)
    assert b"oat milk" in on_disk(tmp_path)
    store.purge()
    assert b"oat milk" not in on_disk(tmp_path)
    assert b"album" not in on_disk(tmp_path)
    store.close()


def test_features_are_in_no_file_once_no_parcel_is_left(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    opened(store, total=40)
    parcels = [parcel(number, tuple(range(20 * number, 20 * number + 20))) for number in range(2)]
    marks = [one.pending.features[3].tobytes() for one in parcels]
    for one in parcels:
        store.put(one, due=1.0)
    store.commit(JOB, [recognition(row) for row in range(20)], parcels[0].id)
    assert marks[1] in on_disk(tmp_path)
    store.commit(JOB, [recognition(row) for row in range(20, 40)], parcels[1].id)
    assert not any(mark in on_disk(tmp_path) for mark in marks)
    assert b"oat milk" in on_disk(tmp_path)
    store.close()


def test_a_forgotten_job_is_in_no_file(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    opened(store, total=40)
    sent = parcel(1, tuple(range(20)))
    store.put(sent, due=1.0)
    store.commit(JOB, [recognition(30, candidates=("oat", "rye whisky"))], None)
    store.forget(JOB)
    for secret in (sent.pending.features[3].tobytes(), sent.query, b"album", b"oat milk", b"rye whisky"):
        assert secret not in on_disk(tmp_path)
    store.close()


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm"))


def test_a_file_that_is_not_a_store_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "text.sqlite"
    text.write_text("my own notes, long enough to be no header of a database " * 10)
    before = text.read_bytes()
    with pytest.raises(StoreError, match="not a store of EnfPire"):
        open_store(str(text))
    assert text.read_bytes() == before
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    with pytest.raises(StoreError, match="not a store of EnfPire"):
        open_store(str(other))


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    open_store(str(tmp_path)).close()
    with sqlite3.connect(tmp_path / "pending.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="version 99"):
        open_store(str(tmp_path))


def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose another path"):
        open_store(str(tmp_path / "file" / "store"))


def test_a_damaged_parcel_is_told(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    opened(store)
    store.put(parcel(1, (0,)), due=1.0)
    with sqlite3.connect(tmp_path / "pending.sqlite") as connection:
        connection.execute("UPDATE bodies SET body = x'00'")
    connection.close()
    with pytest.raises(StoreError, match="damaged record"):
        store.load(parcel(1, ()).id)
    store.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.close()
    with pytest.raises(StoreError, match="open it again"):
        store.jobs()


def test_a_store_does_not_survive_a_fork(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    child = os.fork()
    if not child:
        try:
            store.jobs()
        except StoreError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    store.close()


# Redis only


def test_every_key_has_the_prefix(redis_url: str) -> None:
    store = open_store(redis_url)
    opened(store)
    store.put(parcel(1, (0,)), due=1.0)
    store.keep_reply(parcel(1, ()).id, b"reply")
    store.commit(JOB, [recognition(1)], None)
    store.hold_set("shop", b"s" * 32, b"set", 100)
    store.keep_bundle(b"b" * 32, b"bundle")
    store.pin("shop", b"key")
    with redis.Redis.from_url(redis_url) as client:
        client.set("mine", "1")
        keys = set(client.keys())
        assert all(key.startswith(b"enfclient:") for key in keys - {b"mine"})
        assert len(keys) > 10
        store.purge()
        assert client.keys() == [b"mine"]


def test_sets_that_all_galleries_shared_once_go(redis_url: str) -> None:
    store = open_store(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.hset("enfclient:sets:", "digest", "body")
        client.zadd("enfclient:sets-order:", {"digest": 1})
        client.set("enfclient:sets-bytes:", 4)
        store.hold_set("shop", b"s" * 32, b"set", 100)
        assert not client.exists("enfclient:sets:", "enfclient:sets-order:", "enfclient:sets-bytes:")
    assert store.held_digests("shop") == {b"s" * 32}
    store.close()


def test_a_redis_that_is_not_there() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"redis://me:hush@127.0.0.1:{held.getsockname()[1]}/0"
        with pytest.raises(StoreError, match="cannot be reached") as caught:
            open_store(url)
    assert "hush" not in str(caught.value)


def test_an_url_that_is_none() -> None:
    with pytest.raises(StoreError, match="write redis://") as caught:
        RedisStore("http://me:hush@127.0.0.1/0")
    assert "hush" not in str(caught.value)


def test_a_full_redis_loses_nothing_and_tells_nothing(redis_url: str) -> None:
    store = open_store(redis_url)
    opened(store)
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory", "1")
        try:
            with pytest.raises(StoreError, match="memory limit") as caught:
                store.put(parcel(1, (0, 1)), due=1.0)
        finally:
            client.config_set("maxmemory", "0")
    assert caught.value.__cause__ is None
    assert rows_waiting(store) == [0, 1, 2, 3, 4, 5]
    store.put(parcel(1, (0, 1)), due=1.0)
    assert rows_waiting(store) == [2, 3, 4, 5]
