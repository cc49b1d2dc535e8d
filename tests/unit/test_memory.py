from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from enfpire.client.asking import Asker
from enfpire.client.courier import Courier
from enfpire.client.memory import Memory, NoMemory, Now, SetMemory, memory_of
from enfpire.client.recognition import Recognition
from enfpire.client.resolving import resolve_here
from enfpire.client.settings import ClientSettings
from enfpire.client.store import PendingStore, open_store
from enfpire.curation.fit import VectorOptions
from enfpire.errors import CandidateSetError
from enfpire.server.answer import answer
from enfpire.wire.arrays import Array
from enfpire.wire.query import Groups, Query
from enfpire.wire.reply import Reply, Response, SentSet, decode_response, encode_response
from tests.unit.local_exchange import CREDENTIAL, JOB, LocalExchange, falsified, job_of
from tests.unit.synthetic import CELLS, Shop, shop

SHOP = shop()
CAP = 1 << 30
SETS = SHOP.lookup.by_group(range(5))
SET_BYTES = max(len(one.body) for one in SETS)
P1, P2 = b"1" * 16, b"2" * 16


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PendingStore]:
    opened = open_store(str(tmp_path / "store"))
    yield opened
    opened.close()


@pytest.fixture
def exchange() -> LocalExchange:
    return LocalExchange(SHOP)


def hold(store: PendingStore, *groups: int) -> None:
    for group in groups:
        store.hold_set("shop", SETS[group].digest, SETS[group].body, CAP)


def remembering(store: PendingStore, cap: int = CAP) -> SetMemory:
    memory = memory_of(store, SHOP.signed.bundle, cap)
    assert isinstance(memory, SetMemory)
    return memory


def about(*groups: int) -> Query:
    protected = Groups(numbers=Array.of(np.array(groups), "u4"))
    return Query(gallery="shop", bundle=SHOP.signed.digest, protected=protected)


def asked(question: Query | Now) -> list[int]:
    assert isinstance(question, Query)
    assert isinstance(question.protected, Groups)
    numbers: list[int] = question.protected.numbers.values.tolist()
    return numbers


def answered(query: Query | Now) -> Reply:
    assert isinstance(query, Query)
    return answer(query, SHOP.serving, SHOP.lookup)


# what is asked


def test_an_empty_memory_asks_all(store: PendingStore) -> None:
    assert remembering(store).question(P1, about(0, 2, 4)) == about(0, 2, 4)


def test_what_is_held_is_not_asked(store: PendingStore) -> None:
    hold(store, 1, 3)
    memory = remembering(store)
    assert asked(memory.question(P1, about(0, 1, 2, 3))) == [0, 2]
    assert memory.question(P2, about(1, 3)) is Now.ANSWER


def test_what_is_on_its_way_is_waited_for(store: PendingStore) -> None:
    memory = remembering(store)
    question = memory.question(P1, about(0, 1))
    assert memory.question(P2, about(1, 2)) is Now.WAIT
    assert asked(memory.question(P2, about(2, 3))) == [2, 3]
    # the answer to one is of use to the other
    memory.completed(P1, about(0, 1), answered(question))
    memory.settle([])
    assert asked(memory.question(P2, about(1, 2))) == [2]


def test_a_parcel_does_not_wait_for_itself(store: PendingStore) -> None:
    memory = remembering(store)
    assert asked(memory.question(P1, about(0, 1))) == asked(memory.question(P1, about(0, 1))) == [0, 1]


def test_a_parcel_whose_question_was_settled_holds_up_nobody(store: PendingStore) -> None:
    memory = remembering(store)
    memory.question(P1, about(0, 1))
    memory.settle([P1])
    assert memory.question(P2, about(1)) is Now.WAIT
    memory.settle([])
    assert asked(memory.question(P2, about(1))) == [1]


# what is answered


def test_a_completed_reply_names_the_set_of_every_group(store: PendingStore) -> None:
    hold(store, 1)
    memory = remembering(store)
    reply = memory.completed(P1, about(0, 1, 2), answered(memory.question(P1, about(0, 1, 2))))
    assert [reply.sets[place].digest for place in reply.index.values] == [SETS[group].digest for group in (0, 1, 2)]
    assert [sent.body for sent in reply.sets] == [SETS[0].body, None, SETS[2].body]
    assert memory.question(P2, about(0, 1, 2)) is Now.ANSWER


def test_a_reply_that_lacks_a_set_is_refused(store: PendingStore) -> None:
    with pytest.raises(CandidateSetError, match="lacks"):
        remembering(store).completed(P1, about(0, 1), answered(about(0)))
    with pytest.raises(CandidateSetError):
        remembering(store).completed(P1, about(3), None)


def test_a_poisoned_set_is_not_held(store: PendingStore) -> None:
    memory = remembering(store)
    poisoned = Reply(
        sets=(SentSet(digest=SETS[0].digest, body=SETS[1].body), SentSet(digest=SETS[1].digest, body=SETS[1].body)),
        index=Array.of(np.arange(2), "u4"),
    )
    memory.completed(P1, about(0, 1), poisoned)
    assert store.held_digests("shop") == {SETS[1].digest}
    assert store.held_set("shop", SETS[1].digest) == SETS[1].body
    assert asked(memory.question(P2, about(0, 1))) == [0]


def test_sets_that_nobody_asked_for_are_not_held(store: PendingStore) -> None:
    memory = remembering(store)
    memory.completed(P1, about(2), answered(about(0, 1, 2, 3, 4)))
    assert store.held_digests("shop") == {SETS[2].digest}


def test_sets_of_another_gallery_version_are_of_no_use(store: PendingStore) -> None:
    for found in shop(CELLS.model_copy(update={"over_ask": 2.0})).lookup.by_group(range(5)):
        store.hold_set("shop", found.digest, found.body, CAP)
    assert asked(remembering(store).question(P1, about(0, 1, 2, 3, 4))) == [0, 1, 2, 3, 4]


def test_sets_of_another_gallery_are_of_no_use(store: PendingStore) -> None:
    """Its operator would learn from silence what was asked of this one."""
    hold(store, 0, 1, 2, 3, 4)
    memory = memory_of(store, SHOP.signed.bundle.model_copy(update={"gallery": "art"}), CAP)
    assert asked(memory.question(P1, about(0, 1, 2, 3, 4))) == [0, 1, 2, 3, 4]


def test_a_set_that_another_process_dropped_is_asked_again(store: PendingStore) -> None:
    hold(store, 0, 1)
    memory = remembering(store)
    store.hold_set("shop", bytes(32), b"x", 1)
    assert memory.question(P1, about(0, 1)) is Now.ANSWER
    with pytest.raises(CandidateSetError):
        memory.completed(P1, about(0, 1), None)
    assert asked(memory.question(P1, about(0, 1))) == [0, 1]


def test_a_parcel_that_relied_on_a_set_that_was_gone_asks_for_it(store: PendingStore) -> None:
    """Relying on the memory again, it might lack a set for ever."""
    hold(store, 0)
    memory = remembering(store)
    question = memory.question(P1, about(0, 1))
    store.hold_set("shop", bytes(32), b"x", 1)
    with pytest.raises(CandidateSetError):
        memory.completed(P1, about(0, 1), answered(question))
    hold(store, 0, 1)
    assert asked(memory.question(P1, about(0, 1))) == [0]
    memory.completed(P1, about(0, 1), answered(about(0)))
    assert memory.question(P1, about(0, 1)) is Now.ANSWER


@pytest.mark.parametrize("sent", [(0,), (2,)])
def test_a_reply_that_lacks_what_was_asked_for_does_not_undo_the_memory(
    store: PendingStore, sent: tuple[int, ...]
) -> None:
    """Else a server that lies would be told what is held."""
    hold(store, 1, 3)
    memory = remembering(store)
    for _ in range(3):
        assert set(asked(memory.question(P1, about(1, 2, 3, 4)))) <= {2, 4}
        with pytest.raises(CandidateSetError, match="lacks"):
            memory.completed(P1, about(1, 2, 3, 4), answered(about(*sent)))
    assert asked(memory.question(P1, about(1, 2, 3, 4))) == sorted({2, 4} - set(sent))


def test_a_reply_that_lacks_a_set_tells_nothing_new_at_work(store: PendingStore, exchange: LocalExchange) -> None:
    hold(store, 0, 1, 2, 3)
    lies = [True, True]
    nothing = Reply(sets=(), index=Array.of(np.zeros(0), "u4"))
    exchange.change = lambda data: (
        encode_response(Response(id=decode_response(data).id, reply=nothing)) if lies and lies.pop() else data
    )
    assert len(recognised(store, exchange, remembering(store))) == 240
    assert not lies
    assert {group for pushed in exchange.pushed for group in asked(pushed.request.query)} == {4}


def test_a_small_memory_gives_back_what_it_pushes_out(store: PendingStore) -> None:
    """Holding what came may push out a set that the same reply needs."""
    hold(store, 0, 1)
    memory = remembering(store, cap=2 * SET_BYTES)
    reply = memory.completed(P1, about(0, 1, 2), answered(memory.question(P1, about(0, 1, 2))))
    held = store.held_digests("shop")
    assert SETS[0].digest not in held
    for sent in reply.sets:
        assert sent.body is not None or sent.digest in held


@pytest.mark.parametrize("kind", ["no bytes", "vectors"])
def test_without_memory_all_is_asked_always(store: PendingStore, kind: str) -> None:
    vectors = shop(VectorOptions(kind="projection", dimensions=4, candidates=10)).signed.bundle
    memory = memory_of(store, vectors, CAP) if kind == "vectors" else memory_of(store, SHOP.signed.bundle, 0)
    assert isinstance(memory, NoMemory)
    reply = answered(about(0, 1))
    assert memory.completed(P1, about(0, 1), reply) is reply
    for _ in range(2):
        assert memory.question(P1, about(0, 1)) == about(0, 1)
    assert store.held_digests("shop") == frozenset()


# memory at work


def recognised(
    store: PendingStore, exchange: LocalExchange, memory: Memory, taken: Shop = SHOP
) -> dict[int, Recognition]:
    """Everything that SHOP's photos show, asked in 24 parcels of 10."""
    photos = [f"{row}.jpg" for row in range(240)]
    job = job_of(taken, photos, store)
    asker = Asker(store, taken.signed)
    for start in range(0, 240, 10):
        asker.ask(JOB, range(start, start + 10), photos[start : start + 10], taken.features[start : start + 10])
    settings = ClientSettings(window=4, deadline_seconds=0.05)
    courier = Courier(store, exchange, CREDENTIAL, settings, memory, resolve_here(store))
    end = time.monotonic() + 20
    while not store.progress(JOB).done:
        assert time.monotonic() < end, "it never ended"
        if not courier.round([job], 0.002):
            time.sleep(0.002)
    return {one.row: one for _, one in store.recognitions(JOB, 0, 1000)}


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Recognition]:
    """What a client without memory recognises."""
    opened = open_store(str(tmp_path_factory.mktemp("without")))
    found = recognised(opened, LocalExchange(SHOP), NoMemory())
    opened.close()
    assert len(found) == 240
    return found


def test_memory_answers_as_asking_does_and_asks_no_set_twice(
    store: PendingStore, without: dict[int, Recognition]
) -> None:
    exchange = LocalExchange(SHOP)
    assert same(recognised(store, exchange, remembering(store)), without)
    numbers = [group for pushed in exchange.pushed for group in asked(pushed.request.query)]
    assert sorted(numbers) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("room", [0.5, 1, 2, 3.5])
def test_a_small_memory_answers_as_asking_does(
    store: PendingStore, without: dict[int, Recognition], room: float
) -> None:
    found = recognised(store, LocalExchange(SHOP), remembering(store, int(room * SET_BYTES)))
    assert same(found, without)


def test_falsified_replies_change_no_answer(store: PendingStore, without: dict[int, Recognition]) -> None:
    exchange = LocalExchange(SHOP)
    changes = [falsified, falsified, falsified]
    exchange.change = lambda data: changes.pop()(data) if changes else data
    assert same(recognised(store, exchange, remembering(store)), without)
    assert not changes


def test_lost_queries_hold_up_nobody_for_ever(store: PendingStore, without: dict[int, Recognition]) -> None:
    exchange = LocalExchange(SHOP)
    exchange.lost = 3
    assert same(recognised(store, exchange, remembering(store)), without)


def same(found: dict[int, Recognition], expected: dict[int, Recognition]) -> bool:
    return found.keys() == expected.keys() and all(
        one.model_dump(exclude={"similarity", "margin"}) == expected[row].model_dump(exclude={"similarity", "margin"})
        and one.similarity == pytest.approx(expected[row].similarity, abs=1e-6)
        for row, one in found.items()
    )
