from __future__ import annotations

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enfpire.curation.workspace import PhotoEntry, Workspace
from enfpire.errors import FeatureError, GalleryError, StoreError
from enfpire.wire.bundle import Extractor

SPEC = Extractor(name="histogram", weights=bytes(32), dimensions=3)
OTHER = Extractor(name="histogram", weights=bytes(31) + b"\1", dimensions=3)


def entry(name: str, content: int, values: tuple[float, ...] | None = (1.0, 2.0, 3.0)) -> PhotoEntry:
    raw = None if values is None else np.array(values, np.float32)
    return PhotoEntry(name, bytes([content]) * 32, f"{name}/{content}.jpg", raw)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made" / "workspace"


def feature_rows(folder: Path) -> int:
    db = sqlite3.connect(folder / "catalogue.sqlite")
    try:
        return int(db.execute("SELECT count(*) FROM features").fetchone()[0])
    finally:
        db.close()


def test_what_is_added_is_loaded_after_reopening(folder: Path) -> None:
    with Workspace.open(folder) as workspace:
        assert workspace.add("fruit", SPEC, [entry("plum", 2, (4, 5, 6)), entry("apple", 9), entry("apple", 1)]) == 3
        workspace.set_infos("fruit", {"plum": {"title": "Pflaume"}, "nobody": 1})
    with Workspace.open(folder) as workspace:
        enrolled = workspace.load("fruit")
    assert enrolled.gallery == "fruit"
    assert enrolled.classes == ("apple", "plum")
    assert enrolled.labels.tolist() == [0, 0, 1]
    assert enrolled.raw.dtype == np.float32
    assert enrolled.raw.tolist() == [[1, 2, 3], [1, 2, 3], [4, 5, 6]]
    assert enrolled.infos == (None, {"title": "Pflaume"})
    assert enrolled.encoded_infos() == (b"null", b'{"title":"Pflaume"}')
    assert enrolled.extractor == SPEC


def test_the_order_of_enrolment_does_not_show(tmp_path: Path) -> None:
    entries = [entry("b", 3, (3, 0, 0)), entry("a", 2, (2, 0, 0)), entry("b", 1, (1, 0, 0)), entry("c", 4, (4, 0, 0))]
    loaded = []
    for number, order in enumerate((entries, entries[::-1])):
        with Workspace.open(tmp_path / str(number)) as workspace:
            for one in order:
                workspace.add("g", SPEC, [one])
            loaded.append(workspace.load("g"))
    assert loaded[0].classes == loaded[1].classes
    assert loaded[0].raw.tolist() == loaded[1].raw.tolist() == [[2, 0, 0], [1, 0, 0], [3, 0, 0], [4, 0, 0]]
    assert loaded[0].labels.tolist() == loaded[1].labels.tolist()


def test_adding_again_adds_nothing(folder: Path) -> None:
    with Workspace.open(folder) as workspace:
        assert workspace.add("g", SPEC, [entry("a", 1)]) == 1
        assert workspace.add("g", SPEC, [entry("a", 1), entry("a", 1, None)]) == 0
        assert workspace.photos("g") == 1


def test_a_content_is_kept_once_for_all_galleries(folder: Path) -> None:
    with Workspace.open(folder) as workspace:
        workspace.add("g", SPEC, [entry("a", 1, (7, 8, 9))])
        assert workspace.known(SPEC, [bytes([1]) * 32, bytes([2]) * 32]) == {bytes([1]) * 32}
        assert workspace.known(OTHER, [bytes([1]) * 32]) == set()
        assert workspace.add("h", SPEC, [entry("x", 1, None)]) == 1
        assert workspace.load("h").raw.tolist() == [[7, 8, 9]]
        assert feature_rows(folder) == 1
        workspace.remove_classes("g", ["a"])
        assert workspace.load("h").raw.tolist() == [[7, 8, 9]]
        workspace.remove_classes("h", ["x"])
        assert workspace.galleries() == ()
    assert feature_rows(folder) == 0


def test_another_extractor_is_refused_and_changes_nothing(folder: Path) -> None:
    with Workspace.open(folder) as workspace:
        workspace.add("g", SPEC, [entry("a", 1)])
        with pytest.raises(GalleryError, match="another gallery name"):
            workspace.add("g", OTHER, [entry("b", 2)])
        assert workspace.classes("g") == ("a",)
        workspace.add("h", OTHER, [entry("b", 2)])
        workspace.remove_classes("g", ["a"])
        workspace.add("g", OTHER, [entry("a", 1)])


@pytest.mark.parametrize("values", [(1.0, 2.0), (1.0, 2.0, float("nan"))])
def test_a_bad_feature_rolls_the_whole_batch_back(folder: Path, values: tuple[float, ...]) -> None:
    with Workspace.open(folder) as workspace:
        with pytest.raises(FeatureError):
            workspace.add("g", SPEC, [entry("a", 1), entry("b", 2, values)])
        assert workspace.galleries() == ()
        assert workspace.known(SPEC, [bytes([1]) * 32]) == set()
        assert workspace.add("g", SPEC, [entry("a", 1)]) == 1


def test_removing_an_unknown_class_removes_nothing(folder: Path) -> None:
    with Workspace.open(folder) as workspace:
        workspace.add("g", SPEC, [entry("a", 1), entry("b", 2)])
        with pytest.raises(GalleryError, match="no class kiwi"):
            workspace.remove_classes("g", ["a", "kiwi"])
        assert workspace.classes("g") == ("a", "b")
        assert workspace.remove_classes("g", ["a", "a"]) == 1
        assert workspace.load("g").classes == ("b",)


def test_keep_only(folder: Path) -> None:
    with Workspace.open(folder) as workspace:
        workspace.add("g", SPEC, [entry("a", 1), entry("a", 2), entry("b", 3)])
        assert workspace.keep_only("g", {"a": [bytes([2]) * 32]}) == 1
        assert workspace.load("g").labels.tolist() == [0, 1]


def test_keep_only_sweeps_once_for_all_classes(folder: Path) -> None:
    with Workspace.open(folder) as workspace:
        workspace.add("g", SPEC, [entry(name, number) for number, name in enumerate(["a", "a", "b", "b", "c"])])
        statements: list[str] = []
        workspace._db.set_trace_callback(statements.append)
        assert workspace.keep_only("g", {"a": [bytes(32)], "b": [bytes([3]) * 32], "c": []}) == 3
        assert sum(one.startswith("DELETE FROM features") for one in statements) == 1
        assert workspace.classes("g") == ("a", "b")
        assert workspace.photos("g") == 2


def test_infos_of_no_class_are_named(folder: Path) -> None:
    with Workspace.open(folder) as workspace:
        workspace.add("g", SPEC, [entry("a", 1)])
        assert workspace.set_infos("g", {"kiwi": 1, "a": 2, "fig": 3}) == ("fig", "kiwi")
        assert workspace.load("g").infos == (2,)


def test_photos_of_two_classes_are_named(folder: Path) -> None:
    with Workspace.open(folder) as workspace:
        workspace.add("g", SPEC, [entry("plum", 1), entry("apple", 1), entry("apple", 2)])
        workspace.add("h", SPEC, [entry("apple", 2)])
        assert workspace.shared("g") == (("apple", "plum"),)
        assert workspace.shared("h") == ()


def test_an_unknown_gallery_says_what_to_do(folder: Path) -> None:
    with Workspace.open(folder) as workspace:
        with pytest.raises(GalleryError, match="enrol"):
            workspace.load("g")
        with pytest.raises(GalleryError, match="enfpire fit --gallery g"):
            workspace.fit("g")


def test_fits_and_versions_have_a_lineage(folder: Path) -> None:
    with Workspace.open(folder) as workspace:
        first = workspace.save_fit("g", b"one")
        assert workspace.save_fit("g", b"one") == first
        assert workspace.save_fit("g", b"two") != first
        workspace.save_fit("h", b"other")
        assert workspace.fit("g") == b"two"
        workspace.save_fit("g", b"one")  # back to the former
        assert workspace.fit("g") == b"one"
        workspace.record_version("g", "0123456789ab", b"d" * 32)
        workspace.record_version("g", "ba9876543210", b"e" * 32)
        workspace.record_version("g", "0123456789ab", b"d" * 32)
        versions = workspace.versions("g")
    assert [(one.version, one.bundle) for one in versions] == [("0123456789ab", b"d" * 32), ("ba9876543210", b"e" * 32)]
    assert versions[0].published <= versions[1].published


def test_only_the_owner_may_read(folder: Path) -> None:
    with Workspace.open(folder) as workspace:
        workspace.add("g", SPEC, [entry("a", 1)])
        workspace.operator_key()
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {"catalogue.sqlite", "catalogue.sqlite-wal", "operator.key"} <= modes.keys()
    assert set(modes.values()) == {0o600}


def test_the_key_is_made_once(folder: Path) -> None:
    def public(_: int) -> bytes:
        with Workspace.open(folder) as workspace:
            return workspace.operator_key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(public, range(16)))) == 1


def test_a_key_that_others_may_read_or_that_is_damaged_is_refused(folder: Path) -> None:
    with Workspace.open(folder) as workspace:
        workspace.operator_key()
        key = folder / "operator.key"
        key.chmod(0o640)
        with pytest.raises(StoreError, match="chmod 600"):
            workspace.operator_key()
        key.chmod(0o600)
        key.write_bytes(key.read_bytes()[:40])
        with pytest.raises(StoreError, match="backup"):
            workspace.operator_key()


def test_two_processes_worth_of_writers_lose_nothing(folder: Path) -> None:
    def write(writer: int) -> None:
        with Workspace.open(folder) as workspace:
            for number in range(20):
                workspace.add("g", SPEC, [entry(f"class {writer}", writer * 20 + number)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    with Workspace.open(folder) as workspace:
        assert workspace.photos("g") == 80


def test_many_may_open_a_new_workspace_at_once(tmp_path: Path) -> None:
    def open_all(thread: int) -> None:
        for number in range(10):
            with Workspace.open(tmp_path / str(number)) as workspace:
                workspace.add("g", SPEC, [entry("a", thread)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_all, range(8)))
    for number in range(10):
        assert [path.name for path in (tmp_path / str(number)).iterdir() if path.name.startswith(".")] == []
        with Workspace.open(tmp_path / str(number)) as workspace:
            assert workspace.photos("g") == 8


def test_what_is_no_workspace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "catalogue.sqlite").write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreError, match="cannot be used"):
        Workspace.open(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="writable"):
        Workspace.open(tmp_path / "file")


def test_a_newer_layout_is_refused(folder: Path) -> None:
    Workspace.open(folder).close()
    db = sqlite3.connect(folder / "catalogue.sqlite")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="newer EnfPire"):
        Workspace.open(folder)
