from __future__ import annotations

from itertools import combinations
from math import log2

import numpy as np
import pytest

from enfpire.leakage.messages import message_bits, query_bits
from enfpire.wire.arrays import Array
from enfpire.wire.bundle import Identity, Noise, Sign
from tests.wire import samples

EYE = Array.of(np.eye(2), "f4")


@pytest.mark.parametrize(
    ("transform", "bits"),
    [
        (None, 1.0),  # two groups
        (Sign(basis=EYE, candidates=5), 2.0),
        (Identity(candidates=5), 32.0),
        (Noise(basis=EYE, epsilon=1.0, candidates=5), 2 / np.log(2)),
        (Noise(basis=EYE, epsilon=1000.0, candidates=5), 32.0),  # more than a message of two float16 can hold
    ],
)
def test_a_message_reveals_no_more_than_its_guarantee_and_its_length(transform: object, bits: float) -> None:
    bundle = samples.bundle() if transform is None else samples.projection_bundle()
    changed = bundle if transform is None else bundle.model_copy(update={"transform": transform})
    assert message_bits(changed) == pytest.approx(bits)


@pytest.mark.parametrize("groups", [1, 2, 5, 7])
@pytest.mark.parametrize("photos", [1, 2, 3, 20])
def test_a_query_shows_one_of_so_many_sets_of_groups(photos: int, groups: int) -> None:
    sets = sum(len(list(combinations(range(groups), size))) for size in range(1, min(photos, groups) + 1))
    assert query_bits(photos, groups) == pytest.approx(log2(sets))


@pytest.mark.parametrize(("photos", "groups"), [(1, 7), (3, 7), (20, 7), (500, 7), (4, 4096), (4096, 4096)])
def test_a_query_reveals_no_more_than_its_messages_and_a_bit_a_group(photos: int, groups: int) -> None:
    assert query_bits(photos, groups) <= min(photos * log2(groups), groups)


def test_the_bits_of_a_query_have_closed_forms() -> None:
    assert query_bits(0, 7) == 0
    assert query_bits(1, 7) == log2(7)
    assert query_bits(2, 7) == pytest.approx(log2(7 + 21))
    assert query_bits(9, 7) == pytest.approx(log2(2**7 - 1))
