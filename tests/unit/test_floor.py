from __future__ import annotations

from math import log2

import pytest

from enfpire.client.floor import Floor, check_floor
from enfpire.curation.cells import CellsOptions
from enfpire.curation.fit import VectorOptions
from enfpire.errors import FloorError, UsageError
from tests.unit.synthetic import shop

CELLS = shop().signed.bundle
PROJECTION = shop(VectorOptions(kind="projection", dimensions=4, candidates=10)).signed.bundle
IDENTITY = shop(VectorOptions(kind="identity", candidates=10)).signed.bundle


def test_a_bundle_above_the_floor_is_accepted() -> None:
    check_floor(CELLS, Floor())
    check_floor(CELLS, Floor(max_leak_bits=log2(5), min_classes_per_group=12))


def test_too_many_bits_are_refused() -> None:
    with pytest.raises(FloorError, match=r"2\.3 bits.*--max-leak-bits"):
        check_floor(CELLS, Floor(max_leak_bits=2.3))


def test_too_small_groups_are_refused() -> None:
    with pytest.raises(FloorError, match=r"12 classes.*--min-classes-per-group"):
        check_floor(CELLS, Floor(min_classes_per_group=13))


def test_the_smallest_group_counts() -> None:
    uneven = shop(CellsOptions(classes_per_group=7)).signed.bundle  # 60 classes in 8 groups of 7 or 8
    check_floor(uneven, Floor(min_classes_per_group=7))
    with pytest.raises(FloorError):
        check_floor(uneven, Floor(min_classes_per_group=8))


def test_unproved_transforms_need_a_word() -> None:
    with pytest.raises(FloorError, match="--accept-unproved"):
        check_floor(PROJECTION, Floor())
    check_floor(PROJECTION, Floor(unproved=True))


def test_identity_needs_a_stronger_word() -> None:
    for floor in (Floor(), Floor(unproved=True)):
        with pytest.raises(FloorError, match="--insecure"):
            check_floor(IDENTITY, floor)
    check_floor(IDENTITY, Floor(insecure=True))


def test_insecure_waives_no_bits() -> None:
    with pytest.raises(FloorError):
        check_floor(CELLS, Floor(max_leak_bits=1, insecure=True, unproved=True))


@pytest.mark.parametrize("bits", [float("nan"), float("inf")])
def test_a_floor_is_a_number(bits: float) -> None:
    with pytest.raises(UsageError, match="give a number"):
        Floor(max_leak_bits=bits)
