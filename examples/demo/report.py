"""What the demo prints and writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from enfpire.cli.output import row_of
from enfpire.client.recognition import Recognition

SAMPLES = 5


def write_report(folder: Path, rows: list[dict[str, Any]], lines: Sequence[dict[str, Any]]) -> None:
    """Write summary.json and recognitions.jsonl."""
    (folder / "summary.json").write_text(json.dumps({"policies": rows}, indent=2) + "\n", encoding="utf-8")
    with (folder / "recognitions.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def line_of(policy: str, recognition: Recognition, truth: str, unprotected: str | None) -> dict[str, Any]:
    """One line of recognitions.jsonl; `truth` and `unprotected` exist in a demo only."""
    return {"policy": policy} | row_of(recognition) | {"truth": truth, "unprotected": unprotected}


def print_table(console: Console, rows: list[dict[str, Any]]) -> None:
    """The rows side by side."""
    table = Table(title="What you get, and what the server learns", title_justify="left")
    table.add_column("")
    for row in rows:
        table.add_column(row["policy"], justify="right")
    for title, key, form in LINES:
        table.add_row(title, *(_shown(row[key], form) for row in rows))
    console.print(table)


LINES = (
    ("photos answered", "photos", "{:,.0f}"),
    ("failed", "failed", "{:,.0f}"),
    ("candidates a photo (K)", "candidates", "{:.1f}"),
    ("accuracy without protection", "unprotected_accuracy", "{:.1%}"),
    ("your accuracy", "user_accuracy", "{:.1%}"),
    ("retention", "retention", "{:.1%}"),
    ("the server can name it: proved bound", "server_bound", "{:.1%}"),
    ("the server can name it: measured", "server_measured", "{:.1%}"),
    ("the bundle alone recognises", "bundle_only_accuracy", "{:.1%}"),
    ("efficiency (1 is nature's limit)", "efficiency", "{:.2f}"),
    ("photos/s, feature to stored recognition", "photos_per_second", "{:,.0f}"),
    ("photos/s, extraction", "extract_per_second", "{:,.0f}"),
    ("bytes up a photo", "bytes_up_per_photo", "{:,.0f}"),
    ("bytes down a photo", "bytes_down_per_photo", "{:,.0f}"),
    ("bundle bytes", "bundle_bytes", "{:,.0f}"),
)


def _shown(value: float, form: str) -> str:
    return form.format(value)


def print_samples(console: Console, lines: Sequence[dict[str, Any]]) -> None:
    """A few photos: what you learn, and what the server learns."""
    for line in lines[:: max(1, len(lines) // SAMPLES)][:SAMPLES]:
        others = ", ".join(line["candidates"][:3])
        mark = "" if line["class"] == line["truth"] else f"  (it is {line['truth']})"
        console.print(
            f"  [bold]you:[/] {line['class'] or 'unknown'}{mark}   "
            f"[bold]the server:[/] one of these {len(line['candidates'])}: {others}, ...",
            highlight=False,
        )
