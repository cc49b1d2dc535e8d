"""Kinds: what sort of thing each class is, from a CSV or JSON lines file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from enfpire.curation.records import read_records
from enfpire.errors import UsageError
from enfpire.wire.arrays import Indices

_COLUMN = "kind"


def read_kinds(file: str | Path) -> dict[str, str]:
    """Kind by class.

    A CSV file has columns `class` and `kind`; a line of a JSON lines file is a map with texts `class` and `kind`.
    Other columns and fields are left alone. Raises `UsageError` with the line at fault.
    """
    return read_records(file, "a kind", _kind)


def number_kinds(kinds: Mapping[str, str], classes: Sequence[str]) -> tuple[Indices, tuple[str, ...]]:
    """Kind numbers (C,) of `classes` in their order, and the kinds' names, sorted; classes of other names are ignored.

    Raises `UsageError` where a class has no kind.
    """
    missing = [name for name in classes if name not in kinds]
    if missing:
        raise UsageError(f"{len(missing)} classes have no kind, the first {missing[0]}: add them to the file of kinds")
    names, numbers = np.unique([kinds[name] for name in classes], return_inverse=True)
    return numbers.astype(np.intp), tuple(names.tolist())


def _kind(record: dict[str, Any]) -> str:
    kind = record.get(_COLUMN)
    if not isinstance(kind, str) or not kind.strip():
        raise UsageError(f"it has no text {_COLUMN!r}: say what kind of thing the class is")
    return kind.strip()
