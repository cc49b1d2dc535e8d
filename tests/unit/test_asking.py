from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from enfpire.client.asking import NOT_FINITE, Asker
from enfpire.client.memory import Memory
from enfpire.client.protocol import protect
from enfpire.client.recognition import Recognition
from enfpire.client.store import PendingStore, open_store
from enfpire.wire.bundle import Cells
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


def remembering(store: PendingStore) -> Asker:
    cells = SHOP.signed.bundle.transform
    assert isinstance(cells, Cells)
    return Asker(store, SHOP.signed, Memory(store, SHOP.signed.bundle, cells))


def test_features_become_one_parcel_that_is_due(store: PendingStore) -> None:
    Asker(store, SHOP.signed, None).ask(JOB, [1, 3, 5], [PHOTOS[1], PHOTOS[3], PHOTOS[5]], SHOP.features[:3])
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
    Asker(store, SHOP.signed, None).ask(JOB, range(6), PHOTOS, SHOP.features[:6])
    (one,) = store.open_parcels(JOB)
    loaded = store.load(one.id)
    assert loaded is not None
    assert b".jpg" not in loaded[0].query
    for feature in SHOP.features[:6]:
        assert feature.tobytes()[:8] not in loaded[0].query


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_broken_feature_fails_alone(store: PendingStore, broken: float) -> None:
    features = SHOP.features[:6].copy()
    features[[0, 4], [3, 20]] = broken
    Asker(store, SHOP.signed, None).ask(JOB, range(6), PHOTOS, features)
    assert stored(store) == {row: Recognition(row=row, photo=PHOTOS[row], error=NOT_FINITE) for row in (0, 4)}
    assert parcels(store) == [(1, 2, 3, 5)]
    assert store.progress(JOB).failed == 2


def test_a_batch_of_broken_features_asks_nothing(store: PendingStore) -> None:
    Asker(store, SHOP.signed, None).ask(JOB, range(6), PHOTOS, np.full((6, 24), np.nan, dtype=np.float32))
    assert parcels(store) == []
    assert store.progress(JOB).done


def test_what_is_remembered_is_not_asked(store: PendingStore) -> None:
    pending, _ = protect(SHOP.features[:6], SHOP.signed)
    assert pending.groups is not None
    group = int(pending.groups[2])
    (held,) = SHOP.lookup.by_group([group])
    store.hold_set(held.digest, held.body, 1 << 30)
    known = np.flatnonzero(pending.groups == group).tolist()
    features = SHOP.features[:6].copy()
    remembering(store).ask(JOB, range(6), PHOTOS, features)
    assert sorted(stored(store)) == known
    assert {stored(store)[row].name for row in known} == {SHOP.fit.names[SHOP.labels[row]] for row in known}
    assert {stored(store)[row].group for row in known} == {group}
    left = tuple(row for row in range(6) if row not in known)
    assert parcels(store) == ([left] if left else [])


def test_broken_remembered_and_asked_keep_their_rows(store: PendingStore) -> None:
    """Six photos of the first, the middle and the last class of which one is broken, and one group is held."""
    rows = np.array([0, 1, 120, 121, 236, 237])
    features = SHOP.features[rows].copy()
    features[0] = np.nan
    pending, _ = protect(SHOP.features[rows], SHOP.signed)
    assert pending.groups is not None
    (held,) = SHOP.lookup.by_group([int(pending.groups[2])])
    store.hold_set(held.digest, held.body, 1 << 30)
    remembering(store).ask(JOB, [50, 51, 52, 53, 54, 55], PHOTOS, features)
    known = {50 + place for place in range(1, 6) if pending.groups[place] == pending.groups[2]}
    assert {52} <= known < {51, 52, 53, 54, 55}
    found = stored(store)
    assert set(found) == known | {50}
    assert found[50].error == NOT_FINITE
    assert (found[52].photo, found[52].name) == (PHOTOS[2], SHOP.fit.names[SHOP.labels[120]])
    assert parcels(store) == [tuple(sorted({51, 52, 53, 54, 55} - known))]
