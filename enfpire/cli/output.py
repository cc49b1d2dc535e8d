"""Writing recognitions, one line a photo, whole or not at all; and how far a command is."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from enfpire.client.recognition import Recognition
from enfpire.errors import UsageError

COLUMNS = ("photo", "class", "similarity", "margin", "group", "candidates", "info", "error")


def row_of(recognition: Recognition) -> dict[str, Any]:
    """A recognition as plain values, under the names of `COLUMNS`."""
    return {
        "photo": recognition.photo,
        "class": recognition.name,
        "similarity": recognition.similarity,
        "margin": recognition.margin,
        "group": recognition.group,
        "candidates": list(recognition.candidates),
        "info": recognition.info,
        "error": recognition.error,
    }


def check_output(path: Path) -> None:
    """Raise `UsageError` where recognitions cannot be written to `path`; before any work is done."""
    if path.suffix not in WRITERS:
        raise UsageError(f"cannot write {path.name!r}: the output ends in .jsonl or .csv")
    check_folder(path)


def check_folder(path: Path) -> None:
    """Raise `UsageError` where the folder for the file `path` does not exist; before any work is done."""
    if not path.resolve().parent.is_dir():
        raise UsageError(f"the folder {str(path.resolve().parent)!r} does not exist; make it first")


def write_output(path: Path, recognitions: Iterable[Recognition]) -> None:
    """Write all recognitions; the file appears when it is complete.

    What an operator's info holds may not be encodable; it is written escaped.
    """
    draft = path.with_name(path.name + ".part")
    with draft.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        WRITERS[path.suffix](file, map(row_of, recognitions))
    draft.replace(path)


def bar() -> Progress:
    """A progress bar on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def reporter(progress: Progress) -> Callable[[str, int, int], None]:
    """What puts `(what, done, total)` on the progress bar of that name."""
    tasks: dict[str, TaskID] = {}

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = progress.add_task(what)
        progress.update(tasks[what], completed=done, total=total)

    return report


def _write_jsonl(file: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_csv(file: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    for row in rows:
        # both as JSON: a class name may hold blanks and commas
        candidates = json.dumps(row["candidates"], ensure_ascii=False)
        info = None if row["info"] is None else json.dumps(row["info"], ensure_ascii=False)
        writer.writerow(row | {"candidates": candidates, "info": info})


WRITERS: dict[str, Callable[[TextIO, Iterable[dict[str, Any]]], None]] = {".jsonl": _write_jsonl, ".csv": _write_csv}
