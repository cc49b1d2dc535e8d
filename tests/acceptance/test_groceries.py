"""The demo on real photos of groceries: what the main job must show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from broker.process import CHECKOUT

pytestmark = [pytest.mark.acceptance, pytest.mark.photos, pytest.mark.timeout(1200)]

GROCERIES = CHECKOUT.parent / "shared/data/grocery81"
PHOTOS = 1134
COLUMNS = {
    *("policy", "transform", "photos", "failed", "classes", "groups", "candidates", "unprotected_accuracy"),
    *("user_accuracy", "retention", "bundle_only_accuracy", "server_bound", "server_measured", "efficiency"),
    *("photos_per_second", "extract_per_second", "bytes_up_per_photo", "bytes_down_per_photo", "bundle_bytes"),
    "bundle_digest",
}
LINE = {
    *("policy", "photo", "class", "similarity", "margin", "group", "candidates", "error", "truth", "unprotected"),
}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one run of the demo wrote."""
    if not GROCERIES.is_dir():
        reason = "the development photos are not beside the checkout (../shared/data/grocery81)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("demo")
    argv = [sys.executable, "-m", "examples.demo", "--photos", str(GROCERIES)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    run = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder / "out/demo"


@pytest.fixture(scope="module")
def rows(out: Path) -> dict[str, dict[str, Any]]:
    return {row["policy"]: row for row in json.loads((out / "summary.json").read_text())["policies"]}


def test_every_photo_is_answered_under_every_policy(rows: dict[str, dict[str, Any]]) -> None:
    assert list(rows) == ["cells", "cells+memory", "projection", "cells-thin"]
    for row in rows.values():
        assert row.keys() >= COLUMNS
        assert (row["photos"], row["failed"], row["classes"]) == (PHOTOS, 0, 81)
        assert row["unprotected_accuracy"] >= 0.90


def test_an_anchor_a_class_keeps_the_accuracy(rows: dict[str, dict[str, Any]]) -> None:
    for row in (rows["cells"], rows["cells+memory"]):
        assert row["groups"] == 7
        assert row["server_bound"] <= 0.09
        assert row["candidates"] <= 12
        assert row["retention"] >= 0.99
    assert rows["cells+memory"]["bytes_down_per_photo"] < rows["cells"]["bytes_down_per_photo"]


def test_a_thin_bundle_recognises_nothing_by_itself(rows: dict[str, dict[str, Any]]) -> None:
    thin = rows["cells-thin"]
    assert (thin["groups"], thin["candidates"] <= 24, thin["retention"] >= 0.97) == (7, True, True)
    assert thin["bundle_only_accuracy"] <= 0.12


def test_no_attacker_beats_the_bound_by_more_than_chance(rows: dict[str, dict[str, Any]]) -> None:
    # a share of 1,134 photos has a standard deviation of 0.9 % at 9 %
    for row in rows.values():
        assert row["server_measured"] <= row["server_bound"] + 0.025
    assert rows["projection"]["server_measured"] > 0.3  # the paper's shape does leak, and the attacker sees it


def test_a_line_a_photo_and_policy(out: Path) -> None:
    lines = [json.loads(line) for line in (out / "recognitions.jsonl").read_text().splitlines()]
    assert len(lines) == 4 * PHOTOS
    assert len({(line["policy"], line["photo"]) for line in lines}) == 4 * PHOTOS
    assert all(line.keys() >= LINE for line in lines)
    right = [line for line in lines if line["policy"] == "cells" and line["class"] == line["truth"]]
    assert all(line["class"] in line["candidates"] for line in right)
