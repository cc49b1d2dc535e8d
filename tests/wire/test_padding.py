"""A reply's size tells how many sets and rows it has, and nothing about which."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enfpire.errors import Code, TooLargeError, WireError
from enfpire.wire.arrays import Array
from enfpire.wire.query import MAX_ROWS
from enfpire.wire.reply import Reply, Response, SentSet, decode_response, encode_response, padded_size

ID = bytes(range(16))
# around the sizes at which a msgpack header grows, and any others
sizes = st.sampled_from([0, 1, 255, 256, 257, 258, 65_535, 65_536, 65_540]) | st.integers(0, 3000)


def response(bodies: list[int | None], rows: int | None = None) -> Response:
    """Sets with bodies of so many bytes (None: the client holds it), for so many rows, by default one a set."""
    sets = tuple(
        SentSet(digest=number.to_bytes(32, "big"), body=None if size is None else b"\x07" * size)
        for number, size in enumerate(bodies)
    )
    index = np.arange(len(bodies) if rows is None else rows) % max(1, len(bodies))
    return Response(id=ID, reply=Reply(sets=sets, index=Array.of(index, "u4")))


@st.composite
def galleries(draw: st.DrawFn) -> tuple[list[int], list[list[int | None]]]:
    """Sizes of a gallery's sets, and two replies about as many rows with as many bodies, of sets chosen at random."""
    lengths = draw(st.lists(sizes, min_size=1, max_size=20))
    bodies, held = draw(st.integers(0, len(lengths))), draw(st.integers(0, 3))
    chosen = [draw(st.permutations(lengths))[:bodies] for _ in range(2)]
    return lengths, [draw(st.permutations([*some, *[None] * held])) for some in chosen]


@given(galleries())
@settings(deadline=None, max_examples=300)
def test_replies_about_as_many_sets_have_one_size(gallery: tuple[list[int], list[list[int | None]]]) -> None:
    lengths, chosen = gallery
    found = {len(encode_response(response(bodies), max(lengths))) for bodies in chosen}
    rows, bodies = len(chosen[0]), sum(size is not None for size in chosen[0])
    if max(lengths):
        assert found == {padded_size(rows, bodies, max(lengths))}


@given(st.lists(sizes, min_size=1, max_size=9), st.integers(0, 9), st.data())
@settings(deadline=None)
def test_rows_with_one_set_are_hidden_among_those_with_two(lengths: list[int], rows: int, data: st.DataObject) -> None:
    """Vectors: rows may share sets, and what is held may be one set or several. Only rows and bodies count."""
    rows += len(lengths)
    held: list[int | None] = [None] * data.draw(st.integers(0, rows - len(lengths)))
    sent = encode_response(response([*lengths, *held], rows), max(lengths) + 1)
    assert len(sent) == padded_size(rows, len(lengths), max(lengths) + 1)


@pytest.mark.parametrize("rows", [1, 15, 16, 63, 64, 65, 255, 256, MAX_ROWS])
@pytest.mark.parametrize("size", [1, 255, 256, 65_535, 65_536])
def test_no_reply_is_larger_than_its_padded_size(rows: int, size: int) -> None:
    bodies: list[int | None] = [size] * min(rows, 20) + [None] * max(0, rows - 20)
    bare = len(encode_response(response(bodies)))
    assert bare <= padded_size(rows, min(rows, 20), size) == len(encode_response(response(bodies), size))


def test_what_the_padded_size_allows_is_needed() -> None:
    """The largest reply has not a byte of padding."""
    bodies: list[int | None] = [65_536] * 2 + [None] * (MAX_ROWS - 2)
    assert len(encode_response(response(bodies))) == padded_size(MAX_ROWS, 2, 65_536)


def test_a_set_that_is_larger_than_the_largest_still_travels() -> None:
    sent = response([5000])
    assert encode_response(sent, 10) == encode_response(sent)


@pytest.mark.parametrize("code", Code)
def test_a_refusal_is_shorter_than_any_reply(code: Code) -> None:
    refusal = encode_response(Response(id=ID, refusal=code.value), 5000)
    assert refusal == encode_response(Response(id=ID, refusal=code.value))
    assert len(refusal) < padded_size(rows=1, bodies=0, largest_set=1)


def test_padding_is_no_part_of_a_response() -> None:
    sent = response([5, None])
    padded = encode_response(sent, 300)
    assert padded.startswith(encode_response(sent))
    assert decode_response(padded) == sent
    assert encode_response(decode_response(padded)) == encode_response(sent)


def test_padding_is_zero_bytes_and_behind_the_message() -> None:
    whole = encode_response(response([5]))
    with pytest.raises(WireError):
        decode_response(whole + b"\0\1\0")
    with pytest.raises(WireError):
        decode_response(b"\0" + whole)


def test_padding_counts_towards_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encode_response(response([5]))
    monkeypatch.setattr("enfpire.wire.reply.REPLY_CAP", 500)
    assert decode_response(whole.ljust(500, b"\0")) == response([5])
    with pytest.raises(TooLargeError, match="of 501 bytes is over the cap of 500"):
        decode_response(whole.ljust(501, b"\0"))
