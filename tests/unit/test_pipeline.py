from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from enfpire.client.asking import Asker
from enfpire.client.courier import Courier
from enfpire.client.intake import NOT_ON_DISK, Intake
from enfpire.client.job import Job
from enfpire.client.memory import NoMemory
from enfpire.client.photos import Photo
from enfpire.client.pipeline import Pipeline
from enfpire.client.resolving import resolve_here
from enfpire.client.settings import ClientSettings
from enfpire.client.store import JobRecord, JobState, PendingStore, Progress, open_store
from enfpire.errors import Code, PhotoError, RefusedError, StoreError, UnavailableError
from enfpire.wire.arrays import Floats
from tests.unit.local_exchange import CREDENTIAL, LocalExchange, job_of
from tests.unit.synthetic import means, photos, shop

SHOP = shop()
ASKED = photos(means(60, 32), 4, seed=2)  # the raw features that SHOP.features were made of
BROKEN = "broken.jpg"


@dataclass(frozen=True)
class Batch:
    places: tuple[int, ...]
    raw: Floats
    failed: dict[int, PhotoError]


class Names:
    """An extractor whose photos are called by the row of their raw feature."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def stream(self, photos: Sequence[Photo]) -> Iterator[Batch]:
        names = [str(photo) for photo in photos]
        self.seen += names
        for start in range(0, len(names), 8):
            batch = range(start, min(start + 8, len(names)))
            places = tuple(place for place in batch if names[place] != BROKEN)
            failed = {place: PhotoError("cut off") for place in batch if names[place] == BROKEN}
            yield Batch(places, ASKED.raw[[int(names[place]) for place in places]], failed)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PendingStore]:
    opened = open_store(str(tmp_path / "store"))
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The photos' files, each with content of its own: what a photo sends is remembered by it."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for row in range(len(ASKED.raw)):
        (folder / str(row)).write_bytes(b"photo %d" % row)
    monkeypatch.chdir(folder)


@pytest.fixture
def exchange() -> LocalExchange:
    return LocalExchange(SHOP)


def intake_of(store: PendingStore, extractor: Names, chunk: int = 16, window: int = 4) -> Intake:
    asker = Asker(store, SHOP.signed)
    return Intake(store, asker, SHOP.signed.bundle.whitening, extractor, chunk, window)


Make = Callable[..., Pipeline]


@pytest.fixture
def make(store: PendingStore, exchange: LocalExchange) -> Iterator[Make]:
    """Makes pipelines, and stops them."""
    made: list[Pipeline] = []

    def pipeline(extractor: Names | None = None, patience: float = 30) -> Pipeline:
        settings = ClientSettings(window=4, photos_per_query=16, deadline_seconds=0.2)
        courier = Courier(store, exchange, CREDENTIAL, settings, NoMemory(), resolve_here(store))
        intake = intake_of(store, extractor or Names())
        made.append(Pipeline(store, Asker(store, SHOP.signed), courier, intake, patience))
        return made[-1]

    yield pipeline
    for one in made:
        one.stop()


def names(count: int) -> list[str]:
    return [str(row) for row in range(count)]


def submitted(store: PendingStore, pipeline: Pipeline, photos: Sequence[str], id: str = "a" * 16) -> Job:  # noqa: A002
    record = job_of(SHOP, photos, store, id)
    pipeline.follow(record)
    return Job(record, store, pipeline)


def test_photos_become_recognitions(store: PendingStore, exchange: LocalExchange, make: Make) -> None:
    photos = names(100)
    photos[7] = photos[50] = BROKEN
    job = submitted(store, make(), photos)
    found = {one.row: one for one in job.results()}
    assert sorted(found) == list(range(100))
    assert {row for row, one in found.items() if one.error is not None} == {7, 50}
    assert found[7].error == "cut off"
    right = [found[row].name == SHOP.fit.names[SHOP.labels[row]] for row in range(100) if row not in (7, 50)]
    assert np.mean(right) > 0.9
    assert [found[row].photo for row in range(100)] == photos
    assert job.progress == Progress(total=100, recognised=98, failed=2, outstanding=0)
    assert record_of(store, job).state is JobState.DONE
    assert len(exchange.pushed) >= 7


def test_each_recognition_comes_once(store: PendingStore, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enfpire.client.job.PAGE", 10)
    job = submitted(store, make(), names(64))
    assert sorted(one.row for one in job.results()) == list(range(64))
    assert sorted(one.row for one in job.results(wait=False)) == list(range(64))


def test_two_jobs_do_not_mix(store: PendingStore, make: Make) -> None:
    pipeline = make()
    first = submitted(store, pipeline, names(40), "a" * 16)
    second = submitted(store, pipeline, names(60)[40:], "b" * 16)
    assert [one.photo for one in sorted(second.results(), key=lambda one: one.row)] == names(60)[40:]
    assert sorted(one.row for one in first.results()) == list(range(40))


def test_an_exchange_that_comes_back_is_waited_for(store: PendingStore, exchange: LocalExchange, make: Make) -> None:
    exchange.gone = True
    job = submitted(store, make(), names(20))
    assert not job.wait(timeout=0.2).done
    assert list(job.results(wait=False)) == []
    exchange.gone = False
    assert job.wait(timeout=10).recognised == 20


def test_patience_ends_and_the_job_can_be_resumed(store: PendingStore, exchange: LocalExchange, make: Make) -> None:
    exchange.gone = True
    pipeline = make(patience=0.1)
    job = submitted(store, pipeline, names(20))
    with pytest.raises(UnavailableError):
        job.wait(timeout=20)
    exchange.gone = False
    pipeline.follow(record_of(store, job))
    assert job.wait(timeout=10).recognised == 20


def test_a_refusal_reaches_whoever_waits(store: PendingStore, exchange: LocalExchange, make: Make) -> None:
    exchange.clients.clear()
    job = submitted(store, make(), names(5))
    with pytest.raises(RefusedError) as caught:
        list(job.results())
    assert caught.value.code is Code.UNKNOWN_CLIENT
    assert store.progress(job.id).recognised == 0


def test_another_pipeline_goes_on_where_one_stopped(store: PendingStore, exchange: LocalExchange, make: Make) -> None:
    exchange.slow = True
    first = make()
    job = submitted(store, first, names(48))
    wait_until(lambda: len(exchange.pushed) >= 2)
    first.stop()
    exchange.deliver()
    extractor = Names()
    second = make(extractor)
    second.follow(record_of(store, job))
    assert Job(record_of(store, job), store, second).wait(timeout=10).recognised == 48
    # what was extracted before it stopped is not extracted again
    assert len(extractor.seen) + 16 * len(set(exchange.asked)) >= 48
    assert not set(extractor.seen) & {str(row) for row in range(16)}


def test_a_cancelled_job_is_left_alone(store: PendingStore, exchange: LocalExchange, make: Make) -> None:
    exchange.lost = 1000
    pipeline = make()
    job = submitted(store, pipeline, names(40))
    wait_until(lambda: bool(exchange.pushed))
    job.cancel()
    time.sleep(0.1)
    asked = len(exchange.pushed)
    time.sleep(0.5)  # more than a deadline
    assert len(exchange.pushed) == asked
    assert store.outstanding() == 0
    assert list(job.results()) == []


def test_waiting_ends_at_its_timeout(store: PendingStore, exchange: LocalExchange, make: Make) -> None:
    exchange.lost = 1000
    job = submitted(store, make(), names(4))
    reports: list[Progress] = []
    began = time.monotonic()
    assert job.wait(timeout=0.3, report=reports.append).recognised == 0
    assert 0.3 <= time.monotonic() - began < 3
    assert reports[-1].total == 4


def test_a_job_that_the_store_lost_is_said_so(store: PendingStore, make: Make) -> None:
    job = submitted(store, make(), names(4))
    job.wait(timeout=10)
    store.purge()
    with pytest.raises(StoreError):
        job.wait()


def test_stopping_ends_both_threads(store: PendingStore, make: Make) -> None:
    pipeline = make()
    submitted(store, pipeline, names(4)).wait(timeout=10)
    ours = [thread for thread in threading.enumerate() if thread.name in ("enfpire-courier", "enfpire-intake")]
    assert len(ours) == 2
    pipeline.stop()
    assert not any(thread.is_alive() for thread in ours)


def test_intake_waits_while_enough_queries_are_on_their_way(store: PendingStore) -> None:
    job = job_of(SHOP, names(80), store)
    extractor = Names()
    intake = intake_of(store, extractor, chunk=8, window=2)
    while intake.round([job]):
        pass
    # no more than twice the window
    assert store.outstanding() == 4
    assert extractor.seen == names(32)


def test_intake_takes_a_querys_worth_of_each_job(store: PendingStore) -> None:
    jobs = [job_of(SHOP, names(20), store, id=letter * 16) for letter in "ab"]
    extractor = Names()
    assert intake_of(store, extractor, chunk=8).round(jobs)
    assert extractor.seen == names(8) + names(8)
    assert [store.outstanding(job.id) for job in jobs] == [1, 1]


class Odd(Names):
    """Yields one photo a batch; the raw feature of photo 1 is not finite."""

    def stream(self, photos: Sequence[Photo]) -> Iterator[Batch]:
        for place, photo in enumerate(photos):
            for extracted in super().stream([photo]):
                raw = extracted.raw.copy()
                if photo == "1":
                    raw[0, 0] = np.nan
                yield Batch((place,), raw, {})


def test_small_extraction_batches_make_whole_queries_and_a_bad_feature_is_its_photos_error(store: PendingStore) -> None:
    job = job_of(SHOP, names(20), store)
    assert intake_of(store, Odd(), chunk=10).round([job])
    assert store.outstanding(job.id) == 1
    ((_, broken),) = store.recognitions(job.id, 0, 10)
    assert (broken.row, broken.error is not None) == (1, True)
    assert len(store.waiting(job.id, 100)) == 10


def test_a_photo_that_was_no_file_and_was_lost_says_so(store: PendingStore) -> None:
    job = job_of(SHOP, ["#0", "#1"], store)
    assert intake_of(store, Names()).round([job])
    assert [one.error for _, one in store.recognitions(job.id, 0, 10)] == [NOT_ON_DISK] * 2


def wait_until(happened: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


def record_of(store: PendingStore, job: Job) -> JobRecord:
    record = store.job(job.id)
    assert record is not None
    return record
