"""The message that each photo of a query sends: its group number, its vector or its code, as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from enfpire.client.transforms.cells import canonical_groups
from enfpire.client.transforms.vectors import canonical
from enfpire.wire.arrays import Indices
from enfpire.wire.query import Bits, Groups, Vectors


def messages_of(protected: Groups | Vectors | Bits, rows: Indices) -> list[bytes]:
    """The message of each photo, as its little-endian bytes in the query; `rows` (n,) are the photos' rows there."""
    return [one.tobytes() for one in _each(protected, rows)]


def with_messages(
    protected: Groups | Vectors | Bits, rows: Indices, sent: Mapping[int, bytes]
) -> tuple[Groups | Vectors | Bits, Indices]:
    """The protected features in which the photos that `sent` names send these messages, and the rows (n,) in them.

    Messages are those of the same transform. Raises `FeatureError` where there are too many for one query.
    """
    each = _each(protected, rows)
    for photo, message in sent.items():
        each[photo] = np.frombuffer(message, each.dtype).reshape(each.shape[1:])
    match protected:
        case Groups():
            return canonical_groups(each.astype(np.intp))
        case Vectors():
            return canonical(each.astype(np.float32))
        case Bits(width=width):
            return Bits.of(np.unpackbits(each, axis=1, count=width).astype(np.bool_))


def _each(protected: Groups | Vectors | Bits, rows: Indices) -> npt.NDArray[Any]:
    """Message of each photo, shape (n,) or (n, m); a copy."""
    table = protected.numbers if isinstance(protected, Groups) else protected.rows
    each: npt.NDArray[Any] = table.values[rows]
    return each
