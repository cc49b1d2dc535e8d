"""The main job through the SDK: whatever is submitted, the whole service says what the pure functions say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enfpire.client.match import Match
from enfpire.client.recognition import Recognition
from enfpire.client.recognizer import Recognizer
from enfpire.errors import FeatureError, FloorError, PhotoError, UsageError
from tests.acceptance.stage import Stage

pytestmark = pytest.mark.acceptance


def check(found: Iterable[Recognition], expected: list[Match]) -> None:
    """Each row has one recognition, and it is the expected one."""
    by_row = sorted(found, key=lambda one: one.row)
    assert [one.row for one in by_row] == list(range(len(expected)))
    for one, match in zip(by_row, expected, strict=True):
        assert (one.error, one.name, one.info, one.candidates) == (None, match.name, match.info, match.candidates)
        assert one.similarity == pytest.approx(match.similarity, abs=1e-4)
        assert one.margin == pytest.approx(match.margin, abs=1e-4)


def test_the_gallery_is_worth_asking(stage: Stage) -> None:
    expected = stage.expected()
    right = sum(expected[photo].name == name for photo, name in stage.truth.items())
    assert right >= 0.8 * len(stage.photos)
    assert all(len(match.candidates) == 6 for match in expected.values())


@pytest.mark.parametrize("name", ["cells", "projection", "sign", "identity"])
def test_paths_under_each_transform(stage: Stage, tmp_path: Path, name: str) -> None:
    photos = stage.exposed if name == "identity" else stage.photos
    with stage.recognizer(tmp_path, name, photos_per_query=20) as recognizer:
        job = recognizer.submit(photos)
        found = list(job.results())
        assert job.progress.done
    expected = stage.expected(name)
    check(found, [expected[photo] for photo in photos])
    assert [one.photo for one in sorted(found, key=lambda one: one.row)] == photos


def test_ready_features(stage: Stage, tmp_path: Path) -> None:
    with stage.recognizer(tmp_path, photos_per_query=7) as recognizer:
        found = list(recognizer.submit(stage.features()).results())
    check(found, list(stage.expected().values()))


def test_images_and_arrays_through_the_real_network(stage: Stage, tmp_path: Path) -> None:
    chosen = stage.photos[::9]
    images = [Image.open(photo) for photo in chosen]
    mixed = [image if place % 2 else np.asarray(image) for place, image in enumerate(images)]
    with stage.recognizer(tmp_path, extractor=stage.extractor) as recognizer:
        found = list(recognizer.submit(mixed).results())
    for image in images:
        image.close()
    expected = stage.expected()
    check(found, [expected[photo] for photo in chosen])


def test_one_photo_interactively(stage: Stage, tmp_path: Path) -> None:
    photo = stage.photos[5]
    with stage.recognizer(tmp_path, extractor=stage.extractor) as recognizer:
        found = recognizer.recognize(Path(photo), timeout=20)
    check([found], [stage.expected()[photo]])


def test_memory_answers_without_a_message(stage: Stage, tmp_path: Path) -> None:
    expected = list(stage.expected().values())
    with stage.recognizer(tmp_path, memory=True) as recognizer:
        check(recognizer.submit(stage.features()).results(), expected)
        first = recognizer.traffic
        check(recognizer.submit(stage.features()).results(), expected)
        assert recognizer.traffic == first
        assert min(first.up, first.down) > 0
    with stage.recognizer(tmp_path, memory=True) as reopened:
        check(reopened.submit(stage.features()).results(), expected)
        assert (reopened.traffic.up, reopened.traffic.down) == (0, 0)


def test_without_memory_every_batch_asks_again(stage: Stage, tmp_path: Path) -> None:
    with stage.recognizer(tmp_path) as recognizer:
        list(recognizer.submit(stage.features()).results())
        first = recognizer.traffic
        list(recognizer.submit(stage.features()).results())
        assert (recognizer.traffic.up, recognizer.traffic.down) == (2 * first.up, 2 * first.down)


def test_resolution_workers_give_the_same(stage: Stage) -> None:
    with stage.recognizer(
        stage.service.client_store, broker_url=stage.service.client_broker_url, photos_per_query=10
    ) as recognizer:
        found = list(recognizer.submit(stage.features()).results())
    check(found, list(stage.expected().values()))


def test_the_clients_store_may_be_its_own_redis(stage: Stage) -> None:
    with stage.recognizer(stage.service.client_broker_url.removesuffix("/0") + "/3") as recognizer:
        found = list(recognizer.submit(stage.photos).results())
    expected = stage.expected()
    check(found, [expected[photo] for photo in stage.photos])


def test_a_broken_photo_fails_alone(stage: Stage, tmp_path: Path) -> None:
    broken, missing = tmp_path / "broken.jpg", tmp_path / "missing.jpg"
    broken.write_bytes(Path(stage.photos[0]).read_bytes()[:2000])
    photos = [stage.photos[0], str(broken), stage.photos[1], str(missing)]
    with stage.recognizer(tmp_path / "store", extractor=stage.extractor) as recognizer:
        job = recognizer.submit(photos)
        found = {one.row: one for one in job.results()}
        assert (job.progress.recognised, job.progress.failed) == (2, 2)
        with pytest.raises(PhotoError):
            recognizer.recognize(broken, timeout=20)
    expected = stage.expected()
    assert [found[row].name for row in (0, 2)] == [expected[photo].name for photo in stage.photos[:2]]
    for row in (1, 3):
        assert found[row].error
        assert found[row].name is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_feature_that_is_not_finite_fails_alone(stage: Stage, tmp_path: Path, value: float) -> None:
    features = stage.features()[:6].copy()
    features[3, 17] = value
    with stage.recognizer(tmp_path) as recognizer:
        found = {one.row: one for one in recognizer.submit(features).results()}
    assert sorted(found) == list(range(6))
    assert "NaN or infinity" in str(found.pop(3).error)
    expected = list(stage.expected().values())
    assert {row: one.name for row, one in found.items()} == {row: expected[row].name for row in found}


def test_features_of_another_network_are_refused(stage: Stage, tmp_path: Path) -> None:
    with stage.recognizer(tmp_path) as recognizer:
        for wrong in (stage.features()[:, :-1], stage.features()[0], stage.features()[None]):
            with pytest.raises(FeatureError, match="extractor that the bundle names"):
                recognizer.submit(wrong)
        with pytest.raises(UsageError, match="no photo"):
            recognizer.submit([])
        with pytest.raises(UsageError, match="no photo"):
            recognizer.submit(stage.features()[:0])
        assert recognizer.jobs() == []


def test_a_cancelled_job_ends(stage: Stage, tmp_path: Path) -> None:
    with stage.recognizer(tmp_path, photos_per_query=1, window=1) as recognizer:
        job = recognizer.submit(stage.photos)
        job.cancel()
        found = list(job.results())
        assert len({one.row for one in found}) == len(found) < len(stage.photos)
        with pytest.raises(UsageError, match="no open job"):
            recognizer.resume(job.id)


@pytest.mark.parametrize(("name", "advice"), [("projection", "--accept-unproved"), ("identity", "--insecure")])
def test_what_proves_nothing_must_be_allowed(stage: Stage, tmp_path: Path, name: str, advice: str) -> None:
    with pytest.raises(FloorError, match=advice):
        Recognizer.open(
            stage.published[name].path,
            exchange=stage.service.exchange_url,
            credential=stage.credential,
            store=str(tmp_path),
        )
