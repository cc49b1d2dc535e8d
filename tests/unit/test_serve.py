from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enfpire.client.protocol import protect, resolve
from enfpire.curation.fit import VectorOptions
from enfpire.errors import Code, UnavailableError
from enfpire.server.answer import EncodedSet, Lookup, ReplyTooLargeError, answer
from enfpire.server.serve import Answered, serve
from enfpire.wire.arrays import Array, Floats
from enfpire.wire.bundle import Serving
from enfpire.wire.query import SEALED_CAP, Groups, Query, Request, Vectors, seal
from enfpire.wire.reply import Reply, decode_response, padded_size
from tests.unit.synthetic import Shop, shop

SHOP = shop()
PROJECTED = shop(VectorOptions(kind="projection", dimensions=4, candidates=10))
KEY = b"k" * 32
ID = bytes(range(16))


class Directory:
    """Client c1, and the bundles of these shops."""

    def __init__(self, *shops: Shop) -> None:
        self._bundles = {one.signed.digest: one.serving for one in shops}

    def secret(self, client: str) -> bytes | None:
        return KEY if client == "c1" else None

    def serving(self, digest: bytes) -> Serving | None:
        return self._bundles.get(digest)


DIRECTORY = Directory(SHOP, PROJECTED)


def galleries(serving: Serving) -> Lookup:
    return {"cells": SHOP, "projection": PROJECTED}[serving.kind].lookup


def query(taken: Shop = SHOP, rows: int = 20) -> Query:
    return protect(taken.features[:rows], taken.signed)[1]


def groups(*numbers: int) -> Query:
    protected = Groups(numbers=Array.of(np.array(numbers), "u4"))
    return Query(gallery="shop", bundle=SHOP.signed.digest, protected=protected)


def vectors(*rows: list[float]) -> Query:
    protected = Vectors(rows=Array.of(np.array(rows), "f2"))
    return Query(gallery="shop", bundle=PROJECTED.signed.digest, protected=protected)


def sealed(asked: Query, client: str = "c1", key: bytes = KEY, seconds: float = 60) -> bytes:
    return seal(Request(client=client, id=ID, expires=int(time.time() + seconds), query=asked), key)


def served(data: bytes) -> Answered:
    answered = serve(data, DIRECTORY, galleries)
    assert answered is not None
    assert decode_response(answered.data).id == answered.request == ID
    return answered


def refusal(data: bytes) -> str | None:
    response = decode_response(served(data).data)
    assert response.reply is None
    return response.refusal


def reply(data: bytes) -> Reply:
    response = decode_response(served(data).data)
    assert response.reply is not None
    return response.reply


@pytest.mark.parametrize("taken", [SHOP, PROJECTED], ids=["cells", "projection"])
def test_a_valid_request_is_answered_to_its_client(taken: Shop) -> None:
    pending, asked = protect(taken.features, taken.signed)
    assert served(sealed(asked)).client == "c1"
    found = resolve(pending, reply(sealed(asked)), taken.signed)
    names = [taken.fit.names[label] for label in taken.labels]
    assert np.mean([match.name == name for match, name in zip(found, names, strict=True)]) > 0.9


def test_each_set_travels_once() -> None:
    found = reply(sealed(query(PROJECTED, rows=200)))
    assert len({sent.digest for sent in found.sets}) == len(found.sets)
    assert len(found.index.values) == 200


def test_sets_that_the_client_holds_do_not_travel() -> None:
    asked = query()
    first = reply(sealed(asked))
    held = first.sets[0].digest
    again = reply(sealed(asked.model_copy(update={"held": (held,)})))
    assert again.sets[0].body is None
    assert again.sets[1:] == first.sets[1:]
    assert again.index == first.index


def test_replies_about_any_group_have_one_size() -> None:
    bare = replace(SHOP, largest_set=0)
    unpadded = {len(answered_by(bare, groups(group))) for group in range(5)}
    padded = {len(served(sealed(groups(group))).data) for group in range(5)}
    assert len(unpadded) > 1
    assert padded == {padded_size(1, 1, SHOP.largest_set)}
    assert min(padded) - max(unpadded) < 100


@given(st.sets(st.integers(0, 4), min_size=1), st.sets(st.integers(0, 4)))
@settings(deadline=None)
def test_a_reply_s_size_counts_its_rows_and_its_bodies(asked: set[int], held: set[int]) -> None:
    """Whichever groups are asked about, and whichever sets the client holds."""
    sets = SHOP.lookup.by_group(range(5))
    question = groups(*sorted(asked)).model_copy(update={"held": tuple(sets[group].digest for group in held)})
    assert len(served(sealed(question)).data) == padded_size(len(asked), len(asked - held), SHOP.largest_set)


def test_replies_about_any_vectors_have_one_size() -> None:
    bare, rows = replace(PROJECTED, largest_set=0), range(0, 200, 10)
    asked = [protect(PROJECTED.features[row : row + 1], PROJECTED.signed)[1] for row in rows]
    assert len({len(answered_by(bare, one)) for one in asked}) > 1
    assert {len(served(sealed(one)).data) for one in asked} == {padded_size(1, 1, PROJECTED.largest_set)}
    several = sealed(query(PROJECTED, rows=200))
    sets = len(reply(several).sets)
    assert len(served(several).data) == padded_size(200, sets, PROJECTED.largest_set)


def answered_by(taken: Shop, asked: Query) -> bytes:
    """The response of a worker that serves this shop."""
    answered = serve(sealed(asked), Directory(taken), lambda _: taken.lookup)
    assert answered is not None
    return answered.data


def test_an_unknown_client_is_refused() -> None:
    assert refusal(sealed(query(), client="c10")) == Code.UNKNOWN_CLIENT


def test_another_key_is_refused() -> None:
    assert refusal(sealed(query(), key=b"x" * 32)) == Code.BAD_SIGNATURE


def test_a_request_that_was_changed_on_its_way_is_refused() -> None:
    data = sealed(groups(1, 2, 3))
    changed = data.replace(np.array([1, 2, 3], "<u4").tobytes(), np.array([1, 2, 4], "<u4").tobytes())
    assert changed != data
    assert refusal(changed) == Code.BAD_SIGNATURE


def test_an_expired_request_is_refused() -> None:
    assert refusal(sealed(query(), seconds=-2)) == Code.EXPIRED
    assert decode_response(served(sealed(query(), seconds=2)).data).refusal is None


def test_a_request_for_tomorrow_is_refused() -> None:
    assert refusal(sealed(query(), seconds=3610)) == Code.BAD_QUERY
    assert decode_response(served(sealed(query(), seconds=3590)).data).refusal is None


class Plenty:
    """A gallery whose sets are a mebibyte each, and that counts how many it was asked for."""

    def __init__(self) -> None:
        self.made = 0

    def by_group(self, groups: Sequence[int]) -> list[EncodedSet]:
        self.made += len(groups)
        return [EncodedSet.of(group.to_bytes(4, "big") * 2**18) for group in groups]

    def around(self, vectors: Floats) -> list[EncodedSet]:
        return self.by_group(range(len(vectors)))


def test_sets_are_collected_no_further_than_a_reply_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enfpire.server.answer.REPLY_CAP", 10 * 2**20)
    serving, gallery = SHOP.serving.model_copy(update={"groups": 5000, "largest_set": 0}), Plenty()
    with pytest.raises(ReplyTooLargeError):
        answer(groups(*range(4096)), serving, gallery)
    assert gallery.made == 11
    assert len(answer(groups(*range(10)), serving, Plenty()).sets) == 10
    # padded, none of them takes less room than the largest; the first look-up asks for as many as there is room for
    padded, gallery = serving.model_copy(update={"largest_set": 2 * 2**20}), Plenty()
    with pytest.raises(ReplyTooLargeError):
        answer(groups(*range(4096)), padded, gallery)
    assert gallery.made == 6
    assert len(answer(groups(*range(5)), padded, Plenty()).sets) == 5
    # what the client holds takes no room
    held = tuple(EncodedSet.of(group.to_bytes(4, "big") * 2**18).digest for group in range(20))
    asked = groups(*range(30)).model_copy(update={"held": held})
    assert [sent.body is None for sent in answer(asked, serving, Plenty()).sets] == [True] * 20 + [False] * 10


def test_sets_that_are_too_large_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enfpire.server.answer.REPLY_CAP", 100)
    assert refusal(sealed(query())) == Code.TOO_LARGE


def test_a_reply_over_the_cap_with_its_padding_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    size = padded_size(5, 5, SHOP.largest_set)
    monkeypatch.setattr("enfpire.server.serve.REPLY_CAP", size - 1)
    assert refusal(sealed(groups(0, 1, 2, 3, 4))) == Code.TOO_LARGE
    monkeypatch.setattr("enfpire.server.serve.REPLY_CAP", size)
    assert len(reply(sealed(groups(0, 1, 2, 3, 4))).sets) == 5


def test_an_unknown_bundle_is_refused() -> None:
    assert refusal(sealed(query().model_copy(update={"bundle": bytes(32)}))) == Code.UNKNOWN_BUNDLE


def test_another_gallery_than_the_bundles_is_refused() -> None:
    assert refusal(sealed(query().model_copy(update={"gallery": "shop2"}))) == Code.UNKNOWN_BUNDLE


@pytest.mark.parametrize(
    "asked",
    [
        groups(5),
        groups(0, 1, 2**32 - 1),
        groups(1).model_copy(update={"bundle": PROJECTED.signed.digest}),
        vectors([0.1] * 5),
        vectors([0.1] * 3),
        vectors([0.1] * 4).model_copy(update={"bundle": SHOP.signed.digest}),
    ],
    ids=["group", "largest", "groups for vectors", "wide", "narrow", "vectors for groups"],
)
def test_what_does_not_fit_the_bundle_is_refused(asked: Query) -> None:
    assert refusal(sealed(asked)) == Code.BAD_QUERY


def test_the_last_group_is_still_there() -> None:
    assert len(reply(sealed(groups(4))).sets) == 1


def test_a_vector_of_zeros_is_answered() -> None:
    assert len(reply(sealed(vectors([0.0] * 4))).sets) == 1


def test_a_vector_store_that_is_gone_asks_for_patience() -> None:
    class OutOfReach:
        def by_group(self, groups: object) -> list[EncodedSet]:
            raise UnavailableError(f"no answer about {groups}")

        def around(self, vectors: Floats) -> list[EncodedSet]:
            raise UnavailableError(f"no answer about {vectors.shape}")

    answered = serve(sealed(query()), DIRECTORY, lambda serving: OutOfReach())  # noqa: ARG005
    assert answered is not None
    assert decode_response(answered.data).refusal == Code.TRY_AGAIN


def test_a_refusal_says_nothing_but_its_code() -> None:
    data = served(sealed(groups(77))).data
    assert len(data) < 100
    assert b"Traceback" not in data


def test_the_key_is_checked_before_anything_is_said_of_bundles() -> None:
    asked = query().model_copy(update={"bundle": bytes(32)})
    assert refusal(sealed(asked, key=bytes(32), seconds=-9)) == Code.BAD_SIGNATURE
    assert refusal(sealed(asked, seconds=-9)) == Code.EXPIRED


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_garbage_is_dropped(data: bytes) -> None:
    assert serve(data, DIRECTORY, galleries) is None
    assert serve(bytes(32) + b"ENFQ\x01" + data, DIRECTORY, galleries) is None


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_request_is_dropped_or_refused(data: st.DataObject) -> None:
    whole = bytearray(sealed(query()))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    answered = serve(bytes(whole), DIRECTORY, galleries)
    if answered is not None:
        assert decode_response(answered.data).refusal in (Code.BAD_SIGNATURE, Code.UNKNOWN_CLIENT)


def test_every_part_of_a_request_is_no_request() -> None:
    data = sealed(query())
    assert all(serve(data[:end], DIRECTORY, galleries) is None for end in range(0, len(data), 7))


def test_too_many_bytes_are_dropped_unread(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert serve(bytes(SEALED_CAP + 1), DIRECTORY, galleries) is None
    assert "over the size cap" in caplog.text


def test_logs_name_no_client_and_quote_no_bytes(caplog: pytest.LogCaptureFixture) -> None:
    marker = os.urandom(8).hex()
    with caplog.at_level(logging.DEBUG):
        served(sealed(query(), client=f"c{marker}"))
        serve(bytes(32) + b"ENFQ\x01\x81" + marker.encode(), DIRECTORY, galleries)
        served(sealed(groups(3_456_789)))
    assert len(caplog.records) == 3
    assert marker not in caplog.text
    assert "3456789" not in caplog.text
