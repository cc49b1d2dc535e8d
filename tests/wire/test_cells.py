"""What the tables of a cells bundle must not say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enfpire.wire.arrays import Array, DType
from enfpire.wire.bundle import Bundle, Cells
from tests.wire import samples

QUICK = settings(deadline=1000, max_examples=60)

members = st.binary(min_size=8, max_size=8)


def cells_with(**changes: Any) -> Cells:
    """The sample's transform with other fields."""
    return Cells.model_validate(dict(samples.bundle().transform) | changes)


@QUICK
@given(st.binary(max_size=64).filter(lambda data: len(data) != 40))
def test_members_of_another_length_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="every class is a member of its group"):
        cells_with(members=data)


@QUICK
@given(st.lists(members, min_size=4, max_size=4, unique=True), st.data())
def test_no_class_is_named_twice(distinct: list[bytes], data: st.DataObject) -> None:
    twice = data.draw(st.permutations([*distinct, data.draw(st.sampled_from(distinct))]))
    with pytest.raises(ValueError, match="no class is a member of two groups"):
        cells_with(members=b"".join(twice))


@QUICK
@given(st.lists(st.floats(0, 0.5, width=32), min_size=2, max_size=2, unique=True))
def test_priors_ascend_never(values: list[float]) -> None:
    cells_with(priors=Array.of(np.array(sorted(values, reverse=True)), "f4"))
    with pytest.raises(ValueError, match="largest first"):
        cells_with(priors=Array.of(np.array(sorted(values)), "f4"))


@pytest.mark.parametrize("values", [[0.9, 0.2], [0.5, -0.25], [2.0, 0.0], [3e38, 3e38]])
def test_priors_are_probabilities(values: list[float]) -> None:
    with pytest.raises(ValueError, match="priors are probabilities"):
        cells_with(priors=Array.of(np.array(values), "f4"))


@pytest.mark.parametrize(
    "priors",
    [
        Array.of(np.array([0.5]), "f4"),
        Array.of(np.array([0.5, 0.2, 0.1]), "f4"),
        Array.of(np.array([[0.5, 0.2]]), "f4"),
        Array.of(np.array([0.5, 0.2]), "f2"),
        Array.of(np.array([1, 0]), "u4"),
        Array.of(np.array([0.5, np.nan]), "f4"),
        Array.of(np.array([np.inf, 0.2]), "f4"),
    ],
)
def test_priors_have_one_float_a_group(priors: Array) -> None:
    with pytest.raises(ValueError, match="a float a group"):
        cells_with(priors=priors)


@pytest.mark.parametrize("slack", [-0.001, 100.5, float("nan"), float("inf")])
def test_slack_is_a_small_number(slack: float) -> None:
    with pytest.raises(ValueError, match="slack"):
        cells_with(slack=slack)


@pytest.mark.parametrize("dtype", ["i1", "f2", "f4"])
def test_anchors_may_have_fewer_dimensions_than_features(dtype: DType) -> None:
    fields = dict(samples.bundle())
    for width in (1, 2):
        Bundle.model_validate(fields | {"transform": cells_with(anchors=Array.of(np.ones((2, width)), dtype))})
    with pytest.raises(ValueError, match="transform does not fit the features"):
        Bundle.model_validate(fields | {"transform": cells_with(anchors=Array.of(np.ones((2, 3)), dtype))})


@pytest.mark.parametrize("dtype", ["u1", "u4"])
def test_anchors_have_a_sign(dtype: DType) -> None:
    with pytest.raises(ValueError, match="may be negative"):
        cells_with(anchors=Array.of(np.ones((2, 2)), dtype))


def test_members_are_told_group_by_group() -> None:
    cells = cells_with(members=b"".join(bytes([number]) * 8 for number in range(5)))
    assert cells.members_of(0) == {b"\0" * 8, b"\1" * 8}
    assert cells.members_of(1) == {b"\2" * 8, b"\3" * 8, b"\4" * 8}


@pytest.mark.parametrize("value", [3e38, -2e6, float("nan"), float("-inf")])
def test_anchors_whose_products_would_overflow_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite and moderate"):
        cells_with(anchors=Array.of(np.array([[1.0, value], [0.0, 1.0]]), "f4"))


@pytest.mark.parametrize("figures", [{"retention": float("nan")}, {"a\nb": 1.0}, {"\x1b[31m": 1.0}, {"": 1.0}])
def test_figures_are_numbers_under_plain_names(figures: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="figures"):
        Bundle.model_validate(dict(samples.bundle()) | {"figures": figures})
