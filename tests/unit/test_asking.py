from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from enfpire.client.asking import NOT_FINITE, Asker
from enfpire.client.protocol import protect
from enfpire.client.recognition import Recognition
from enfpire.client.store import PendingStore, open_store
from enfpire.wire.codec import decode
from enfpire.wire.query import Query
from tests.unit.local_exchange import JOB, job_of
from tests.unit.synthetic import shop

SHOP = shop()
PHOTOS = [f"{row}.jpg" for row in range(6)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PendingStore]:
    opened = open_store(str(tmp_path / "store"))
    job_of(SHOP, PHOTOS, opened)
    yield opened
    opened.close()


def parcels(store: PendingStore) -> list[tuple[int, ...]]:
    loaded = [store.load(one.id) for one in store.open_parcels(JOB)]
    return [found[0].rows for found in loaded if found]


def stored(store: PendingStore) -> dict[int, Recognition]:
    return {one.row: one for _, one in store.recognitions(JOB, 0, 100)}


def test_features_become_one_parcel_that_is_due(store: PendingStore) -> None:
    Asker(store, SHOP.signed).ask(JOB, [1, 3, 5], [PHOTOS[1], PHOTOS[3], PHOTOS[5]], SHOP.features[:3])
    (one,) = store.open_parcels(JOB)
    assert (len(one.id), one.attempts) == (16, 0)
    loaded = store.load(one.id)
    assert loaded is not None
    parcel = loaded[0]
    assert (parcel.rows, parcel.photos) == ((1, 3, 5), ("1.jpg", "3.jpg", "5.jpg"))
    assert np.array_equal(parcel.pending.features, SHOP.features[:3])
    assert decode(parcel.query, b"q", Query, 1 << 20) == protect(SHOP.features[:3], SHOP.signed)[1]
    assert [one.row for one in store.waiting(JOB, 10)] == [0, 2, 4]


def test_the_query_holds_no_name_and_no_feature(store: PendingStore) -> None:
    Asker(store, SHOP.signed).ask(JOB, range(6), PHOTOS, SHOP.features[:6])
    (one,) = store.open_parcels(JOB)
    loaded = store.load(one.id)
    assert loaded is not None
    assert b".jpg" not in loaded[0].query
    for dtype in (np.float16, np.float32, np.float64):
        assert all(feature.astype(dtype).tobytes()[:8] not in loaded[0].query for feature in SHOP.features[:6])


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_broken_feature_fails_alone(store: PendingStore, broken: float) -> None:
    features = SHOP.features[:6].copy()
    features[[0, 4], [3, 20]] = broken
    Asker(store, SHOP.signed).ask(JOB, range(6), PHOTOS, features)
    assert stored(store) == {row: Recognition(row=row, photo=PHOTOS[row], error=NOT_FINITE) for row in (0, 4)}
    assert parcels(store) == [(1, 2, 3, 5)]
    assert store.progress(JOB).failed == 2


def test_a_batch_of_broken_features_asks_nothing(store: PendingStore) -> None:
    Asker(store, SHOP.signed).ask(JOB, range(6), PHOTOS, np.full((6, 24), np.nan, dtype=np.float32))
    assert parcels(store) == []
    assert store.progress(JOB).done
