"""The same queries against memory, Milvus Lite and Milvus 2.3: the same candidate sets, byte by byte."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enfpire.curation.codes import signs
from enfpire.errors import UnavailableError, UsageError
from enfpire.server import gallery_writer
from enfpire.server.answer import answer
from enfpire.server.gallery import (
    MilvusClient,
    MilvusLookup,
    create_version,
    current_version,
    drop_version,
    nearest_classes,
    switch_alias,
    versions,
    write_members,
)
from enfpire.server.gallery_reader import read_column
from enfpire.server.memory_gallery import MemoryLookup, nearest_in_memory
from enfpire.server.version import GalleryVersion
from enfpire.wire.arrays import Floats
from enfpire.wire.bundle import Serving
from enfpire.wire.names import collection_name, sets_collection_name
from enfpire.wire.query import Bits, Query
from tests.galleries import random_version

# a real Milvus needs up to a minute to start, more on a busy machine
pytestmark = pytest.mark.timeout(600)

GROUPS = 5
GALLERY = {
    "groups": random_version(1, groups=GROUPS),
    "over-asked": random_version(2, groups=GROUPS, extra=9),
    "plane": random_version(3, projected=2),
    "projection": random_version(4, dimensions=16, projected=5),
    "whole": random_version(5, classes=400, dimensions=16, groups=GROUPS),
    "spare": random_version(6, classes=5),
}
# 60 classes with one and the same prototype: no search of few hits can tell which come first
GALLERY["tied"] = replace(
    GALLERY["plane"], version="0123456789ab", vectors=np.ones_like(GALLERY["plane"].vectors, dtype=np.float32)
)
# codes: few distances, and many classes at each of them
GALLERY["codes"] = random_version(8, classes=400, dimensions=10)
GALLERY["codes"] = replace(GALLERY["codes"], vectors=signs(GALLERY["codes"].vectors))
OTHER = replace(GALLERY["spare"], gallery="shop_2")

MANY = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def store(client: MilvusClient) -> MilvusClient:
    """A Milvus with all of the gallery's versions; written side by side, for a real one mostly waits."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda version: publish(client, version), [*GALLERY.values(), OTHER]))
    return client


def publish(client: MilvusClient, version: GalleryVersion) -> None:
    if version is GALLERY["over-asked"]:
        create_version(client, replace(version, members=None))
        write_members(client, version)
    else:
        create_version(client, version)


def serving(version: GalleryVersion, candidates: int = 0) -> Serving:
    if version.members is not None:
        return Serving(gallery=version.gallery, version=version.version, kind="cells", groups=len(version.members))
    return Serving(
        gallery=version.gallery,
        version=version.version,
        kind="projection",
        dimensions=version.vectors.shape[1],
        candidates=candidates,
    )


def queries(version: GalleryVersion, seed: int, count: int = 20) -> Floats:
    """Vectors as they travel: of prototypes, near them, anywhere, and zero."""
    rng = np.random.default_rng(seed)
    near = version.vectors[rng.integers(0, len(version.vectors), count)]
    noise = rng.normal(size=near.shape) * rng.choice([0, 0.1, 1], count)[:, None]
    vectors: Floats = (near + noise).astype(np.float16).astype(np.float32)
    vectors[-1] = 0
    return vectors


@pytest.mark.parametrize("name", ["groups", "over-asked", "whole"])
@given(asked=st.lists(st.integers(0, GROUPS - 1), min_size=1, max_size=GROUPS, unique=True).map(sorted))
@MANY
def test_groups_have_the_same_bytes(store: MilvusClient, name: str, asked: list[int]) -> None:
    version = GALLERY[name]
    expected = MemoryLookup(version).by_group(asked)
    assert MilvusLookup(store, serving(version)).by_group(asked) == expected


@pytest.mark.parametrize("name", ["plane", "projection", "tied"])
@given(seed=st.integers(0, 2**16), count=st.integers(1, 20), candidates=st.sampled_from([1, 12, 60]))
@MANY
def test_vectors_have_the_same_bytes(store: MilvusClient, name: str, seed: int, count: int, candidates: int) -> None:
    version = GALLERY[name]
    vectors = queries(version, seed, count)
    expected = MemoryLookup(version, candidates).around(vectors)
    assert MilvusLookup(store, serving(version, candidates)).around(vectors) == expected


@given(seed=st.integers(0, 2**16), count=st.integers(1, 20), candidates=st.sampled_from([1, 12, 60]))
@MANY
def test_codes_have_the_same_bytes(store: MilvusClient, seed: int, count: int, candidates: int) -> None:
    version = GALLERY["codes"]
    codes, _ = Bits.of(queries(version, seed, count) > 0)
    query = Query(gallery="shop", bundle=bytes(32), protected=codes)
    asked = serving(version, candidates).model_copy(update={"kind": "sign"})
    reply = answer(query, asked, MilvusLookup(store, asked))
    assert reply == answer(query, asked, MemoryLookup(version, candidates))
    assert len(reply.index.values) == codes.rows.shape[0]


def test_many_vectors_are_answered_in_their_order(store: MilvusClient) -> None:
    version = GALLERY["projection"]
    vectors = queries(version, 7, 150)
    assert MilvusLookup(store, serving(version, 3)).around(vectors) == MemoryLookup(version, 3).around(vectors)


@pytest.mark.parametrize("count", [1, 7, 400, 500])
def test_the_nearest_come_first_and_ties_by_number(store: MilvusClient, count: int) -> None:
    version = GALLERY["whole"]
    vectors = queries(version, count)
    found = nearest_classes(store, version.gallery, version.version, vectors, count)
    expected = nearest_in_memory(version, vectors, count)
    assert [one.tolist() for one in found] == [one.tolist() for one in expected]


def test_publishing_again_changes_nothing(store: MilvusClient) -> None:
    version = GALLERY["groups"]
    before = MilvusLookup(store, serving(version)).by_group(range(GROUPS))
    seen: list[tuple[int, int]] = []
    create_version(store, version, lambda done, total: seen.append((done, total)))
    assert MilvusLookup(store, serving(version)).by_group(range(GROUPS)) == before
    assert seen[-1] == (len(version.vectors), len(version.vectors))


def test_a_write_that_was_cut_off_is_resumed(client: MilvusClient, monkeypatch: pytest.MonkeyPatch) -> None:
    version = random_version(11, classes=50, groups=3, extra=4)
    monkeypatch.setattr(gallery_writer, "BATCH_ROWS", 20)

    def die(done: int, _total: int) -> None:
        if done >= 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_version(client, version, die)
    with pytest.raises(UnavailableError, match=r"not in Milvus|did not load"):
        MilvusLookup(client, serving(version)).by_group([0])
    create_version(client, version)
    expected = MemoryLookup(version).by_group(range(3))
    assert MilvusLookup(client, serving(version)).by_group(range(3)) == expected
    assert rows(client, collection_name("shop", version.version)) == len(version.vectors)
    assert rows(client, sets_collection_name("shop", version.version)) == 3
    drop_version(client, "shop", version.version)


def test_a_row_that_is_missing_is_not_passed_over(store: MilvusClient) -> None:
    name = collection_name("shop", GALLERY["groups"].version)
    with pytest.raises(UnavailableError, match="publish that version again"):
        read_column(store, name, "row", [0, 16, 10**9], "card")


def test_a_lookup_loads_what_a_restart_unloaded(store: MilvusClient) -> None:
    version = GALLERY["groups"]
    lookup = MilvusLookup(store, serving(version))
    before = lookup.by_group([2])
    store.release_collection(collection_name("shop", version.version))
    with pytest.raises(UnavailableError):
        lookup.by_group([2])
    assert lookup.by_group([2]) == before


def test_versions_stand_side_by_side_and_the_alias_moves(store: MilvusClient) -> None:
    first, second = GALLERY["groups"].version, GALLERY["spare"].version
    assert versions(store, "shop") == sorted(version.version for version in GALLERY.values())
    assert versions(store, "shop_2") == [OTHER.version]
    assert current_version(store, "shop") is None
    for version in (first, second, second):
        switch_alias(store, "shop", version)
        assert current_version(store, "shop") == version
    assert current_version(store, "shop_2") is None
    with pytest.raises(UsageError, match="current"):
        drop_version(store, "shop", second)
    with pytest.raises(UsageError, match="publish it first"):
        switch_alias(store, "shop", "ffffffffffff")
    switch_alias(store, "shop", first)
    drop_version(store, "shop", second)
    drop_version(store, "shop", second)
    assert second not in versions(store, "shop")
    assert versions(store, "shop_2") == [OTHER.version]


def test_beyond_the_flat_index_nearly_all_are_found(client: MilvusClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery_writer, "FLAT_ROWS", 100)
    version = random_version(31, classes=300, dimensions=16)
    create_version(client, version)
    vectors = queries(version, 1)[:-1]
    found = nearest_classes(client, "shop", version.version, vectors, 10)
    expected = nearest_in_memory(version, vectors, 10)
    overlaps = [len(np.intersect1d(one, other)) for one, other in zip(found, expected, strict=True)]
    assert np.mean(overlaps) >= 9.5
    drop_version(client, "shop", version.version)


def rows(client: MilvusClient, name: str) -> int:
    counted = client.query(name, filter="", output_fields=["count(*)"], consistency_level="Strong")
    return int(counted[0]["count(*)"])
