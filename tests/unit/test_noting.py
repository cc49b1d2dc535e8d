"""What the ledger says after questions went out: over the real courier, memory and stores."""

from __future__ import annotations

from collections.abc import Iterator
from math import log2
from pathlib import Path

import numpy as np
import pytest

from enfpire.client.asking import Asker
from enfpire.client.courier import Courier
from enfpire.client.memory import memory_of
from enfpire.client.noting import shown
from enfpire.client.protocol import protect
from enfpire.client.resolving import resolve_here
from enfpire.client.settings import ClientSettings
from enfpire.client.store import Entry, PendingStore, Question, open_store
from enfpire.curation.fit import VectorOptions
from enfpire.leakage.messages import query_bits
from enfpire.wire.arrays import Array
from enfpire.wire.query import Groups
from tests.unit.local_exchange import CREDENTIAL, LocalExchange, job_of
from tests.unit.synthetic import Shop, shop

SHOP = shop()
PROJECTED = shop(VectorOptions(kind="projection", dimensions=4, candidates=10))
PHOTOS = [f"{row}.jpg" for row in range(40)]


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PendingStore]:
    where = str(tmp_path / "store") if request.param == "sqlite" else request.getfixturevalue("redis_url")
    opened = open_store(where)
    yield opened
    opened.close()


def run(
    store: PendingStore, taken: Shop, exchange: LocalExchange, job: str, *, memory: int = 0, each: int = 10
) -> None:
    """Ask about 40 photos in parcels of `each`, until all are recognised."""
    record = job_of(taken, PHOTOS, store, job)
    asker = Asker(store, taken.signed)
    for start in range(0, 40, each):
        rows = range(start, start + each)
        asker.ask(job, rows, PHOTOS[start : start + each], taken.features[start : start + each])
    settings = ClientSettings(window=1, deadline_seconds=0.05, memory_bytes=memory)
    own = memory_of(store, taken.signed.bundle, settings.memory_bytes)
    courier = Courier(store, exchange, CREDENTIAL, settings, own, resolve_here(store))
    for _ in range(400):
        if store.progress(job).done:
            return
        courier.round([record], 0.01)
    pytest.fail("it never ended")


def parcels(each: int = 10) -> list[list[int]]:
    groups = protect(SHOP.features[:40], SHOP.signed)[0].groups
    assert groups is not None
    return [groups[start : start + each].tolist() for start in range(0, 40, each)]


def test_every_question_counts_at_most_its_groups(store: PendingStore) -> None:
    run(store, SHOP, LocalExchange(SHOP), "a" * 16)
    asked = {group for groups in parcels() for group in groups}
    (entry,) = store.ledger.entries()
    # ten photos may show any set of the five groups but none
    assert entry.bits == pytest.approx(4 * log2(2**5 - 1))
    assert entry == Entry(
        "shop", SHOP.signed.digest, photos=40, asked=40, queries=4, groups=len(asked), bits=entry.bits
    )


def test_what_is_lost_and_asked_again_counts_once(store: PendingStore) -> None:
    exchange = LocalExchange(SHOP)
    exchange.lost = 2
    run(store, SHOP, exchange, "a" * 16, each=1)
    assert len(exchange.pushed) == 42
    (entry,) = store.ledger.entries()
    assert (entry.photos, entry.asked, entry.queries) == (40, 40, 40)
    assert entry.bits == pytest.approx(40 * log2(5))


def test_what_is_held_is_silent(store: PendingStore) -> None:
    run(store, SHOP, LocalExchange(SHOP), "a" * 16, memory=1 << 20)
    held: set[int] = set()
    counts, bits = [], 0.0
    for groups in parcels():
        counts.append(sum(group not in held for group in groups))
        bits += query_bits(counts[-1], 5)
        held |= set(groups)
    (first,) = store.ledger.entries()
    assert (first.asked, first.silent, first.groups) == (sum(counts), 40 - sum(counts), len(held))
    assert first.queries == sum(count > 0 for count in counts)
    assert first.bits == pytest.approx(bits)
    # once more: nothing goes out, and the same photos are not new ones
    exchange = LocalExchange(SHOP)
    run(store, SHOP, exchange, "b" * 16, memory=1 << 20)
    (second,) = store.ledger.entries()
    assert exchange.pushed == []
    assert (second.photos, second.asked, second.silent, second.bits) == (40, first.asked, first.silent + 40, first.bits)


def test_a_question_is_noted_before_it_is_pushed(store: PendingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = []
    exchange = LocalExchange(SHOP)
    push = exchange.push

    def noting(gallery: str, sealed: bytes, *, bulk: bool) -> None:
        noted.append(sum(entry.queries for entry in store.ledger.entries()))
        push(gallery, sealed, bulk=bulk)

    monkeypatch.setattr(exchange, "push", noting)
    run(store, SHOP, exchange, "a" * 16)
    assert noted == [1, 2, 3, 4]


def test_vectors_count_with_all_their_bits(store: PendingStore) -> None:
    run(store, PROJECTED, LocalExchange(PROJECTED), "a" * 16)
    (entry,) = store.ledger.entries()
    assert entry == Entry("shop", PROJECTED.signed.digest, photos=40, asked=40, queries=4, bits=40 * 4 * 16.0)


def test_photos_of_groups_that_are_not_asked_for_are_not_shown() -> None:
    pending, query = protect(SHOP.features[:40], SHOP.signed)
    assert pending.groups is not None
    fewer = query.model_copy(update={"protected": Groups(numbers=Array.of(np.array([1, 3]), "u4"))})
    count = int(np.isin(pending.groups, [1, 3]).sum())
    assert shown(pending, fewer, SHOP.signed.bundle) == Question(count, (1, 3), query_bits(count, 5))
    assert shown(pending, None, SHOP.signed.bundle) == Question(0, (), 0.0)
