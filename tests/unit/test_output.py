from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from enfpire.cli.output import COLUMNS, check_output, row_of, write_output
from enfpire.client.recognition import Recognition
from enfpire.errors import UsageError

FOUND = Recognition(
    row=0,
    photo="album/été, 1.jpg",
    name='oat "milk"',
    similarity=0.75,
    margin=0.25,
    info={"title": "Hafermilch ☀", "price": [1, None]},
    group=3,
    candidates=('oat "milk"', "soy, milk"),
)
UNKNOWN = Recognition(row=1, photo="2.jpg", similarity=0.1, margin=0.0, group=0, candidates=("a", "b"))
FAILED = Recognition(row=2, photo="3\n.jpg", error="the file is cut off")
ALL = [FOUND, UNKNOWN, FAILED]


def test_a_row_has_every_column_in_order() -> None:
    assert tuple(row_of(FOUND)) == COLUMNS
    assert row_of(UNKNOWN)["class"] is None


def test_jsonl_is_a_line_a_photo(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    write_output(out, ALL)
    lines = out.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [row_of(one) for one in ALL]
    assert "été" in lines[0]


def test_csv_is_a_row_a_photo(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    write_output(out, ALL)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["photo"] for row in rows] == [one.photo for one in ALL]
    assert [row["class"] for row in rows] == ['oat "milk"', "", ""]
    assert [row["group"] for row in rows] == ["3", "0", ""]
    assert [row["error"] for row in rows] == ["", "", "the file is cut off"]
    assert float(rows[0]["similarity"]) == 0.75
    assert json.loads(rows[0]["info"]) == FOUND.info
    assert rows[1]["info"] == ""
    # names of classes may hold blanks and commas
    assert json.loads(rows[0]["candidates"]) == list(FOUND.candidates)


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_nothing_found_is_an_empty_file(tmp_path: Path, name: str) -> None:
    write_output(tmp_path / name, [])
    assert (tmp_path / name).read_text().splitlines() in ([], [",".join(COLUMNS)])


def interrupted() -> Iterator[Recognition]:
    yield FOUND
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_an_interrupted_output_leaves_the_old_one(tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    write_output(out, [UNKNOWN])
    before = out.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write_output(out, interrupted())
    assert out.read_bytes() == before
    write_output(out, ALL)
    assert out.read_bytes() != before
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["out.xlsx", "out", "out.JSONL"])
def test_other_formats_are_refused_before_any_work(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"\.jsonl or \.csv"):
        check_output(tmp_path / name)


def test_a_missing_folder_is_said_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        check_output(tmp_path / "nowhere" / "out.csv")
    check_output(tmp_path / "out.csv")
    monkeypatch.chdir(tmp_path)
    check_output(Path("out.csv"))
