"""Info records: what is to be known of each class, from a CSV or JSON lines file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from enfpire.curation.records import read_records
from enfpire.wire.candidates import encode_info


def read_infos(file: str | Path) -> dict[str, Any]:
    """Info records by class.

    A CSV file has a column `class`; its other columns make a map of texts, empty cells left out. A line of a JSON
    lines file is a map with `class`: either `{"class": ..., "info": any JSON}`, or the info is the map's other
    fields. Raises `UsageError` with the line at fault.
    """
    plain = Path(file).suffix.lower() == ".csv"

    def info(record: dict[str, Any]) -> object:
        found = record["info"] if record.keys() == {"info"} and not plain else record
        encode_info(found)
        return found

    return read_records(file, "an info record", info)
