from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enfpire.curation.transitions import from_coordinates, read_transitions
from enfpire.errors import UsageError

CLASSES = ("arch", "bridge", "café", "dome")


def written(folder: Path, text: str, name: str = "steps.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_pairs_are_directed_and_weighted(tmp_path: Path) -> None:
    file = written(tmp_path, "from,to,weight\narch,bridge,3\narch,dome,\nbridge,arch,0.5\narch,dome,2\n")
    found = read_transitions(file, CLASSES)
    assert found.classes == CLASSES
    assert found.coordinates is None
    expected: list[list[float]] = [[0, 0.5, 0, 0.5], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert np.allclose(found.matrix.toarray(), expected)


def test_json_lines_say_the_same(tmp_path: Path) -> None:
    rows = [{"from": "arch", "to": "bridge", "weight": 3}, {"from": "arch", "to": "dome"}]
    file = written(tmp_path, "\n".join(map(json.dumps, rows)), "steps.jsonl")
    assert np.allclose(read_transitions(file, CLASSES).matrix.toarray()[0], [0, 0.75, 0, 0.25])


def test_names_are_composed_and_unknown_ones_are_ignored(tmp_path: Path) -> None:
    file = written(tmp_path, "from,to\ncafe\u0301,arch\ncafé,nowhere\nnowhere,arch\n")
    assert np.allclose(read_transitions(file, CLASSES).matrix.toarray()[2], [1, 0, 0, 0])


def test_coordinates_join_what_is_within_reach(tmp_path: Path) -> None:
    file = written(tmp_path, "class,x,y\ndome,0,0\narch,1,0\nbridge,2,0\ncafé,9,9\n")
    found = read_transitions(file, CLASSES)
    expected: list[list[float]] = [[0, 0.5, 0, 0.5], [0.5, 0, 0, 0.5], [0, 0, 1, 0], [0.5, 0.5, 0, 0]]
    assert np.allclose(found.matrix.toarray(), expected)
    assert found.coordinates is not None
    assert found.coordinates.tolist() == [[1, 0], [2, 0], [9, 9], [0, 0]]
    nearer = read_transitions(file, CLASSES, reach=1).matrix.toarray()
    assert np.allclose(nearer, np.array([[0, 0.5, 0, 0.5], [1, 0, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]]))


def test_a_class_without_a_place_stays(tmp_path: Path) -> None:
    file = written(tmp_path, "class,x,y,z\narch,0,0,0\nbridge,0,0,1\n")
    found = read_transitions(file, CLASSES)
    assert np.allclose(found.matrix.toarray(), [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert found.coordinates is None


def test_a_grid_reaches_twelve_neighbours() -> None:
    places = np.stack(np.divmod(np.arange(49.0), 7), axis=1)
    degrees = np.diff(from_coordinates(places).indptr)
    assert degrees[24] == 12
    assert degrees[0] == 5


@given(st.integers(2, 30), st.floats(0.1, 3))
@settings(max_examples=25, deadline=None)
def test_rows_are_distributions_over_others(count: int, reach: float) -> None:
    matrix = from_coordinates(np.random.default_rng(count).random((count, 2)), reach).toarray()
    assert np.allclose(matrix.sum(axis=1), 1)
    assert (matrix >= 0).all()
    assert set(np.unique(matrix.diagonal())) <= {0.0, 1.0}
    assert ((matrix > 0) == (matrix > 0).T).all()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("from,to,weight\narch,bridge,-1\n", "line 2 .*below 0"),
        ("from,to,weight\narch,bridge,much\n", "line 2 .*no number 'weight'"),
        ("from,to,weight\narch,bridge,inf\n", "line 2 .*not finite"),
        ("from,weight\narch,2\n", "line 2 .*no text 'to'"),
        ("from,to\narch,bridge\n,dome\n", "line 3 .*cannot name a class"),
        ("from,to\nhere,there\n", "no pair of enrolled classes"),
        ("class,x,y\narch,1\n", "line 2 .*more or fewer cells"),
        ("class,x,y\narch,1,\n", "line 2 .*no number 'y'"),
        ("class,x,y\narch,1,1\narch,1,1\n", "line 3 .*a place already"),
        ("class,x,y,z\narch,1,1,1\nbridge,1,1,\n", "line 3 .*have a z"),
        ("class,x,y\nhere,1,1\n", "no enrolled class"),
        ("spot,x,y\narch,1,1\n", "no column named 'class'"),
        ("class,x,y\narch,1,1\nbridge,1,1\n", "a reach of 0"),
    ],
)
def test_the_line_at_fault_is_named(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        read_transitions(written(tmp_path, text), CLASSES)


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="check the path"):
        read_transitions(tmp_path / "absent.csv", CLASSES)
    with pytest.raises(UsageError, match=r"not from steps\.xlsx"):
        read_transitions(written(tmp_path, "from,to\n", "steps.xlsx"), CLASSES)
    with pytest.raises(UsageError, match=r"line 1 .*not JSON"):
        read_transitions(written(tmp_path, "from,to\n", "steps.jsonl"), CLASSES)
    with pytest.raises(UsageError, match="named twice"):
        read_transitions(written(tmp_path, "from,to\n"), ("arch", "arch"))
