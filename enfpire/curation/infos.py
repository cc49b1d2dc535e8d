"""Info records: what is to be known of each class, from a CSV or JSON lines file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from enfpire.curation.folders import class_name
from enfpire.errors import EnfPireError, UsageError
from enfpire.wire.candidates import encode_info

_COLUMN = "class"


def read_infos(file: str | Path) -> dict[str, Any]:
    """Info records by class.

    A CSV file has a column `class`; its other columns make a map of texts, empty cells left out. A line of a JSON
    lines file is a map with `class`: either `{"class": ..., "info": any JSON}`, or the info is the map's other
    fields. Raises `UsageError` with the line at fault.
    """
    path = Path(file).expanduser()
    infos: dict[str, Any] = {}
    for line, name, info in _records(path):
        try:
            key = class_name(name)
            encode_info(info)
        except EnfPireError as error:
            raise _fault(path, line, str(error)) from None
        if key in infos:
            raise _fault(path, line, f"class {key} has an info record already")
        infos[key] = info
    return infos


def _records(path: Path) -> Iterator[tuple[int, str, Any]]:
    readers = {".csv": _csv_records, ".jsonl": _json_records, ".ndjson": _json_records}
    if path.suffix.lower() not in readers:
        raise UsageError(f"info records are read from .csv or .jsonl files, not from {path.name}")
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets put a byte order mark first
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text: save it as such") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): check the path") from None
    return readers[path.suffix.lower()](path, text)


def _csv_records(path: Path, text: str) -> Iterator[tuple[int, str, Any]]:
    reader = csv.DictReader(text.splitlines(keepends=True), strict=True)
    try:
        if _COLUMN not in (reader.fieldnames or ()):
            raise UsageError(f"{path} has no column named {_COLUMN!r} in its first line: add it")
        for row in reader:
            if None in row or None in row.values():
                raise _fault(path, reader.line_num, "it has more or fewer cells than the first line")
            yield reader.line_num, row.pop(_COLUMN), {column: cell for column, cell in row.items() if cell}
    except csv.Error as error:
        raise _fault(path, reader.line_num, f"it is not CSV ({error})") from None


def _json_records(path: Path, text: str) -> Iterator[tuple[int, str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise _fault(path, number, "it is not JSON") from None
        if not isinstance(record, dict) or not isinstance(record.get(_COLUMN), str):
            raise _fault(path, number, f"it is not a map with a text {_COLUMN!r}")
        name = record.pop(_COLUMN)
        yield number, name, record["info"] if record.keys() == {"info"} else record


def _fault(path: Path, line: int, what: str) -> UsageError:
    return UsageError(f"line {line} of {path}: {what}")
