from __future__ import annotations

from pathlib import Path

from enfpire.wire.schema import main, schemas

COMMITTED = Path(__file__).parents[2] / "docs" / "schema"


def test_the_committed_schemas_are_current(tmp_path: Path) -> None:
    main(str(tmp_path / "schema"))
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "schema").iterdir()}
    committed = {path.name: path.read_text(encoding="utf-8") for path in COMMITTED.iterdir()}
    assert committed == written == schemas(), "run: python -m enfpire.wire.schema docs/schema"
