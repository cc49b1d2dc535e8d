"""`enfpire fit` and `enfpire calibrate` of `cells`: what is written on the line is what is fitted, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from enfpire.cli import main
from enfpire.curation.cells import CellsDraft, CellsOptions
from enfpire.curation.fit import Fit, decode_fit
from enfpire.curation.workspace import PhotoEntry, Workspace
from enfpire.errors import GalleryError, UsageError
from enfpire.wire.bundle import Extractor
from enfpire.wire.candidates import digest_of
from tests.unit.synthetic import means, photos

EXTRACTOR = Extractor(name="synthetic", weights=bytes(32), dimensions=32)
CLASSES = 20
# Room for few anchors a cell: no policy that needs more is tried, for that takes a while.
SMALL = 3_450


def add(folder: Path, classes: range) -> None:
    taken = photos(means(CLASSES + 2, 32)[classes], 4, seed=classes.start)
    entries = [
        PhotoEntry(f"class {label + classes.start:02}", digest_of(raw.tobytes()), f"{number}.jpg", raw)
        for number, (raw, label) in enumerate(zip(taken.raw, taken.labels, strict=True))
    ]
    with Workspace.open(folder) as opened:
        opened.add("shop", EXTRACTOR, entries)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    add(tmp_path / "workspace", range(CLASSES))
    return tmp_path / "workspace"


def call(command: str, workspace: Path, *options: object) -> Result:
    arguments = [command, "--gallery", "shop", "--workspace", workspace, *options]
    return CliRunner().invoke(main.app, [str(one) for one in arguments])


def newest(workspace: Path) -> Fit:
    with Workspace.open(workspace) as opened:
        return decode_fit(opened.fit("shop"))


def groups_of(fit: Fit) -> dict[str, int]:
    assert isinstance(fit.transform, CellsDraft)
    return dict(zip(fit.names, fit.transform.groups.values.tolist(), strict=True))


def note_published(workspace: Path) -> None:
    """As `enfpire publish` does."""
    with Workspace.open(workspace) as opened:
        opened.record_version("shop", digest_of(opened.fit("shop")).hex()[:12], bytes(32))


def written(workspace: Path, name: str, column: str, values: list[object]) -> Path:
    path = workspace.parent / name
    rows = "".join(f"class {number:02},{value}\n" for number, value in enumerate(values))
    path.write_text(f"class,{column}\n{rows}", encoding="utf-8")
    return path


def test_every_option_of_cells_arrives(workspace: Path) -> None:
    done = call(
        *("fit", workspace, "--classes-per-group", 5, "--cells-per-group", 2, "--anchors-per-cell", 2),
        *("--anchor-dimensions", 6, "--int8", "--slack", 1.5, "--over-ask", 1.2),
    )
    assert done.exit_code == 0, done.output
    fit = newest(workspace)
    assert fit.options == CellsOptions(
        classes_per_group=5,
        anchors="cell",
        anchors_each=2,
        cells_per_group=2,
        anchor_dimensions=6,
        int8=True,
        over_ask=1.2,
        slack=1.5,
    )
    assert isinstance(fit.transform, CellsDraft)
    assert fit.transform.anchors.dtype == "i1"
    assert fit.transform.anchors.shape == (16, 6)


def test_kinds_and_priors_shape_the_groups(workspace: Path) -> None:
    kinds = written(workspace, "kinds.csv", "kind", ["round" if one < 10 else "long" for one in range(CLASSES)])
    prior = written(workspace, "prior.csv", "prior", [2.0 if one % 4 == 0 else 1.0 for one in range(CLASSES)])
    done = call("fit", workspace, "--classes-per-group", 5, "--kinds", kinds, "--max-kind-accuracy", 0.6)
    assert done.exit_code == 0, done.output
    numbers = np.array(list(groups_of(newest(workspace)).values()))
    told = sum(max((numbers[:10] == one).sum(), (numbers[10:] == one).sum()) for one in range(4))
    assert told / CLASSES <= 0.6
    done = call("fit", workspace, "--classes-per-group", 5, "--prior", prior)
    assert done.exit_code == 0, done.output
    numbers = np.array(list(groups_of(newest(workspace)).values()))
    assert len(set(numbers[::4])) == 1  # the five popular classes share a group
    draft = newest(workspace).transform
    assert isinstance(draft, CellsDraft)
    assert draft.priors is not None
    assert draft.priors.values.sum() == pytest.approx(1)


def test_published_groups_stay_unless_they_are_redrawn(workspace: Path) -> None:
    assert "groups" not in call("fit", workspace, "--classes-per-group", 4).output
    before = groups_of(newest(workspace))
    with Workspace.open(workspace) as opened:
        assert opened.published_fit("shop") is None
    note_published(workspace)
    assert call("fit", workspace, "--classes-per-group", 5, "--regroup").exit_code == 0  # a draft that is not published
    with Workspace.open(workspace) as opened:
        published = opened.published_fit("shop")
    assert published is not None
    assert groups_of(decode_fit(published)) == before
    add(workspace, range(CLASSES, CLASSES + 2))
    kept = call("fit", workspace, "--classes-per-group", 4)
    assert "the published groups kept" in kept.output
    after = groups_of(newest(workspace))
    assert {name: after[name] for name in before} == before
    assert len(after) == CLASSES + 2
    assert "--regroup" in str(call("fit", workspace, "--classes-per-group", 5).exception)
    redrawn = call("fit", workspace, "--classes-per-group", 5, "--regroup")
    assert redrawn.exit_code == 0
    assert "--consent-to-refit" in redrawn.output


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (["--kinds", "nowhere.csv"], "--max-kind-accuracy"),
        (["--max-kind-accuracy", 0.5], "--kinds"),
        (["--prior", "nowhere.csv"], "cannot be read"),
        (["--transitions", "nowhere.txt"], ".csv or .jsonl"),
    ],
)
@pytest.mark.parametrize("command", ["fit", "calibrate"])
def test_files_that_do_not_fit_are_refused(workspace: Path, command: str, options: list[object], advice: str) -> None:
    needed = {"fit": ["--classes-per-group", 5], "calibrate": ["--max-server-accuracy", 0.2, "--min-retention", 0.9]}
    failed = call(command, workspace, *needed[command], *options)
    assert isinstance(failed.exception, UsageError)
    assert advice in str(failed.exception)


def test_transitions_and_kinds_are_two_wishes(workspace: Path) -> None:
    kinds = written(workspace, "kinds.csv", "kind", ["round"] * CLASSES)
    options = ["--kinds", kinds, "--max-kind-accuracy", 1, "--transitions", kinds]
    assert "not both" in str(call("fit", workspace, "--classes-per-group", 5, *options).exception)


def test_a_calibration_fits_what_it_found(workspace: Path) -> None:
    targets = ["--max-server-accuracy", 0.2, "--min-retention", 0.9, "--max-bundle-bytes", SMALL]
    done = call("calibrate", workspace, *targets, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["met"]
    assert found["misses"] == {}
    assert found["targets"] == {"max_server_accuracy": 0.2, "min_retention": 0.9, "max_bundle_bytes": SMALL}
    fit = newest(workspace)
    assert fit.options.model_dump() == found["policy"]["options"]
    assert fit.figures["retention"] == found["policy"]["retention"]["value"]
    assert len(set(groups_of(fit).values())) == found["policy"]["groups"] <= 4
    assert found["download"]["bytes"] <= found["download"]["cheaper_after_photos"] * found["policy"]["bytes_per_photo"]


def test_a_calibration_that_finds_nothing_shows_the_nearest_and_saves_nothing(workspace: Path) -> None:
    targets = ["--max-server-accuracy", 0.05, "--min-retention", 0.9, "--max-bundle-bytes", SMALL]
    failed = call("calibrate", workspace, *targets)
    assert isinstance(failed.exception, GalleryError)
    assert "no policy meets all targets; the nearest misses max_server_accuracy 0.05 with 0.1" in str(failed.exception)
    assert "nearest" in failed.output
    assert "download" in failed.output
    with Workspace.open(workspace) as opened, pytest.raises(GalleryError, match="not fitted yet"):
        opened.fit("shop")


def test_a_dry_run_saves_nothing(workspace: Path) -> None:
    targets = ["--max-server-accuracy", 0.1, "--min-retention", 0.5, "--max-bundle-bytes", SMALL]
    done = call("calibrate", workspace, *targets, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "chosen" in done.output
    assert "nothing was saved" in done.output
    with Workspace.open(workspace) as opened, pytest.raises(GalleryError, match="not fitted yet"):
        opened.fit("shop")
