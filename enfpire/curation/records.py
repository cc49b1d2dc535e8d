"""Tables with a record a class, from a CSV or JSON lines file."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from enfpire.curation.folders import class_name
from enfpire.errors import EnfPireError, UsageError

Value = TypeVar("Value")

COLUMN = "class"


def read_records(file: str | Path, what: str, value_of: Callable[[dict[str, Any]], Value]) -> dict[str, Value]:
    """`value_of` each class's record, its class left out, by class; `what` is its name in messages ("a kind").

    A CSV file has a column `class`; its other columns make a map of texts, empty cells left out. A line of a JSON
    lines file is a map with `class`. Raises `UsageError` with the line at fault, also where `value_of` raises an
    `EnfPireError`.
    """
    path = Path(file).expanduser()
    found: dict[str, Value] = {}
    for line, name, record in read_rows(path, what):
        try:
            key, value = class_name(name), value_of(record)
        except EnfPireError as error:
            raise fault(path, line, str(error)) from None
        if key in found:
            raise fault(path, line, f"class {key} has {what} already")
        found[key] = value
    return found


def read_rows(path: Path, what: str, column: str = COLUMN) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Line number, name in `column` and the other cells of every row; raises `UsageError` with the line at fault."""
    readers = {".csv": _csv_records, ".jsonl": _json_records, ".ndjson": _json_records}
    if path.suffix.lower() not in readers:
        raise UsageError(f"{what} is read from .csv or .jsonl files, not from {path.name}")
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets put a byte order mark first
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text: save it as such") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): check the path") from None
    return readers[path.suffix.lower()](path, text, column)


def _csv_records(path: Path, text: str, column: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    reader = csv.DictReader(text.splitlines(keepends=True), strict=True)
    try:
        if column not in (reader.fieldnames or ()):
            raise UsageError(f"{path} has no column named {column!r} in its first line: add it")
        for row in reader:
            if None in row or None in row.values():
                raise fault(path, reader.line_num, "it has more or fewer cells than the first line")
            yield reader.line_num, row.pop(column), {key: cell for key, cell in row.items() if cell}
    except csv.Error as error:
        raise fault(path, reader.line_num, f"it is not CSV ({error})") from None


def _json_records(path: Path, text: str, column: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise fault(path, number, "it is not JSON") from None
        if not isinstance(record, dict) or not isinstance(record.get(column), str):
            raise fault(path, number, f"it is not a map with a text {column!r}")
        name = record.pop(column)
        yield number, name, record


def fault(path: Path, line: int, what: str) -> UsageError:
    """The error of one line of a table."""
    return UsageError(f"line {line} of {path}: {what}")
