from __future__ import annotations

import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enfpire.client.extractor import Extracted
from enfpire.client.photos import Photo
from enfpire.curation.enroll import enroll
from enfpire.curation.infos import read_infos
from enfpire.curation.workspace import Workspace
from enfpire.errors import GalleryError, UsageError
from tests.unit.histogram import HistogramExtractor


def shoot(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, quality=90)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for number, name in enumerate(("apple", "plum", "pear")):
        for shot in range(4):
            shoot(root / name / f"{shot}.jpg", 10 * number + shot)
    return root


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "workspace") as opened:
        yield opened


@pytest.fixture
def extractor() -> HistogramExtractor:
    return HistogramExtractor()


def test_a_folder_a_class_becomes_a_gallery(workspace: Workspace, photos: Path, extractor: HistogramExtractor) -> None:
    steps: list[tuple[int, int]] = []
    infos = {"plum": {"title": "Pflaume"}, "kiwi": {}}
    report = enroll(workspace, "fruit", photos, extractor, infos, lambda done, total: steps.append((done, total)))
    assert (report.classes, report.photos, report.added, report.extracted) == (3, 12, 12, 12)
    assert (report.unchanged, report.removed, report.broken, report.empty, report.shared) == (0, 0, (), (), ())
    assert report.unused == ("kiwi",)
    assert steps[-1] == (12, 12)
    assert steps == sorted(steps)
    enrolled = workspace.load("fruit")
    assert enrolled.classes == ("apple", "pear", "plum")
    assert np.bincount(enrolled.labels).tolist() == [4, 4, 4]
    assert enrolled.infos == (None, None, {"title": "Pflaume"})
    direct = next(extractor.stream([photos / "pear" / "0.jpg"])).raw
    assert any((row == direct[0]).all() for row in enrolled.raw[enrolled.labels == 1])


def test_again_extracts_nothing(workspace: Workspace, photos: Path, extractor: HistogramExtractor) -> None:
    enroll(workspace, "fruit", photos, extractor, {"plum": "old"})
    before = workspace.load("fruit")
    extractor.given.clear()
    report = enroll(workspace, "fruit", photos, extractor, {"apple": "new"})
    assert extractor.given == []
    assert (report.added, report.unchanged, report.extracted) == (0, 12, 0)
    assert workspace.load("fruit").raw.tobytes() == before.raw.tobytes()
    assert workspace.load("fruit").infos == ("new", None, "old")


def test_a_moved_and_a_copied_photo_are_known(
    workspace: Workspace, photos: Path, extractor: HistogramExtractor, tmp_path: Path
) -> None:
    shutil.copy(photos / "apple" / "0.jpg", photos / "apple" / "copy.jpg")
    report = enroll(workspace, "fruit", photos, extractor)
    assert (report.photos, report.extracted) == (12, 12)
    extractor.given.clear()
    enroll(workspace, "shop", photos.rename(tmp_path / "elsewhere"), extractor)
    assert extractor.given == []
    assert workspace.load("shop").raw.tobytes() == workspace.load("fruit").raw.tobytes()


def test_a_photo_in_two_classes_is_reported(workspace: Workspace, photos: Path, extractor: HistogramExtractor) -> None:
    shutil.copy(photos / "apple" / "0.jpg", photos / "plum" / "wrong.jpg")
    report = enroll(workspace, "fruit", photos, extractor)
    assert report.shared == (("apple", "plum"),)
    assert report.photos == 13


def test_broken_photos_are_reported_and_fail_nothing(
    workspace: Workspace, photos: Path, extractor: HistogramExtractor
) -> None:
    (photos / "apple" / "0.jpg").write_bytes(b"not a photo")
    truncated = (photos / "plum" / "1.jpg").read_bytes()
    (photos / "plum" / "1.jpg").write_bytes(truncated[: len(truncated) // 3])
    (photos / "pear" / "9.jpg").symlink_to(photos / "nowhere.jpg")
    (photos / "bad").mkdir()
    (photos / "bad" / "0.jpg").write_bytes(b"")
    (photos / "void").mkdir()
    report = enroll(workspace, "fruit", photos, extractor)
    assert {Path(one.file).relative_to(photos).as_posix() for one in report.broken} == {
        "apple/0.jpg",
        "bad/0.jpg",
        "plum/1.jpg",
    }
    assert all(one.reason for one in report.broken)
    assert report.empty == ("bad", "void")
    assert (report.classes, report.photos) == (3, 10)


def test_nothing_usable_is_an_error(workspace: Workspace, tmp_path: Path, extractor: HistogramExtractor) -> None:
    (tmp_path / "photos" / "apple").mkdir(parents=True)
    (tmp_path / "photos" / "apple" / "0.jpg").write_bytes(b"no photo")
    with pytest.raises(GalleryError, match="none of 1 photos"):
        enroll(workspace, "fruit", tmp_path / "photos", extractor)


class Stopping(HistogramExtractor):
    """Is interrupted after some batches."""

    def stream(self, photos: Sequence[Photo], batch: int = 4) -> Iterator[Extracted]:
        for number, extracted in enumerate(super().stream(photos, batch)):
            if number == 2:
                raise KeyboardInterrupt
            yield extracted


def test_after_an_interruption_only_the_rest_is_extracted(
    workspace: Workspace, photos: Path, extractor: HistogramExtractor
) -> None:
    with pytest.raises(KeyboardInterrupt):
        enroll(workspace, "fruit", photos, Stopping())
    assert workspace.photos("fruit") == 8
    report = enroll(workspace, "fruit", photos, extractor)
    assert (report.extracted, report.added, report.photos) == (4, 4, 12)


KILLED = """
import os, signal, sys
from enfpire.curation.enroll import enroll
from enfpire.curation.workspace import Workspace
from tests.unit.histogram import HistogramExtractor
kill = lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done >= 4 else None
enroll(Workspace.open(sys.argv[1]), "fruit", sys.argv[2], HistogramExtractor(), {}, kill)
"""


def test_a_killed_process_loses_at_most_a_batch(tmp_path: Path, photos: Path, extractor: HistogramExtractor) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(photos)]
    assert subprocess.run(command, check=False, cwd=Path(__file__).parents[2]).returncode < 0
    with Workspace.open(tmp_path / "killed") as workspace:
        assert workspace.photos("fruit") == 4
        assert enroll(workspace, "fruit", photos, extractor).extracted == 8


def test_adding_keeps_and_replacing_forgets(
    workspace: Workspace, photos: Path, tmp_path: Path, extractor: HistogramExtractor
) -> None:
    enroll(workspace, "fruit", photos, extractor)
    season = tmp_path / "season"
    shoot(season / "plum" / "new.jpg", 99)
    shoot(season / "kiwi" / "0.jpg", 98)
    (season / "pear").mkdir()
    (season / "pear" / "0.jpg").write_bytes(b"broken")
    assert enroll(workspace, "fruit", season, extractor).photos == 14
    report = enroll(workspace, "fruit", season, extractor, replace=True)
    assert (report.removed, report.photos, report.classes, report.empty) == (4, 10, 4, ("pear",))
    assert np.bincount(workspace.load("fruit").labels).tolist() == [4, 1, 4, 1]


def test_another_extractor_is_refused_before_any_work(
    workspace: Workspace, photos: Path, extractor: HistogramExtractor
) -> None:
    enroll(workspace, "fruit", photos, extractor)
    other = HistogramExtractor(weights=b"\1" * 32)
    with pytest.raises(GalleryError, match="another gallery name"):
        enroll(workspace, "fruit", photos, other)
    assert other.given == []


def test_folders_that_make_no_gallery(workspace: Workspace, tmp_path: Path, extractor: HistogramExtractor) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        enroll(workspace, "fruit", tmp_path / "nowhere", extractor)
    shoot(tmp_path / "flat" / "0.jpg", 1)
    with pytest.raises(GalleryError, match="a folder a class"):
        enroll(workspace, "fruit", tmp_path / "flat", extractor)
    with pytest.raises(UsageError, match="cannot name a gallery"):
        enroll(workspace, "Fruit!", tmp_path / "flat", extractor)


def test_a_class_name_that_cannot_travel_is_refused(
    workspace: Workspace, tmp_path: Path, extractor: HistogramExtractor
) -> None:
    shoot(tmp_path / "photos" / "app\nle" / "0.jpg", 1)
    with pytest.raises(GalleryError, match="cannot name a class"):
        enroll(workspace, "fruit", tmp_path / "photos", extractor)
    shutil.rmtree(tmp_path / "photos")
    shoot(tmp_path / "photos" / os.fsdecode(b"caf\xe9") / "0.jpg", 1)
    with pytest.raises(GalleryError, match="cannot name a class"):
        enroll(workspace, "fruit", tmp_path / "photos", extractor)


def test_a_decomposed_folder_name_fits_a_composed_info(
    workspace: Workspace, tmp_path: Path, extractor: HistogramExtractor
) -> None:
    shoot(tmp_path / "photos" / unicodedata.normalize("NFD", "Käse") / "0.jpg", 1)
    (tmp_path / "infos.csv").write_text("class,title\nKäse,Cheese\n", encoding="utf-8")
    report = enroll(workspace, "food", tmp_path / "photos", extractor, read_infos(tmp_path / "infos.csv"))
    assert report.unused == ()
    assert workspace.load("food").infos == ({"title": "Cheese"},)


def test_infos_of_a_table(tmp_path: Path) -> None:
    file = tmp_path / "infos.CSV"
    file.write_text('\ufeffclass,title,url\n"plum, red",Pflaume,\npear,"a\nb",https://x\n', encoding="utf-8")
    assert read_infos(file) == {"plum, red": {"title": "Pflaume"}, "pear": {"title": "a\nb", "url": "https://x"}}


def test_infos_of_json_lines(tmp_path: Path) -> None:
    file = tmp_path / "infos.jsonl"
    lines = ['{"class": "plum", "info": [1, null]}', "", '{"class": "pear", "info": 1, "more": 2}', '{"class": "x"}']
    file.write_text("\n".join(lines), encoding="utf-8")
    assert read_infos(file) == {"plum": [1, None], "pear": {"info": 1, "more": 2}, "x": {}}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("i.csv", "name,title\na,b\n", "no column named 'class'"),
        ("i.csv", "", "no column named 'class'"),
        ("i.csv", "class,title\na,b\na,c\n", "line 3 .* has an info record already"),
        ("i.csv", "class,title\na\n", "line 2 .* fewer cells"),
        ("i.csv", "class,title\na,b,c\n", "line 2 .* more"),
        ("i.csv", 'class,title\na,"b\n', "is not CSV"),
        ("i.csv", "class,title\n,b\n", "line 2 .* cannot name a class"),
        ("i.csv", f"class,title\na,{'x' * 20_000}\n", "line 2 .* at most 16384"),
        ("i.jsonl", '{"class": "a"}\n{"class": ', "line 2 .* not JSON"),
        ("i.jsonl", "[" * 100_000, "line 1 .* not JSON"),
        ("i.jsonl", '["a"]', "line 1 .* not a map"),
        ("i.jsonl", '{"class": 7}', "line 1 .* not a map"),
        ("i.jsonl", '{"class": "a", "info": NaN}', "line 1 .* not JSON"),
        ("i.xlsx", "", "from .csv or .jsonl"),
    ],
)
def test_infos_that_cannot_be_read(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_infos(tmp_path / name)


def test_an_info_file_that_is_missing_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="check the path"):
        read_infos(tmp_path / "infos.csv")
    (tmp_path / "infos.csv").write_bytes(b"class\n\xff\xfe\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_infos(tmp_path / "infos.csv")
