"""Binary codes as they travel: packed, each once, ascending, filled up with zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from enfpire.wire.arrays import Array
from enfpire.wire.query import MAX_BITS, Bits

QUICK = settings(deadline=1000, max_examples=60)


@st.composite
def codes(draw: st.DrawFn) -> np.ndarray:
    return draw(arrays(np.bool_, (draw(st.integers(1, 12)), draw(st.integers(1, 40)))))


@QUICK
@given(codes())
def test_codes_come_back_each_in_its_row(values: np.ndarray) -> None:
    bits, rows = Bits.of(values)
    assert bits.rows.shape == (len(np.unique(values, axis=0)), -(-values.shape[1] // 8))
    signs = bits.signs()
    assert signs.dtype == np.float32
    assert np.array_equal(signs[rows], np.where(values, 1, -1))


@QUICK
@given(codes(), st.randoms(use_true_random=False))
def test_neither_order_nor_counts_are_in_the_bytes(values: np.ndarray, random: Any) -> None:
    order = random.sample(range(len(values)), len(values))
    again = np.concatenate([values[order], values[:2]])
    assert Bits.of(again)[0] == Bits.of(values)[0]


@QUICK
@given(codes())
def test_rows_ascend_as_bits_do(values: np.ndarray) -> None:
    texts = ["".join("1" if one > 0 else "0" for one in row) for row in Bits.of(values)[0].signs()]
    assert texts == sorted(set(texts))


def packed(width: int, rows: list[list[int]]) -> Bits:
    return Bits(width=width, rows=Array.of(np.array(rows), "u1"))


def test_the_first_bit_is_the_highest() -> None:
    assert packed(10, [[0b10000000, 0b01000000]]).signs().tolist() == [[1, *[-1] * 8, 1]]


@pytest.mark.parametrize("width", range(1, 17))
def test_what_fills_up_the_last_byte_is_zero(width: int) -> None:
    used = np.packbits(np.ones(width, np.bool_)).tolist()
    assert packed(width, [used]).signs().tolist() == [[1] * width]
    for place in range(width, 8 * len(used)):
        spoilt = np.packbits(np.arange(8 * len(used)) == place).tolist()
        with pytest.raises(ValueError, match="filled up with 0"):
            packed(width, [spoilt])


@pytest.mark.parametrize("rows", [[[1, 0], [0, 255]], [[3, 1], [3, 1]], [[200, 0], [100, 0], [250, 0]]])
def test_codes_out_of_order_or_twice_are_refused(rows: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="ascend without repeats"):
        packed(16, rows)


@pytest.mark.parametrize(("width", "columns"), [(8, 2), (9, 1), (17, 2), (16, 3), (1, 0)])
def test_codes_of_another_length_are_refused(width: int, columns: int) -> None:
    with pytest.raises(ValueError, match="as many bytes as its bits need"):
        Bits(width=width, rows=Array.of(np.zeros((1, columns)), "u1"))


@pytest.mark.parametrize("rows", [np.zeros((0, 1)), np.zeros(3), np.zeros((4097, 1))])
def test_no_rows_or_too_many_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="1 to 4096 rows"):
        Bits(width=8, rows=Array.of(rows, "u1"))


@pytest.mark.parametrize("width", [0, -1, MAX_BITS + 1])
def test_widths_have_a_cap(width: int) -> None:
    with pytest.raises(ValueError, match="width"):
        packed(width, [[0]])


def test_codes_are_bytes() -> None:
    with pytest.raises(ValueError, match="uint8"):
        Bits(width=8, rows=Array.of(np.zeros((1, 1)), "i1"))


def test_a_repr_shows_no_code() -> None:
    bits, _ = Bits.of(np.ones((1, 24), np.bool_))
    assert "xff" not in repr(bits)
