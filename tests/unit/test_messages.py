"""Photos that send again what they sent before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enfpire.client.messages import messages_of, with_messages
from enfpire.client.protocol import protect
from enfpire.wire.arrays import Array, normalised
from enfpire.wire.bundle import Identity, Noise, Projection, Sign, TransformSpec
from enfpire.wire.query import Bits, Groups, Query, Vectors
from tests.unit.test_protocol import CLASSES, DIMENSIONS, GROUPS, World, candidates_of

PROTOTYPES = normalised(np.random.default_rng(7).standard_normal((CLASSES, DIMENSIONS)).astype(np.float32))
WORLD = World(PROTOTYPES, [candidates_of(PROTOTYPES, range(group, CLASSES, GROUPS)) for group in range(GROUPS)])
FEATURES = WORLD.photos(1, 12, range(12))[0]  # photo n is of class n, in group n % GROUPS
BASIS = Array.of(np.linalg.qr(np.random.default_rng(3).standard_normal((DIMENSIONS, 10)))[0], "f4")
VECTORS: list[TransformSpec] = [
    Projection(basis=BASIS, candidates=8),
    Noise(basis=BASIS, epsilon=3.0, candidates=8),
    Sign(basis=BASIS, candidates=8),
    Identity(candidates=8),
]


def group_numbers(query: Query) -> list[int]:
    assert isinstance(query.protected, Groups)
    numbers: list[int] = query.protected.numbers.values.tolist()
    return numbers


def test_a_group_number_is_four_bytes() -> None:
    pending, query = protect(FEATURES, WORLD.cells())
    assert messages_of(query.protected, pending.rows) == [(row % GROUPS).to_bytes(4, "little") for row in range(12)]


def test_a_photo_goes_where_it_went_before() -> None:
    sent = {0: (5).to_bytes(4, "little"), 7: (0).to_bytes(4, "little")}
    pending, query = protect(FEATURES[:8], WORLD.cells(), sent=sent)
    assert pending.groups is not None
    assert pending.groups.tolist() == [5, 1, 2, 3, 4, 5, 0, 0]
    assert group_numbers(query) == [0, 1, 2, 3, 4, 5]
    alone = protect(FEATURES[:1], WORLD.cells(), sent={0: sent[0]})[1]
    assert group_numbers(alone) == [5]


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.integers(0, 11), st.integers(0, GROUPS - 1)))
def test_the_query_holds_the_groups_of_all_photos_and_no_other(before: dict[int, int]) -> None:
    signed = WORLD.cells()
    pending, query = protect(FEATURES, signed, sent={row: one.to_bytes(4, "little") for row, one in before.items()})
    expected = [before.get(row, row % GROUPS) for row in range(12)]
    assert pending.groups is not None
    assert pending.groups.tolist() == expected
    numbers = group_numbers(query)
    assert numbers == sorted(set(expected))
    assert [numbers[row] for row in pending.rows] == expected


def test_nothing_sent_before_changes_nothing() -> None:
    assert protect(FEATURES, WORLD.cells(), sent={})[1] == protect(FEATURES, WORLD.cells())[1]


@pytest.mark.parametrize("spec", VECTORS, ids=lambda spec: spec.kind)
def test_a_vector_is_sent_again_to_the_bit(spec: TransformSpec) -> None:
    signed = WORLD.signed(spec)
    pending, query = protect(FEATURES, signed)
    before = messages_of(query.protected, pending.rows)
    again, other = protect(FEATURES[::-1].copy(), signed, sent=dict(enumerate(before[::-1])))
    assert other.protected == query.protected
    assert messages_of(other.protected, again.rows) == before[::-1]
    # beside new photos each of them keeps its own
    mixed, both = protect(FEATURES, signed, sent={3: before[7]})
    assert messages_of(both.protected, mixed.rows)[3] == before[7]


def test_noise_is_drawn_once_a_photo() -> None:
    signed = WORLD.signed(VECTORS[1])
    first, second = (protect(FEATURES, signed)[1] for _ in range(2))
    assert first != second
    pending, query = protect(FEATURES, signed)
    sent = dict(enumerate(messages_of(query.protected, pending.rows)))
    assert protect(FEATURES, signed, sent=sent)[1] == query


def test_protected_features_stay_canonical() -> None:
    """The wire refuses those that are not; a message may sort anywhere."""
    random = np.random.default_rng(4)
    for protected, rows in (
        Bits.of(random.random((9, 13)) < 0.5),
        (Vectors(rows=Array.of(np.sort(random.random((9, 1)), axis=0), "f2")), np.arange(9)),
    ):
        each = messages_of(protected, rows)
        shuffled = random.permutation(each).tolist() if isinstance(protected, Vectors) else each[::-1]
        found, places = with_messages(protected, rows, dict(enumerate(shuffled)))
        assert type(found).model_validate(dict(found)) == found
        assert messages_of(found, places) == shuffled
