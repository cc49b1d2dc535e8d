"""A client that remembers: photos go to groups that are held, as long as they nearly fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from enfpire.client.asking import Asker, held_groups
from enfpire.client.protocol import protect
from enfpire.client.store import JobRecord, PendingStore, open_store
from enfpire.client.transforms.cells import CellsTransform, familiar
from enfpire.curation.cells import CellsOptions
from enfpire.wire.arrays import Bools, Floats
from enfpire.wire.bundle import Cells
from enfpire.wire.codec import decode
from enfpire.wire.query import Groups, Query
from tests.unit.local_exchange import job_of
from tests.unit.synthetic import shop

SHOP = shop(CellsOptions(classes_per_group=12, anchors="cell", slack=1.0))


def cells() -> Cells:
    transform = SHOP.signed.bundle.transform
    assert isinstance(transform, Cells)
    return transform


ROUTER, SLACK = CellsTransform(cells()), np.float32(cells().slack)
CAP = 10**9

tables = st.tuples(st.integers(1, 12), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(-1, 1, width=32))
)


def holding(groups: int, *held: int) -> Bools:
    held_ones = np.zeros(groups, dtype=bool)
    held_ones[list(held)] = True
    return held_ones


@given(tables, st.floats(0, 1, width=32), st.integers(0, 63))
@settings(max_examples=150, deadline=None)
def test_a_photo_goes_to_a_group_that_it_nearly_fits(scores: Floats, slack: float, held: int) -> None:
    groups = scores.shape[1]
    known = np.array([bool(held >> group & 1) for group in range(groups)])
    chosen = familiar(scores, np.float32(slack), known)
    fits = scores >= scores.max(axis=1, keepdims=True) - np.float32(slack)
    rows = np.arange(len(scores))
    assert fits[rows, chosen].all()
    # whoever fits a group that is held needs no other, unless one that others need fits better
    asked = set(chosen.tolist()) - set(np.flatnonzero(known).tolist())
    needing = ~(fits & known).any(axis=1)
    assert len(asked) <= len(set(scores[needing].argmax(axis=1).tolist()))
    assert asked <= set(np.flatnonzero(fits[needing].any(axis=0)).tolist())


def test_without_slack_nothing_changes() -> None:
    scores = ROUTER.scores(SHOP.features)
    assert np.array_equal(familiar(scores, np.float32(0), holding(5, 0, 1)), ROUTER.route(SHOP.features))


def test_scores_are_those_of_the_router() -> None:
    assert np.array_equal(ROUTER.scores(SHOP.features).argmax(axis=1), ROUTER.route(SHOP.features))


def test_held_groups_come_first_and_then_as_few_as_possible() -> None:
    scores = np.array([[1.0, 0.95, 0.0], [0.95, 1.0, 0.0], [0.0, 0.95, 1.0], [0.3, 0.0, 1.0]], np.float32)
    slack = np.float32(0.1)
    assert familiar(scores, slack, holding(3)).tolist() == [1, 1, 2, 2]
    assert familiar(scores, slack, holding(3, 0)).tolist() == [0, 0, 2, 2]
    assert familiar(scores, slack, holding(3, 0, 1, 2)).tolist() == [0, 1, 2, 2]


def test_only_a_client_that_remembers_prefers_groups() -> None:
    scores = ROUTER.scores(SHOP.features)
    fits = scores >= scores.max(axis=1, keepdims=True) - SLACK
    torn = int(np.flatnonzero(fits.sum(axis=1) > 1)[0])
    other = next(int(group) for group in np.flatnonzero(fits[torn]) if group != scores[torn].argmax())
    photo = SHOP.features[torn : torn + 1]
    for held, group in ((None, scores[torn].argmax()), ([], scores[torn].argmax()), ([other], other)):
        pending, query = protect(photo, SHOP.signed, held=held)
        assert pending.groups is not None
        assert isinstance(query.protected, Groups)
        assert pending.groups.tolist() == query.protected.numbers.values.tolist() == [group]


def test_photos_of_one_class_are_spread_over_fewer_groups() -> None:
    def spread(held: list[int] | None) -> float:
        found = []
        for label in range(60):
            pending, _ = protect(SHOP.features[SHOP.labels == label], SHOP.signed, held=held)
            assert pending.groups is not None
            found.append(len(np.unique(pending.groups)))
        return float(np.mean(found))

    assert spread([]) < spread(None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PendingStore]:
    opened = open_store(str(tmp_path / "pending.sqlite"))
    yield opened
    opened.close()


@pytest.fixture
def job(store: PendingStore) -> JobRecord:
    return job_of(SHOP, [f"{row}.jpg" for row in range(len(SHOP.features))], store)


def asked_of(store: PendingStore, job: JobRecord) -> list[set[int]]:
    queries = [store.query(parcel.id) for parcel in store.open_parcels(job.id)]
    decoded = [decode(data, b"q", Query, CAP) for data in queries if data is not None]
    return [set(query.protected.numbers.values.tolist()) for query in decoded if isinstance(query.protected, Groups)]


def test_what_was_asked_counts_as_held(store: PendingStore, job: JobRecord) -> None:
    """A photo that fits two groups goes where an earlier one went, before the set has come."""
    scores = ROUTER.scores(SHOP.features)
    fits = scores >= scores.max(axis=1, keepdims=True) - SLACK
    torn = int(np.flatnonzero(fits.sum(axis=1) > 1)[0])
    best, other = (
        ROUTER.route(SHOP.features)[torn],
        next(g for g in np.flatnonzero(fits[torn]) if g != scores[torn].argmax()),
    )
    sure = int(np.flatnonzero((ROUTER.route(SHOP.features) == other) & (fits.sum(axis=1) == 1))[0])
    asker = Asker(store, SHOP.signed, remembers=True)
    for row in (sure, torn):
        asker.ask(job.id, [row], [f"{row}.jpg"], SHOP.features[row : row + 1])
    assert asked_of(store, job) == [{int(other)}, {int(other)}]
    assert best != other


def test_sets_of_the_store_are_held(store: PendingStore) -> None:
    assert held_groups(store, SHOP.signed) == set()
    sent = SHOP.lookup.by_group([1, 3])
    store.hold_sets("shop", [(one.digest, one.body) for one in sent], CAP)
    assert held_groups(store, SHOP.signed) == {1, 3}
    art = SHOP.signed.model_copy(update={"bundle": SHOP.signed.bundle.model_copy(update={"gallery": "art"})})
    assert held_groups(store, art) == set()
