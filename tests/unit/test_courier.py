from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from enfpire.client import handover
from enfpire.client.asking import Asker
from enfpire.client.courier import SKEWS, Backoff, Courier
from enfpire.client.handover import BAD_REPLIES
from enfpire.client.memory import memory_of
from enfpire.client.resolution import resolve_parcel
from enfpire.client.settings import ClientSettings
from enfpire.client.store import JobRecord, JobState, PendingStore, open_store
from enfpire.errors import (
    CandidateSetError,
    Code,
    EnfPireError,
    NoAnswerError,
    RefusedError,
    UnavailableError,
    WireError,
)
from enfpire.server.answer import EncodedSet
from enfpire.wire.arrays import Floats
from enfpire.wire.bundle import Cells
from enfpire.wire.query import verified
from enfpire.wire.reply import Response, decode_response, encode_response
from tests.unit.local_exchange import CREDENTIAL, JOB, LocalExchange, falsified, job_of
from tests.unit.synthetic import shop

SHOP = shop()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PendingStore]:
    opened = open_store(str(tmp_path / "store"))
    yield opened
    opened.close()


@pytest.fixture
def exchange() -> LocalExchange:
    return LocalExchange(SHOP)


def courier_of(
    store: PendingStore,
    exchange: LocalExchange,
    resolve: Callable[[bytes], object] | None = None,
    **settings: object,
) -> Courier:
    chosen = ClientSettings.model_validate({"deadline_seconds": 30.0, **settings})
    here = resolve or (lambda parcel: resolve_parcel(store, parcel))
    memory = memory_of(store, SHOP.signed.bundle, chosen.memory_bytes)
    return Courier(store, exchange, CREDENTIAL, chosen, memory, lambda parcel: (here(parcel), None)[1])


def job_with_parcels(store: PendingStore, parcels: int = 1, each: int = 4) -> JobRecord:
    photos = [f"{row}.jpg" for row in range(parcels * each)]
    job = job_of(SHOP, photos, store)
    asker = Asker(store, SHOP.signed)
    for start in range(0, len(photos), each):
        rows = range(start, start + each)
        asker.ask(job.id, rows, photos[start : start + each], SHOP.features[start : start + each])
    return job


def rounds(courier: Courier, job: JobRecord, done: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never happened"
        courier.round([job], 0.002)


def finished(store: PendingStore) -> Callable[[], bool]:
    return lambda: store.progress(JOB).done


def names(store: PendingStore) -> list[str | None]:
    found = {one.row: one.name for _, one in store.recognitions(JOB, 0, 1000)}
    return [found[row] for row in sorted(found)]


def expected(count: int) -> list[str]:
    """What the right class is for the first photos; all of them are easy."""
    assert (SHOP.features[:count] @ SHOP.fit.prototypes.features.T).max(axis=1).min() > SHOP.fit.unknown_below
    return [SHOP.fit.names[label] for label in SHOP.labels[:count].tolist()]


def test_one_round_asks_takes_and_resolves(store: PendingStore, exchange: LocalExchange) -> None:
    job = job_with_parcels(store, parcels=3)
    assert courier_of(store, exchange).round([job], 0.01)
    assert names(store) == expected(12)
    assert store.outstanding() == 0
    assert len(exchange.pushed) == 3
    assert not courier_of(store, exchange).round([job], 0)


def test_a_request_is_sealed_for_its_gallery(store: PendingStore, exchange: LocalExchange) -> None:
    job = job_with_parcels(store)
    before = time.time()
    courier_of(store, exchange, deadline_seconds=20.0).round([job], 0)
    (pushed,) = exchange.pushed
    assert pushed.gallery == "shop"
    assert verified(pushed.sealed, CREDENTIAL.secret)
    assert pushed.request.client == "c1"
    # an answer is of use until the query is asked again, and one deadline more
    assert before + 37 < pushed.request.expires < before + 45


@pytest.mark.parametrize(("photos", "bulk"), [(16, False), (17, True)])
def test_batches_do_not_hold_up_single_photos(
    store: PendingStore, exchange: LocalExchange, photos: int, bulk: bool
) -> None:
    courier_of(store, exchange).round([job_with_parcels(store, each=photos)], 0)
    assert [pushed.bulk for pushed in exchange.pushed] == [bulk]


def test_what_was_lost_is_asked_again_after_the_deadline(store: PendingStore, exchange: LocalExchange) -> None:
    job = job_with_parcels(store)
    exchange.lost = 2
    courier = courier_of(store, exchange, deadline_seconds=0.2)
    courier.round([job], 0)
    asked = time.monotonic()
    assert not courier.round([job], 0.01)  # not yet
    assert len(exchange.pushed) == 1
    rounds(courier, job, finished(store))
    assert time.monotonic() - asked > 0.5  # one deadline, then two
    first, second, third = (pushed.request for pushed in exchange.pushed)
    assert first.id == second.id == third.id
    assert first.query == second.query == third.query
    assert names(store) == expected(4)


def test_a_late_answer_counts(store: PendingStore, exchange: LocalExchange) -> None:
    job = job_with_parcels(store)
    courier = courier_of(store, exchange, deadline_seconds=0.05)
    exchange.slow = True
    rounds(courier, job, lambda: len(exchange.pushed) == 2)
    assert store.progress(JOB).recognised == 0
    exchange.deliver()
    courier.round([job], 0)
    assert names(store) == expected(4)
    assert len(exchange.pushed) == 2


def test_an_answer_counts_once(store: PendingStore, exchange: LocalExchange) -> None:
    job = job_with_parcels(store)
    courier = courier_of(store, exchange)
    exchange.slow = True
    courier.round([job], 0)
    exchange.replies = dict(exchange.late)
    courier.round([job], 0)
    assert names(store) == expected(4)
    exchange.deliver()
    courier.round([job], 0)
    assert resolve_parcel(store, exchange.asked[0]) == 0
    assert store.progress(JOB).recognised == 4


def test_at_most_a_window_of_queries_is_on_its_way(store: PendingStore, exchange: LocalExchange) -> None:
    job = job_with_parcels(store, parcels=7, each=1)
    exchange.lost = 1000
    courier = courier_of(store, exchange, window=3, memory_bytes=0)
    for _ in range(4):
        courier.round([job], 0)
    assert len(exchange.pushed) == 3
    assert len(set(exchange.asked)) == 3


def test_a_full_window_moves_on_with_each_answer(store: PendingStore, exchange: LocalExchange) -> None:
    job = job_with_parcels(store, parcels=7, each=1)
    courier = courier_of(store, exchange, window=3, memory_bytes=0)
    for sent in (3, 6, 7):
        courier.round([job], 0.01)
        assert len(exchange.pushed) == sent
    assert names(store) == expected(7)


def test_parcels_of_other_jobs_are_left_alone(store: PendingStore, exchange: LocalExchange) -> None:
    job_with_parcels(store)
    assert not courier_of(store, exchange).round([], 0)
    assert exchange.pushed == []


class OutOfReach:
    """A vector store that does not answer."""

    def by_group(self, groups: object) -> list[EncodedSet]:
        raise UnavailableError(f"no answer about {groups}")

    def around(self, vectors: Floats) -> list[EncodedSet]:
        raise UnavailableError(f"no answer about {vectors.shape}")


def forget_client(exchange: LocalExchange) -> None:
    exchange.clients.clear()


def change_key(exchange: LocalExchange) -> None:
    exchange.clients["c1"] = bytes(32)


def withdraw_bundle(exchange: LocalExchange) -> None:
    exchange.bundles.clear()


def serve_fewer_groups(exchange: LocalExchange) -> None:
    exchange.bundles = {digest: one.model_copy(update={"groups": 0}) for digest, one in exchange.bundles.items()}


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (forget_client, Code.UNKNOWN_CLIENT),
        (change_key, Code.BAD_SIGNATURE),
        (withdraw_bundle, Code.UNKNOWN_BUNDLE),
        (serve_fewer_groups, Code.BAD_QUERY),
    ],
)
def test_a_refusal_that_stays_is_raised_and_nothing_is_lost(
    store: PendingStore, exchange: LocalExchange, break_it: Callable[[LocalExchange], None], code: Code
) -> None:
    job = job_with_parcels(store)
    break_it(exchange)
    with pytest.raises(RefusedError) as caught:
        courier_of(store, exchange).round([job], 0.01)
    assert caught.value.code is code
    # once the operator has mended it, the same parcel is asked at once
    mended = LocalExchange(SHOP)
    courier_of(store, mended).round([job], 0.01)
    assert mended.asked == exchange.asked
    assert names(store) == expected(4)


def test_a_vector_store_that_is_gone_is_asked_again(store: PendingStore, exchange: LocalExchange) -> None:
    job = job_with_parcels(store)
    there = exchange.lookup
    exchange.lookup = OutOfReach()
    courier = courier_of(store, exchange, deadline_seconds=0.05)
    rounds(courier, job, lambda: len(exchange.pushed) == 3)
    exchange.lookup = there
    rounds(courier, job, finished(store))
    assert len(set(exchange.asked)) == 1


def test_a_query_that_came_too_late_is_asked_again(
    store: PendingStore, exchange: LocalExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_with_parcels(store)
    courier = courier_of(store, exchange, deadline_seconds=0.05)
    with monkeypatch.context() as patch:
        patch.setattr("enfpire.server.serve.time", SimpleNamespace(time=lambda: time.time() + 3600))
        courier.round([job], 0)
    assert store.progress(JOB).recognised == 0
    rounds(courier, job, finished(store))
    assert len(set(exchange.asked)) == 1


def test_a_clock_that_is_wrong_is_said_so(
    store: PendingStore, exchange: LocalExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enfpire.server.serve.time", SimpleNamespace(time=lambda: time.time() + 3600))
    job = job_with_parcels(store)
    with pytest.raises(RefusedError, match="clock"):
        rounds(courier_of(store, exchange, deadline_seconds=0.02), job, finished(store))
    assert len(exchange.pushed) == SKEWS


def test_when_nobody_answers_patience_ends(store: PendingStore, exchange: LocalExchange) -> None:
    exchange.lost = 1000
    job = job_with_parcels(store)
    courier = courier_of(store, exchange, deadline_seconds=0.05, patience_seconds=0.3)
    began = time.monotonic()
    with pytest.raises(NoAnswerError, match="workers and Milvus"):
        rounds(courier, job, finished(store))
    assert time.monotonic() - began >= 0.3
    exchange.lost = 0
    rounds(courier, job, finished(store))


def test_a_vector_store_that_stays_away_ends_patience_too(store: PendingStore, exchange: LocalExchange) -> None:
    class Away:
        def by_group(self, _groups: object) -> list[EncodedSet]:
            raise UnavailableError("Milvus is gone")

        around = by_group

    exchange.lookup = Away()
    job = job_with_parcels(store)
    with pytest.raises(NoAnswerError):
        rounds(courier_of(store, exchange, deadline_seconds=0.05, patience_seconds=0.5), job, finished(store))
    assert len(exchange.pushed) <= 8  # it was not hammered


def test_small_jobs_are_asked_first(store: PendingStore, exchange: LocalExchange) -> None:
    big = job_with_parcels(store, parcels=6, each=4)
    small = job_of(SHOP, ["one.jpg"], store, id="0" * 16)
    Asker(store, SHOP.signed).ask(small.id, [0], ["one.jpg"], SHOP.features[:1])
    courier = courier_of(store, exchange, window=1, memory_bytes=0)
    exchange.slow = True
    courier.round([big, small], 0)
    assert [pushed.bulk for pushed in exchange.pushed] == [False]


def test_what_an_earlier_process_asked_is_taken(store: PendingStore, exchange: LocalExchange) -> None:
    exchange.slow = True
    job = job_with_parcels(store)
    courier_of(store, exchange).round([job], 0)
    exchange.deliver()
    courier_of(store, exchange).round([job], 0)
    assert names(store) == expected(4)
    assert len(exchange.pushed) == 1


def cut_off(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(("change", "error"), [(cut_off, WireError), (falsified, CandidateSetError)])
def test_bad_replies_are_asked_for_again_and_then_raised(
    store: PendingStore, exchange: LocalExchange, change: Callable[[bytes], bytes], error: type[EnfPireError]
) -> None:
    job = job_with_parcels(store)
    good, exchange.change = exchange.change, change
    courier = courier_of(store, exchange, deadline_seconds=0.01)
    with pytest.raises(error):
        rounds(courier, job, finished(store))
    assert len(exchange.pushed) == BAD_REPLIES
    assert store.progress(JOB).recognised == 0
    assert store.held_digests("shop") == frozenset()
    # the same courier goes on when the worker is mended
    exchange.change = good
    rounds(courier, job, finished(store))
    assert names(store) == expected(4)


def test_one_bad_reply_does_no_harm(store: PendingStore, exchange: LocalExchange) -> None:
    job = job_with_parcels(store)
    changes = [cut_off, falsified]
    exchange.change = lambda data: changes.pop()(data) if changes else data
    rounds(courier_of(store, exchange, deadline_seconds=0.01), job, finished(store))
    assert len(exchange.pushed) == 3
    assert names(store) == expected(4)


def test_a_reply_to_another_request_is_not_taken(store: PendingStore, exchange: LocalExchange) -> None:
    job = job_with_parcels(store)

    def readdressed(data: bytes) -> bytes:
        return encode_response(Response(id=bytes(16), reply=decode_response(data).reply))

    exchange.change = readdressed
    courier = courier_of(store, exchange, deadline_seconds=0.05)
    courier.round([job], 0)
    assert store.progress(JOB).recognised == 0
    exchange.change = lambda data: data
    rounds(courier, job, finished(store))


def test_candidate_sets_are_held_under_their_digests(store: PendingStore, exchange: LocalExchange) -> None:
    courier_of(store, exchange).round([job_with_parcels(store, each=40)], 0)
    cells = SHOP.signed.bundle.transform
    assert isinstance(cells, Cells)
    groups = set(SHOP.groups[SHOP.labels[:40]].tolist())
    assert store.held_digests("shop") >= {cells.digest(group) for group in groups}
    assert all(EncodedSet.of(store.held_set("shop", one) or b"").digest == one for one in store.held_digests("shop"))


def test_without_memory_nothing_is_held(store: PendingStore, exchange: LocalExchange) -> None:
    courier_of(store, exchange, memory_bytes=0).round([job_with_parcels(store)], 0)
    assert store.progress(JOB).done
    assert store.held_digests("shop") == frozenset()


def test_a_reply_that_a_dead_process_kept_is_resolved(store: PendingStore, exchange: LocalExchange) -> None:
    job = job_with_parcels(store)

    def dies(parcel: bytes) -> None:
        raise KeyboardInterrupt(parcel)

    with pytest.raises(KeyboardInterrupt):
        courier_of(store, exchange, dies).round([job], 0.01)
    assert len(store.answered(10)) == 1
    courier_of(store, exchange).round([job], 0)
    assert names(store) == expected(4)
    assert len(exchange.pushed) == 1


def test_a_resolution_task_that_was_lost_is_sent_again(
    store: PendingStore, exchange: LocalExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "AGAIN_SECONDS", 0.2)
    monkeypatch.setattr(handover, "LOOK_SECONDS", 0.02)
    job = job_with_parcels(store)
    handed: list[bytes] = []
    courier = courier_of(store, exchange, handed.append)
    began = time.monotonic()
    courier.round([job], 0)
    courier.round([job], 0)
    assert len(handed) == 1
    rounds(courier, job, lambda: len(handed) == 2)
    assert time.monotonic() - began >= 0.2
    assert set(handed) == set(exchange.asked)
    resolve_parcel(store, handed[0])
    time.sleep(0.25)
    courier.round([job], 0)
    assert len(handed) == 2


def test_an_exchange_that_is_gone_costs_a_deadline_and_no_photo(store: PendingStore, exchange: LocalExchange) -> None:
    job = job_with_parcels(store)
    courier = courier_of(store, exchange, deadline_seconds=0.05)
    exchange.gone = True
    with pytest.raises(UnavailableError):
        courier.round([job], 0)
    exchange.gone = False
    rounds(courier, job, finished(store))
    assert names(store) == expected(4)


def test_a_job_that_was_cancelled_meanwhile_is_not_asked(store: PendingStore, exchange: LocalExchange) -> None:
    job = job_with_parcels(store)
    exchange.lost = 1
    courier = courier_of(store, exchange, deadline_seconds=0.01)
    courier.round([job], 0)
    store.set_state(JOB, JobState.CANCELLED)
    time.sleep(0.02)
    courier.round([job], 0)
    assert len(exchange.pushed) == 1


@pytest.mark.parametrize(("attempts", "wait"), [(0, 10), (1, 10), (2, 20), (3, 40), (4, 60), (50, 60)])
def test_waits_double_up_to_a_minute(attempts: int, wait: float) -> None:
    waits = [Backoff(10).due(1000.0, attempts) - 1000 for _ in range(50)]
    assert 0.9 * wait - 1e-6 <= min(waits) < max(waits) <= 1.1 * wait + 1e-6
