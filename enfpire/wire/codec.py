"""Messages to bytes and back.

    offset  bytes  what
    0       3      "ENF"
    3       1      kind of message, one letter
    4       1      version of the format
    5       ..     the message's fields as one msgpack map

Everything that is decoded may come from an enemy: the size is checked first, then frame and version, then
msgpack with bounded lengths, then the model, which refuses unknown fields and wrong types.
"""

from __future__ import annotations

from typing import TypeVar

import msgpack
from pydantic import ValidationError

from enfpire.errors import TooLargeError, WireError
from enfpire.wire.arrays import Frozen

MAGIC = b"ENF"
VERSION = 1
HEADER_BYTES = 5

KIB = 1024
MIB = 1024 * KIB

# No message has a map of many fields. Without this bound, and without FailFast on the models' lists, a request
# of 2 MiB kept a worker busy with the list of its mistakes for 16 seconds.
MAX_MAP = 1024

Message = TypeVar("Message", bound=Frozen)


def encode(message: Frozen, kind: bytes) -> bytes:
    """Frame and pack `message`; `kind` is its one letter."""
    body: bytes = msgpack.packb(message.model_dump(), use_bin_type=True)
    return MAGIC + kind + bytes([VERSION]) + body


def decode(data: bytes, kind: bytes, model: type[Message], cap: int) -> Message:
    """Unpack bytes that `encode` made.

    Raises `TooLargeError` over `cap` bytes, and `WireError` for anything but a valid message. Neither quotes
    the bytes.
    """
    if len(data) > cap:
        raise TooLargeError(f"a {model.__name__} of {len(data)} bytes is over the cap of {cap}")
    check_frame(data, kind, model.__name__)
    return parse(data[HEADER_BYTES:], model)


def check_frame(data: bytes, kind: bytes, what: str) -> None:
    """Raise `WireError` unless `data` begins as a message of this kind and version."""
    if len(data) < HEADER_BYTES or data[:3] != MAGIC or data[3:4] != kind:
        raise WireError(f"these bytes are not a {what}")
    if data[4] != VERSION:
        raise WireError(f"a {what} of version {data[4]}; this EnfPire reads version {VERSION}: update the older side")


def parse(body: bytes, model: type[Message]) -> Message:
    """Build a `model` from its msgpack map, or raise `WireError`."""
    try:
        fields = msgpack.unpackb(body, raw=False, strict_map_key=True, use_list=False, max_map_len=MAX_MAP)
    except (ValueError, TypeError, RecursionError, OverflowError, MemoryError) as error:
        raise WireError(f"a {model.__name__} that is not valid msgpack") from error
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        where = _named_field(error, model)
        raise WireError(f"a {model.__name__} with a missing, unknown or wrong field: {where}") from None


def _named_field(error: ValidationError, model: type[Frozen]) -> str:
    """Name of a field of ours; an unknown field's name is the enemy's text and stays out of logs."""
    named = [str(each["loc"][0]) for each in error.errors(include_input=False, include_url=False) if each["loc"]]
    return next((name for name in named if name in model.model_fields), "fields")
