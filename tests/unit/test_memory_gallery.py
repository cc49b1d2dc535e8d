"""A gallery version and its in-memory reference; what decides near ties; settings and connection."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from broker.process import free_port
from enfpire.errors import GalleryError, UnavailableError, UsageError
from enfpire.server.answer import answer
from enfpire.server.connection import connect
from enfpire.server.gallery_writer import decode_members, encode_members
from enfpire.server.memory_gallery import MemoryLookup, nearest_in_memory
from enfpire.server.nearest import TIE, Hits, nearest_first, needed, settled, similarities
from enfpire.server.settings import ServerSettings
from enfpire.server.version import GalleryVersion
from enfpire.wire.arrays import Array
from enfpire.wire.bundle import Serving
from enfpire.wire.candidates import decode_set, digest_of
from enfpire.wire.query import Groups, Query, Vectors
from tests.galleries import random_version


def test_a_group_has_its_members_in_ascending_order() -> None:
    version = random_version(1, groups=4, extra=3)
    assert version.members is not None
    for members, found in zip(version.members, MemoryLookup(version).by_group(range(4)), strict=True):
        candidates = decode_set(found.body)
        assert candidates.names == tuple(f"class {number} é" for number in members)
        assert candidates.counts.values.sum() == np.isin(version.owners, members).sum()
        assert found.digest == digest_of(found.body)


def test_the_classes_around_a_vector_are_the_nearest() -> None:
    version = random_version(2)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 8)).astype(np.float32)
    for vector, found in zip(vectors, MemoryLookup(version, 5).around(vectors), strict=True):
        best = np.array([(version.vectors[version.owners == c] @ vector).max() for c in range(version.classes)])
        kept = [int(name.split()[1]) for name in decode_set(found.body).names]
        others = np.setdiff1d(np.arange(version.classes), kept)
        assert kept == sorted(kept)
        assert len(kept) == 5
        assert best[kept].min() >= best[others].max() - 1e-6


def test_it_answers_queries() -> None:
    version = random_version(3, groups=4)
    query = Query(gallery="shop", bundle=bytes(32), protected=Groups(numbers=Array.of(np.array([1, 3]), "u4")))
    reply = answer(query, Serving(gallery="shop", version="", kind="cells", groups=4), MemoryLookup(version))
    assert [sent.body for sent in reply.sets] == [one.body for one in MemoryLookup(version).by_group([1, 3])]
    rows = Vectors(rows=Array.of(version.vectors[:2], "f2"))
    vector_query = Query(gallery="shop", bundle=bytes(32), protected=rows)
    serving = Serving(gallery="shop", version="", kind="projection", dimensions=8, candidates=2)
    assert len(answer(vector_query, serving, MemoryLookup(version, 2)).index.values) == 2


def test_equal_similarity_is_decided_by_class_number() -> None:
    version = random_version(4)
    same = replace(version, vectors=np.ones_like(version.vectors))
    assert nearest_in_memory(same, same.vectors[:1], 4)[0].tolist() == [0, 1, 2, 3]
    assert nearest_in_memory(version, np.zeros((1, 8), np.float32), 3)[0].tolist() == [0, 1, 2]


def test_a_similarity_does_not_depend_on_the_other_rows() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(50, 37)).astype(np.float32)
    query = rng.normal(size=37).astype(np.float32)
    alone = [similarities(query, vectors[row : row + 1])[0] for row in range(50)]
    assert similarities(query, vectors).tolist() == alone
    assert similarities(query, vectors[::-1])[::-1].tolist() == alone


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 30), depth=st.integers(1, 120))
def test_noisy_hits_are_settled_as_if_they_were_exact(seed: int, count: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    version = random_version(int(rng.integers(100)), classes=20)
    exact = similarities(rng.normal(size=8).astype(np.float32), version.vectors)
    noisy = (exact + rng.uniform(-TIE / 4, TIE / 4, len(exact))).astype(np.float32)
    order = np.argsort(-noisy)[:depth]
    hits = Hits(version.rows[order], noisy[order], whole=depth >= len(exact))
    end = needed(hits, count)
    if end is None:
        assert not hits.whole
        return
    cut = Hits(hits.rows[:end], hits.scores[:end], hits.whole)
    expected = nearest_first(version.owners, exact, count)
    assert settled(cut, exact[order][:end], count).tolist() == expected.tolist()


def test_a_search_that_found_nothing_is_settled() -> None:
    nothing = Hits(np.empty(0, np.intp), np.empty(0, np.float32), whole=True)
    assert needed(nothing, 3) == 0
    assert settled(nothing, np.empty(0), 3).tolist() == []


@given(st.sets(st.integers(0, 2**31 - 1), min_size=1).map(sorted))
def test_members_survive_their_encoding(members: list[int]) -> None:
    assert decode_members(encode_members(np.array(members))).tolist() == members


def test_rows_number_the_prototypes_of_each_class() -> None:
    version = random_version(5, classes=3)
    counts = np.bincount(version.owners)
    assert version.rows.tolist() == [16 * number + j for number in range(3) for j in range(counts[number])]


BAD = {
    "dimensions": lambda v: replace(v, vectors=v.vectors[:, :1]),
    "zero, NaN": lambda v: replace(v, vectors=v.vectors * np.where(np.arange(len(v.vectors)) == 3, 0, 1)[:, None]),
    "NaN or infinite": lambda v: replace(v, vectors=v.vectors + np.float32(np.nan)),
    "owners ascend": lambda v: replace(v, owners=v.owners[::-1]),
    "has an owner": lambda v: replace(v, owners=v.owners[1:]),
    "not there": lambda v: replace(v, cards=v.cards[:-1]),
    "1 to 16 prototypes": lambda v: replace(v, cards=(*v.cards, v.cards[0])),
    "hexadecimal": lambda v: replace(v, version="latest"),
    "ascending and without repeats": lambda v: replace(v, members=(np.array([2, 2]),)),
    "members are classes": lambda v: replace(v, members=(np.array([v.classes]),)),
}


@pytest.mark.parametrize("message", BAD)
def test_what_does_not_fit_together_is_refused(message: str) -> None:
    version = random_version(6)
    with pytest.raises(GalleryError, match=message):
        BAD[message](version)


def test_a_gallery_needs_a_name() -> None:
    with pytest.raises(UsageError, match="cannot name a gallery"):
        replace(random_version(6), gallery="My Shop")


def test_a_version_shows_no_content() -> None:
    version: GalleryVersion = random_version(7)
    assert repr(version) == f"GalleryVersion(gallery='shop', version='{version.version}')"


@pytest.mark.parametrize("value", ["shop,museum", " shop , museum", '["shop", "museum"]'])
def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ENFPIRE_SERVER_GALLERIES", value)
    monkeypatch.setenv("ENFPIRE_SERVER_MILVUS_TOKEN", "root:secret")
    settings = ServerSettings()
    assert settings.galleries == ("shop", "museum")
    assert settings.milvus_token == "root:secret"
    assert "secret" not in repr(settings)


def test_settings_refuse_what_cannot_be_a_gallery(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("My Shop", '["shop"', '{"shop": 1}'):
        monkeypatch.setenv("ENFPIRE_SERVER_GALLERIES", value)
        with pytest.raises(ValidationError, match="galleries"):
            ServerSettings()


@pytest.mark.parametrize("uri", ["localhost:19530", "gallery.db", "", "http://"])
def test_an_address_of_another_kind_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="http://HOST:PORT"):
        connect(uri)


def test_an_absent_milvus_is_reported_in_time_and_without_the_token() -> None:
    port = free_port()
    raised: list[UnavailableError] = []

    def attempt() -> None:
        with pytest.raises(UnavailableError) as caught:
            connect(f"http://user:hunter2@127.0.0.1:{port}", token="root:hunter3", timeout=0.5)
        raised.append(caught.value)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join(5)
    assert len(raised) == 1
    assert str(raised[0]).startswith(f"no Milvus answers at http://127.0.0.1:{port}; check")
    assert "hunter" not in str(raised[0])
