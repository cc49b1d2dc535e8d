"""The reply: candidate sets, each once, and which of them belongs to which row of the query."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import FailFast, Field, model_validator

from enfpire.errors import Code
from enfpire.wire.arrays import Array, Frozen
from enfpire.wire.codec import MIB, decode, encode
from enfpire.wire.query import MAX_ROWS, Digest

REPLY_CAP = 256 * MIB


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


def encode_response(response: Response) -> bytes:
    """Bytes of a response."""
    return encode(response, b"R")


def decode_response(data: bytes) -> Response:
    """Parse a response; raises `WireError` or `TooLargeError`."""
    return decode(data, b"R", Response, REPLY_CAP)
