from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from enfpire.client.memory import Memory
from enfpire.client.protocol import protect, resolve
from enfpire.client.store import PendingStore, open_store
from enfpire.server.answer import answer
from enfpire.wire.bundle import Cells
from tests.unit.synthetic import CELLS, shop

SHOP = shop()
CAP = 1 << 30


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PendingStore]:
    opened = open_store(str(tmp_path / "store"))
    yield opened
    opened.close()


@pytest.fixture
def memory(store: PendingStore) -> Memory:
    cells = SHOP.signed.bundle.transform
    assert isinstance(cells, Cells)
    return Memory(store, SHOP.signed.bundle, cells)


def hold(store: PendingStore, *groups: int) -> None:
    for found in SHOP.lookup.by_group(groups):
        store.hold_set(found.digest, found.body, CAP)


def test_an_empty_memory_answers_nothing(memory: Memory) -> None:
    recalled = memory.recall(SHOP.features)
    assert (len(recalled.rows), len(recalled.groups), recalled.matches) == (0, 0, [])


def test_memory_answers_as_the_server_would(store: PendingStore, memory: Memory) -> None:
    hold(store, 1, 3)
    recalled = memory.recall(SHOP.features)
    pending, query = protect(SHOP.features, SHOP.signed)
    asked = resolve(pending, answer(query, SHOP.serving, SHOP.lookup), SHOP.signed)
    assert pending.groups is not None
    assert recalled.rows.tolist() == np.flatnonzero(np.isin(pending.groups, [1, 3])).tolist()
    assert recalled.groups.tolist() == pending.groups[recalled.rows].tolist()
    assert recalled.matches == [asked[row] for row in recalled.rows.tolist()]
    assert 0 < len(recalled.rows) < len(SHOP.features)


def test_what_arrives_later_is_remembered_too(store: PendingStore, memory: Memory) -> None:
    hold(store, 0)
    before = len(memory.recall(SHOP.features).rows)
    hold(store, 0, 1, 2, 3, 4)
    assert 0 < before < len(memory.recall(SHOP.features).rows) == len(SHOP.features)


def test_the_answer_survives_eviction(store: PendingStore, memory: Memory) -> None:
    hold(store, 2)
    before = memory.recall(SHOP.features)
    store.hold_set(bytes(32), b"x", 1)  # evicts the other
    after = memory.recall(SHOP.features)
    assert after.matches == before.matches


def test_sets_of_another_gallery_version_are_not_used(store: PendingStore, memory: Memory) -> None:
    for found in shop(CELLS.model_copy(update={"over_ask": 1.2})).lookup.by_group(range(5)):
        store.hold_set(found.digest, found.body, CAP)
    assert len(memory.recall(SHOP.features).rows) == 0
