"""The reply: candidate sets, each once, and which of them belongs to which row of the query.

Candidate sets differ in size, and so would replies: whoever sees encrypted traffic alone could name the group. So a
response is followed by zero bytes up to `padded_size`, which depends on how many sets and rows it has, not on which.
They stand behind the message and not in a field of it: the length of a msgpack field has 1, 2 or 4 bytes, so that some
sizes could not be reached. A response ends in its refusal, a text or nil, hence never in a zero byte of its own.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import FailFast, Field, model_validator

from enfpire.errors import Code
from enfpire.wire.arrays import Array, Frozen
from enfpire.wire.codec import MIB, decode, encode
from enfpire.wire.query import MAX_ROWS, Digest

REPLY_CAP = 256 * MIB

# Bytes of a response at most: around its sets and its index, for each row, and for each body beside the body.
AROUND_BYTES = 85
ROW_BYTES = 52
BODY_BYTES = 4


class SentSet(Frozen):
    """One candidate set: its bytes, or None where the query said that the client holds it."""

    digest: Digest
    body: bytes | None = Field(repr=False)


class Reply(Frozen):
    """Answer to a query: `index[i]` (uint32, shape (n,)) is the place in `sets` of the query's row i."""

    sets: Annotated[tuple[SentSet, ...], Field(max_length=MAX_ROWS), FailFast()]
    index: Array

    @model_validator(mode="after")
    def _index_fits(self) -> Self:
        values = self.index.values
        if self.index.dtype != "u4" or values.ndim != 1 or len(values) > MAX_ROWS:
            raise ValueError("an index is one row of uint32")
        if len(values) and int(values.max()) >= len(self.sets):
            raise ValueError("an index points past the sets")
        return self


class Response(Frozen):
    """What comes back over the exchange: a reply, or the coded reason why there is none."""

    id: Annotated[bytes, Field(min_length=16, max_length=16)]
    reply: Reply | None = None
    refusal: str | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.reply is None) == (self.refusal is None):
            raise ValueError("a response holds a reply or a refusal")
        if self.refusal is not None:
            Code(self.refusal)
        return self


def padded_size(rows: int, bodies: int, largest_set: int) -> int:
    """Bytes that a reply to `rows` rows has at most, `bodies` of its sets with a body of up to `largest_set` bytes."""
    return AROUND_BYTES + ROW_BYTES * rows + (BODY_BYTES + largest_set) * bodies


def encode_response(response: Response, largest_set: int = 0) -> bytes:
    """Bytes of a response; a reply is padded where the bytes of the gallery's largest candidate set are given.

    A refusal is never padded: its size tells that it is one, and about which code.
    """
    data = encode(response, b"R")
    if response.reply is None or not largest_set:
        return data
    bodies = sum(sent.body is not None for sent in response.reply.sets)
    return data.ljust(padded_size(len(response.reply.index.values), bodies, largest_set), b"\0")


def decode_response(data: bytes) -> Response:
    """Parse a response, whatever its padding; raises `WireError` or `TooLargeError`."""
    # over the cap it is refused with its padding, unread
    message = data.rstrip(b"\0") if len(data) <= REPLY_CAP else data
    return decode(message, b"R", Response, REPLY_CAP)
