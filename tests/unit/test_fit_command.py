"""`enfpire fit --transform ...`: what is written on the line is what is fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from enfpire.cli import main
from enfpire.curation.fit import VectorDraft, decode_fit
from enfpire.curation.workspace import PhotoEntry, Workspace
from enfpire.wire.bundle import Extractor
from tests.unit.synthetic import means, photos

EXTRACTOR = Extractor(name="synthetic", weights=bytes(32), dimensions=32)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    taken = photos(means(20, 32), 3)
    entries = [
        PhotoEntry(f"class {label:02}", number.to_bytes(32, "big"), f"{number}.jpg", raw)
        for number, (raw, label) in enumerate(zip(taken.raw, taken.labels, strict=True))
    ]
    with Workspace.open(tmp_path / "workspace") as opened:
        opened.add("shop", EXTRACTOR, entries)
    return tmp_path / "workspace"


def fit(workspace: Path, *options: object) -> Result:
    arguments = ["fit", "--gallery", "shop", "--workspace", workspace, *options]
    return CliRunner().invoke(main.app, [str(one) for one in arguments])


@pytest.mark.parametrize(
    ("options", "kind", "columns", "epsilon"),
    [
        (["--transform", "noise", "--epsilon", 2.5, "--dimensions", 6], "noise", 6, 2.5),
        (["--transform", "sign", "--dimensions", 10], "sign", 10, 0.0),
        (["--transform", "projection"], "projection", 8, 0.0),
        (["--transform", "identity", "--insecure"], "identity", 0, 0.0),
    ],
)
def test_vector_transforms(workspace: Path, options: list[object], kind: str, columns: int, epsilon: float) -> None:
    done = fit(workspace, *options, "--candidates", 5)
    assert done.exit_code == 0, done.output
    with Workspace.open(workspace) as opened:
        draft = decode_fit(opened.fit("shop")).transform
    assert isinstance(draft, VectorDraft)
    assert (draft.kind, draft.basis.shape[1], draft.epsilon, draft.candidates) == (kind, columns, epsilon, 5)
    assert np.isfinite(draft.basis.floats()).all()


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (["--transform", "noise"], "--epsilon E"),
        (["--transform", "sign", "--epsilon", 1], "only there"),
        (["--transform", "noise", "--epsilon", 0], "epsilon"),
        (["--transform", "rot13"], "choose cells, projection, noise, sign or identity"),
        (["--transform", "identity"], "--insecure"),
    ],
)
def test_what_does_not_fit_together_is_refused(workspace: Path, options: list[object], advice: str) -> None:
    done = fit(workspace, *options)
    assert done.exit_code != 0
    assert advice in done.output + str(done.exception)
