"""`enfpire audit` as an operator runs it: a published bundle, photos that were not enrolled, a report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from broker.process import CHECKOUT
from enfpire.audit.findings import AuditReport
from tests.acceptance.stage import CLASSES, GALLERY, SHOTS, Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]


def audit(stage: Stage, bundle: Path, photos: Path, out: Path, *more: object) -> subprocess.CompletedProcess[str]:
    workspace = ("--workspace", stage.folder / "workspace")
    arguments = map(str, ["audit", bundle, photos, "--out", out, *workspace, *more])
    return subprocess.run(
        [sys.executable, "-m", "enfpire.cli.main", *arguments],
        cwd=CHECKOUT,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_bundle_is_attacked_and_reported(stage: Stage, tmp_path: Path) -> None:
    photos, kinds = stage.folder / "photos" / "query", tmp_path / "kinds.csv"
    names = sorted(path.name for path in photos.iterdir())
    kinds.write_text("class,kind\n" + "".join(f"{name},{name[0]}\n" for name in names), encoding="utf-8")
    done = audit(stage, stage.published["cells"].path, photos, tmp_path / "audit", "--kinds", kinds)
    assert done.returncode == 0, done.stderr
    assert "identity" in done.stdout
    report = AuditReport.model_validate_json((tmp_path / "audit" / "audit.json").read_text(encoding="utf-8"))
    assert (report.gallery, report.classes, report.photos) == (GALLERY, CLASSES, CLASSES * SHOTS)
    assert report.bundle == stage.published["cells"].signed.digest.hex()
    policy = report.policy
    assert policy.server_bound == pytest.approx(4 / CLASSES)
    assert all(one.accuracy.low <= policy.server_bound for one in policy.attackers)
    assert policy.retention > 0.9
    assert policy.kind_accuracy is not None
    assert policy.outsider_auroc is not None
    assert {one.transform for one in report.frontier} == {"cells", "projection", "noise", "sign", "identity"}
    page = (tmp_path / "audit" / "audit.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    assert not any(name in page for name in names)


def test_a_bundle_of_another_workspace_is_refused(stage: Stage, tmp_path: Path) -> None:
    other = stage.published["projection"].path  # its fit was never saved
    done = audit(stage, other, stage.folder / "photos" / "query", tmp_path / "audit")
    assert done.returncode == 2
    assert "audit it where" in done.stderr


def test_photos_of_every_class_are_needed(stage: Stage, tmp_path: Path) -> None:
    first = next((stage.folder / "photos" / "query").iterdir())
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / first.name).symlink_to(first)
    done = audit(stage, stage.published["cells"].path, tmp_path / "few", tmp_path / "audit", "--json")
    assert done.returncode == 2
    assert f"{CLASSES - 1} enrolled classes have no usable photo" in done.stderr
    assert not (tmp_path / "audit").exists()
    assert json.dumps(done.stdout) == '""'
