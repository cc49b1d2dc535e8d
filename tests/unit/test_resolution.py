"""The bundle of a job is read from its store once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from enfpire.client import resolution
from enfpire.client.resolution import OPENED_BUNDLES, bundle_of
from enfpire.client.store import JobRecord, JobState, PendingStore, open_store
from enfpire.errors import StoreError
from tests.unit.local_exchange import JOB, job_of
from tests.unit.synthetic import shop

SHOP = shop()


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PendingStore]:
    monkeypatch.setattr(resolution, "_opened", type(resolution._opened)())
    opened = open_store(str(tmp_path) if request.param == "sqlite" else request.getfixturevalue("redis_url"))
    yield opened
    opened.close()


def test_a_bundle_is_read_once(store: PendingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    job_of(SHOP, ["a.jpg"], store)
    job_of(SHOP, ["b.jpg"], store, "00000000000000bb")
    read: list[bytes] = []
    bundle = store.bundle

    def counted(digest: bytes) -> bytes | None:
        read.append(digest)
        return bundle(digest)

    monkeypatch.setattr(store, "bundle", counted)
    first = bundle_of(store, JOB)
    assert first.bundle == SHOP.signed.bundle
    assert bundle_of(store, JOB) is bundle_of(store, "00000000000000bb") is first
    assert read == [SHOP.signed.digest]


def test_a_bundle_that_the_store_lost_or_mixed_up(store: PendingStore) -> None:
    for job, digest in ((JOB, b"\x01" * 32), ("00000000000000bb", b"\x02" * 32)):
        store.open_job(JobRecord(job, "shop", digest, 1.0, JobState.OPEN, 1, ""), ["a.jpg"])
    store.keep_bundle(b"\x02" * 32, SHOP.signed.data)
    for job in (JOB, "00000000000000bb", "f" * 16):
        with pytest.raises(StoreError, match="submit the photos again"):
            bundle_of(store, job)


def test_only_a_few_bundles_stay_opened(store: PendingStore) -> None:
    resolution._opened.update((bytes([number]), SHOP.signed) for number in range(OPENED_BUNDLES))
    job_of(SHOP, ["a.jpg"], store)
    bundle_of(store, JOB)
    assert len(resolution._opened) == OPENED_BUNDLES
    assert SHOP.signed.digest in resolution._opened
