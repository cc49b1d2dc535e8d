from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.milvus_lite import MilvusLiteServer
from enfpire.curation.cells import CellsOptions
from enfpire.curation.fit import Fit, Options, VectorOptions
from enfpire.curation.largest import largest_around
from enfpire.curation.publish import cards, draft_version, publish
from enfpire.errors import UnavailableError
from enfpire.exchange.bundles import fetch_bundle, fetch_serving
from enfpire.exchange.connection import connect as connect_exchange
from enfpire.server.gallery import MilvusClient, MilvusLookup, connect, current_version, versions
from enfpire.server.memory_gallery import MemoryLookup
from enfpire.wire.bundle import Cells, member_of, open_bundle, serving_of
from enfpire.wire.candidates import decode_set
from tests.unit.synthetic import shop

PER_CELL = CellsOptions(classes_per_group=12, anchors="cell")
OVER = PER_CELL.model_copy(update={"over_ask": 1.5})
PROJECTION = VectorOptions(kind="projection", dimensions=4, candidates=10)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def silent(what: str, done: int, total: int) -> None:
    assert what in ("classes", "candidate sets")
    assert 0 <= done <= total


def test_a_card_holds_one_class_and_all_of_it() -> None:
    fitted = shop().fit
    made = cards(fitted)
    assert [card.names for card in made] == [(name,) for name in fitted.names]
    assert [card.info(0) for card in made] == [{"title": f"Title {number}"} for number in range(60)]
    assert np.array_equal(np.concatenate([card.codes.values for card in made]), fitted.codes.values)
    assert np.array_equal(np.concatenate([card.scales.values for card in made]), fitted.scales.values)
    assert [len(card.codes.values) for card in made] == np.bincount(fitted.owners.values).tolist()


def test_without_over_asking_a_set_is_its_group() -> None:
    members = shop().version.members or ()
    assert [own.tolist() for own in members] == [np.flatnonzero(shop().groups == g).tolist() for g in range(5)]


def test_over_asking_finds_photos_that_were_misrouted() -> None:
    def found(options: Options) -> float:
        taken = shop(options)
        anchors = taken.signed.bundle.transform.anchors.floats()  # type: ignore[union-attr]
        groups = (taken.features @ anchors.T).argmax(axis=1)
        members = taken.version.members or ()
        return float(np.mean([label in members[g] for g, label in zip(groups, taken.labels, strict=True)]))

    assert found(PER_CELL) < 0.97
    assert found(OVER) > found(PER_CELL) + 0.02


def test_members_are_the_digests_of_the_names_group_by_group() -> None:
    taken = shop(OVER)
    cells = taken.signed.bundle.transform
    assert isinstance(cells, Cells)
    names = [[taken.fit.names[number] for number in np.flatnonzero(taken.groups == group)] for group in range(5)]
    assert cells.classes.values.tolist() == [len(own) for own in names] == [12] * 5
    assert cells.members == b"".join(member for own in names for member in sorted(map(member_of, own)))
    assert [cells.members_of(group) for group in range(5)] == [set(map(member_of, own)) for own in names]


def test_a_version_is_named_by_its_fit() -> None:
    fitted = shop().fit
    assert draft_version(fitted).version == draft_version(fitted).version
    changed = fitted.model_copy(update={"unknown_below": fitted.unknown_below - 0.01})
    assert draft_version(changed).version != draft_version(fitted).version


def test_projected_prototypes_are_what_is_searched() -> None:
    fitted = shop(PROJECTION).fit
    assert draft_version(fitted).vectors.shape == (len(fitted.owners.values), 4)
    assert draft_version(shop().fit).vectors.shape[1] == 24


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusClient]:
    with MilvusLiteServer.start(tmp_path_factory.mktemp("milvus")) as server:
        client = connect(server.uri, timeout=60)
        yield client
        client.close()


@pytest.fixture
def exchange(redis_url: str) -> Iterator[redis.Redis]:
    with connect_exchange(redis_url) as client:
        yield client


def test_publishing_twice_makes_the_same_bundle(milvus: MilvusClient, exchange: redis.Redis) -> None:
    fitted = shop(OVER).fit
    first, second = (publish(fitted, milvus, exchange, KEY, silent) for _ in range(2))
    assert second.data == first.data
    assert versions(milvus, "shop") == [first.bundle.version]


def test_what_is_published_is_what_is_served(milvus: MilvusClient, exchange: redis.Redis) -> None:
    fitted = shop(OVER).fit
    signed = publish(fitted, milvus, exchange, KEY, silent)
    # on the exchange under its digest, and signed
    data = fetch_bundle(exchange, signed.digest)
    assert data is not None
    assert open_bundle(data, KEY.public_key().public_bytes_raw()).digest == signed.digest
    served = fetch_serving(exchange, signed.digest)
    assert served == serving_of(signed.bundle, shop(OVER).largest_set)
    assert current_version(milvus, "shop") == signed.bundle.version
    # its digests are those of the sets that workers send, which are the reference's
    cells = signed.bundle.transform
    assert isinstance(cells, Cells)
    groups = range(cells.groups)
    sent = MilvusLookup(milvus, serving_of(signed.bundle)).by_group(groups)
    assert [one.digest for one in sent] == [cells.digest(group) for group in groups]
    assert sent == MemoryLookup(draft_version(fitted)).by_group(groups)
    # and replies are padded to the largest of them
    assert served.largest_set == max(len(one.body) for one in sent)
    own = np.flatnonzero(shop(OVER).groups == 0)
    assert {fitted.names[number] for number in own} <= set(decode_set(sent[0].body).names)


def test_a_new_version_stands_beside_the_old_one(milvus: MilvusClient, exchange: redis.Redis) -> None:
    old = publish(shop(OVER).fit, milvus, exchange, KEY, silent)
    new = publish(shop(PROJECTION).fit, milvus, exchange, KEY, silent)
    assert current_version(milvus, "shop") == new.bundle.version
    assert set(versions(milvus, "shop")) >= {old.bundle.version, new.bundle.version}
    assert fetch_serving(exchange, old.digest) == serving_of(old.bundle, shop(OVER).largest_set)
    largest = largest_around(cards(shop(PROJECTION).fit), 10)
    assert fetch_serving(exchange, new.digest) == serving_of(new.bundle, largest)


def test_nothing_is_on_the_exchange_before_milvus_has_all(milvus: MilvusClient, exchange: redis.Redis) -> None:
    def killed(what: str, done: int, total: int) -> None:
        silent(what, done, total)
        if what == "candidate sets":
            raise KeyboardInterrupt

    fitted = renamed(shop(PER_CELL).fit, "another")
    with pytest.raises(KeyboardInterrupt):
        publish(fitted, milvus, exchange, KEY, killed)
    assert exchange.keys() == []
    assert current_version(milvus, "another") is None
    # and publishing again goes on
    assert fetch_bundle(exchange, publish(fitted, milvus, exchange, KEY, silent).digest) is not None


def test_an_exchange_that_is_gone_is_said_so(milvus: MilvusClient) -> None:
    fitted = renamed(shop(PER_CELL).fit, "third")
    with pytest.raises(UnavailableError, match="exchange"), connect_exchange("redis://127.0.0.1:1/0") as gone:
        publish(fitted, milvus, gone, KEY, silent)
    assert current_version(milvus, "third") is None


def renamed(fitted: Fit, gallery: str) -> Fit:
    return fitted.model_copy(update={"gallery": gallery})
