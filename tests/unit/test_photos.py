"""Decoding: every kind of photo file, whatever is wrong with it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from enfpire.client import photos
from enfpire.client.photos import Pixels, content_digest, decode, find_photos
from enfpire.errors import PhotoError, UsageError

SIZE = 64


def gradient(width: int = 120, height: int = 80) -> Pixels:
    """Red grows to the right, green grows downwards, blue is constant: every orientation looks different."""
    across = np.broadcast_to(np.linspace(0, 255, width), (height, width))
    down = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
    return np.stack([across, down, np.full((height, width), 90)], axis=2).round().astype(np.uint8)


def saved(folder: Path, name: str, image: Image.Image, **options: object) -> Path:
    path = folder / name
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def distance(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(np.float64) - other).mean())


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp", "a.jpg", "a.avif"])
def test_formats_decode_to_the_same_middle_square(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, name, Image.fromarray(gradient()), **({"quality": 95} if name != "a.png" else {}))
    pixels = decode(path, SIZE)
    assert pixels.shape == (SIZE, SIZE, 3)
    assert pixels.dtype == np.uint8
    assert distance(pixels, decode(gradient(), SIZE)) < 4


def test_a_path_a_string_an_image_and_an_array_are_the_same_photo(tmp_path: Path) -> None:
    image = Image.fromarray(gradient())
    path = saved(tmp_path, "a.png", image)
    expected = decode(path, SIZE)
    for photo in (str(path), image, gradient(), gradient()[:, ::-1][:, ::-1]):
        assert np.array_equal(decode(photo, SIZE), expected)


def test_a_photo_of_the_right_size_is_not_resampled() -> None:
    square = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    assert np.array_equal(decode(square, SIZE), square)
    wide = np.pad(square, ((0, 0), (9, 10), (0, 0)))
    assert np.array_equal(decode(wide, SIZE), square)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, "a.jpg", Image.fromarray(gradient()), exif=exif, quality=95)
    with Image.open(path) as image:
        upright = np.array(ImageOps.exif_transpose(image))
    assert distance(decode(path, SIZE), decode(upright, SIZE)) < 1.5
    if orientation > 1:
        assert distance(decode(path, SIZE), decode(gradient(), SIZE)) > 20


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_exif_that_cannot_be_parsed_costs_only_the_orientation(tmp_path: Path) -> None:
    path = saved(
        tmp_path, "a.jpg", Image.fromarray(gradient()), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01", quality=95
    )
    assert distance(decode(path, SIZE), decode(gradient(), SIZE)) < 4


def test_grey_is_grey_in_all_channels(tmp_path: Path) -> None:
    for mode in ("L", "1"):
        pixels = decode(saved(tmp_path, "a.png", Image.fromarray(gradient()).convert(mode)), SIZE)
        assert (pixels == pixels[:, :, :1]).all()
        assert pixels.std() > 10


def test_cmyk_jpeg_has_the_colours_of_the_original(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.jpg", Image.fromarray(gradient()).convert("CMYK"), quality=95)
    assert distance(decode(path, SIZE), decode(gradient(), SIZE)) < 6


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (80, 80), (200, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 40, 80))
    pixels = decode(saved(tmp_path, "a.png", image.convert(mode)), SIZE)
    assert (pixels[:, :28] > 250).all()
    assert (pixels[:, 36:, 1] < 120).all()


def test_a_transparent_colour_of_a_palette_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (80, 80), 0)
    image.putpalette([10, 20, 30, 200, 0, 0])
    path = saved(tmp_path, "a.png", image, transparency=0)
    assert (decode(path, SIZE) == 255).all()


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 65_535, 100).astype(np.uint16), (100, 1))
    for name in ("a.png", "a.tif"):
        pixels = decode(saved(tmp_path, name, Image.fromarray(ramp)), SIZE)
        assert pixels[0, 0, 0] < 5
        assert 120 < pixels[0, SIZE // 2, 0] < 136
        assert pixels[0, -1, 0] > 250


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="floating-point"):
        decode(saved(tmp_path, "a.tif", Image.fromarray(np.ones((9, 9), np.float32))), SIZE)


def test_a_large_jpeg_is_decoded_small_and_looks_the_same(tmp_path: Path) -> None:
    image = Image.fromarray(gradient(1600, 1200))
    path = saved(tmp_path, "a.jpg", image, quality=95)
    with Image.open(path) as whole:
        assert distance(decode(path, SIZE), decode(np.array(whole), SIZE)) < 1


def test_the_first_frame_of_a_multi_picture_file_counts(tmp_path: Path) -> None:
    first, second = Image.fromarray(gradient()), Image.new("RGB", (120, 80), "white")
    path = saved(tmp_path, "a.mpo", first, save_all=True, append_images=[second], quality=95)
    assert distance(decode(path, SIZE), decode(gradient(), SIZE)) < 4


def test_a_sliver_does_not_grow_on_its_way() -> None:
    assert decode(np.zeros((1, 300_000, 3), np.uint8), SIZE).shape == (SIZE, SIZE, 3)


def test_the_callers_image_stays_as_it_was(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.jpg", Image.fromarray(gradient(1600, 1200)))
    with Image.open(path) as image:
        decode(image, SIZE)
        assert image.size == (1600, 1200)


@pytest.mark.parametrize("keep", [0, 3, 200, 0.5, 0.95])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_truncated_files_are_refused(tmp_path: Path, name: str, keep: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
    path = saved(tmp_path, name, Image.fromarray(noise))
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep >= 1 else keep * len(data))])
    with pytest.raises(PhotoError, match=r"again|convert"):
        decode(path, SIZE)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.floats(0, 0.999), patch=st.binary(min_size=1, max_size=12), name=st.sampled_from(["PNG", "JPEG", "TIFF"])
)
def test_hostile_bytes_are_decoded_or_refused(tmp_path: Path, place: float, patch: bytes, name: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(gradient()).save(buffer, name)
    data = bytearray(buffer.getvalue())
    start = int(place * len(data))
    data[start : start + len(patch)] = patch
    path = tmp_path / "a"
    path.write_bytes(data)
    with contextlib.suppress(PhotoError):  # any other exception would end the batch
        assert decode(path, SIZE).shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize("data", [b"", b"hello", b"GIF89a", b"%PDF-1.7", b"P6 2 2 255 aaaaaaaaaaaa"])
def test_what_is_not_a_still_photo_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(PhotoError, match="convert it to one of JPEG"):
        decode(path, SIZE)


def test_an_animation_in_gif_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.gif", Image.fromarray(gradient()))
    with pytest.raises(PhotoError, match="convert"):
        decode(path, SIZE)


def test_an_image_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.png", Image.new("1", (20_000, 20_000)))
    assert path.stat().st_size < 100_000
    with pytest.raises(PhotoError, match="pixels"):
        decode(path, SIZE)


def test_a_fresh_process_may_start_decoding_in_many_threads(tmp_path: Path) -> None:
    code = (
        "import sys; from concurrent.futures import ThreadPoolExecutor\n"
        "from enfpire.client.photos import decode\n"
        "with ThreadPoolExecutor(8) as pool: list(pool.map(decode, sys.argv[1:] * 8, [32] * 16))"
    )
    names = [str(saved(tmp_path, name, Image.fromarray(gradient()))) for name in ("a.tif", "a.webp")]
    subprocess.run([sys.executable, "-c", code, *names], check=True)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    with path.open("wb") as file:
        file.truncate(photos.FILE_CAP + 1)
    for use in (lambda: decode(path, SIZE), lambda: content_digest(path)):
        with pytest.raises(PhotoError, match="smaller"):
            use()


def test_a_missing_photo_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path, words in ((tmp_path / "no.jpg", "not there"), (tmp_path, "not a file"), (tmp_path / "pipe.jpg", "not a")):
        with pytest.raises(PhotoError, match=words):
            decode(path, SIZE)
        with pytest.raises(PhotoError, match=words):
            content_digest(path)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (0, 8, 3), (1, 8, 8, 3)])
def test_arrays_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(PhotoError):
        decode(np.zeros(shape, np.uint8), SIZE)


def test_arrays_of_floats_are_refused() -> None:
    with pytest.raises(PhotoError, match="uint8"):
        decode(np.zeros((8, 8, 3)), SIZE)  # type: ignore[arg-type]


def test_content_digest_names_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"photo")
    (tmp_path / "b").write_bytes(b"photo")
    assert content_digest(tmp_path / "a") == content_digest(str(tmp_path / "b")) == hashlib.sha256(b"photo").digest()


def test_photos_are_found_in_order_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/1.png", "a/3.heic", "notes.txt", ".trash/4.jpg", "b/._1.png", "c.jpg/5.jpeg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_photos(tmp_path)]
    assert found == ["a/3.heic", "b/1.png", "b/2.JPG", "c.jpg/5.jpeg"]
    assert find_photos(tmp_path / "b/1.png") == [tmp_path / "b/1.png"]


def test_an_empty_or_missing_folder_is_a_usage_error(tmp_path: Path) -> None:
    for folder, words in ((tmp_path, "no photo in"), (tmp_path / "missing", "no folder")):
        with pytest.raises(UsageError, match=words):
            find_photos(folder)


def test_decoding_needs_no_torch() -> None:
    code = (
        "import sys, enfpire.client.features, enfpire.client.extractor, enfpire.client.protocol\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
