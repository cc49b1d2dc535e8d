from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enfpire.audit.metadata import (
    SizeLeak,
    reply_bytes,
    reply_sizes,
    request_bytes,
    request_sizes,
    size_leak,
)
from enfpire.client.protocol import protect
from enfpire.leakage.channel import Channel, uniform
from enfpire.server.answer import answer
from enfpire.wire.reply import Response, encode_response, padded_size
from tests.unit.synthetic import shop


def sizes_of_groups(lengths: list[int], *, padded: bool = True) -> SizeLeak:
    """The group itself is the secret, each as likely."""
    return size_leak(lengths, Channel(uniform(len(lengths)), np.eye(len(lengths))), padded=padded)


def test_a_request_s_size_is_that_of_the_number_of_its_groups() -> None:
    sizes = request_sizes("shop", "alice", 4096, (1, 2, 7, 60, 70, 300, 4096))
    assert all(len(found) == 1 for found in sizes.values())
    each = [found.pop() for found in sizes.values()]
    assert each == sorted(set(each))


def test_real_queries_of_as_many_groups_have_one_size() -> None:
    taken = shop()
    found: dict[int, set[int]] = {}
    for start in range(0, 200, 3):
        pending, query = protect(taken.features[start : start + 3], taken.signed)
        assert pending.groups is not None
        found.setdefault(len(set(pending.groups.tolist())), set()).add(request_bytes(query, "alice"))
    assert len(found) > 1
    assert all(len(sizes) == 1 for sizes in found.values())


def test_a_real_reply_has_the_size_that_is_counted() -> None:
    taken = shop()
    for row in range(5):
        _, query = protect(taken.features[row : row + 1], taken.signed)
        reply = answer(query, taken.serving, taken.lookup)
        (length,) = (len(sent.body or b"") for sent in reply.sets)
        for largest in (0, taken.largest_set):
            sent = encode_response(Response(id=bytes(16), reply=reply), largest)
            assert reply_bytes(length, largest) == len(sent)


def test_sets_of_one_size_say_nothing() -> None:
    found = sizes_of_groups([5000] * 8)
    assert (found.sizes, found.bits) == (1, 0)
    assert found.groups_named == found.group_prior == pytest.approx(1 / 8)


def test_sets_of_different_sizes_would_name_the_group() -> None:
    found = sizes_of_groups([5000 + number for number in range(8)], padded=False)
    assert found.sizes == 8
    assert found.groups_named == pytest.approx(1)
    assert found.bits == pytest.approx(3)


def test_two_sizes_are_one_bit() -> None:
    found = sizes_of_groups([5000, 6000, 5000, 6000], padded=False)
    assert found.sizes == 2
    assert found.groups_named == pytest.approx(0.5)
    assert found.bits == pytest.approx(1)


def test_padding_hides_sizes_and_costs_bytes() -> None:
    lengths = [5000, 5100, 4500, 5119]
    bare, sent = reply_sizes(lengths, padded=False), reply_sizes(lengths)
    assert min(sent) == max(sent) == padded_size(1, 1, 5119)
    found = sizes_of_groups(lengths)
    assert (found.sizes, found.bits) == (1, 0)
    assert found.added == pytest.approx(sum(sent) / sum(bare) - 1)
    assert sizes_of_groups(lengths, padded=False).added == 0


def test_an_onlooker_names_a_class_no_more_often_than_the_server() -> None:
    """Twelve classes in four groups, two of one size: unpadded, the onlooker sees three values, the server four."""
    channel = Channel(uniform(12), np.eye(4)[np.arange(12) % 4])
    found = size_leak([900, 900, 800, 700], channel, padded=False)
    assert found.classes_named == pytest.approx(3 / 12)
    assert found.groups_named == pytest.approx(3 / 4)
    assert (found.class_prior, found.group_prior) == pytest.approx((1 / 12, 1 / 4))
    sent = size_leak([900, 900, 800, 700], channel)
    assert (sent.classes_named, sent.groups_named) == pytest.approx((1 / 12, 1 / 4))


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=12))
def test_padded_replies_tell_nothing(lengths: list[int]) -> None:
    bare, covered = sizes_of_groups(lengths, padded=False), sizes_of_groups(lengths)
    assert covered.sizes == 1
    assert covered.bits == pytest.approx(0, abs=1e-9)
    assert covered.groups_named == pytest.approx(covered.group_prior)
    assert 0 <= bare.bits <= log2(len(lengths)) + 1e-9
    assert covered.added >= 0
