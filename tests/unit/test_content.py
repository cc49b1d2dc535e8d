from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enfpire.client.content import content_of, feature_contents
from enfpire.errors import PhotoError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)


def test_a_file_is_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"bytes")
    assert content_of(path) == content_of(str(path)) == hashlib.sha256(b"bytes").digest()
    with pytest.raises(PhotoError, match="not there"):
        content_of(tmp_path / "b.jpg")


def test_an_image_or_an_array_is_its_pixels() -> None:
    other = PIXELS.copy()
    other[5, 3, 2] ^= 1
    for make in (np.asarray, Image.fromarray):
        assert content_of(make(PIXELS)) == content_of(make(PIXELS.copy()))
        assert len({content_of(make(pixels)) for pixels in (PIXELS, other, PIXELS.reshape(4, 6, 3))}) == 3
    assert content_of(np.asfortranarray(PIXELS)) == content_of(PIXELS) == content_of(Image.fromarray(PIXELS))


def test_colours_of_a_palette_count() -> None:
    image = Image.fromarray(PIXELS).convert("P", palette=Image.Palette.ADAPTIVE)
    recoloured = image.copy()
    recoloured.putpalette([255 - value for value in image.getpalette() or []])
    assert recoloured.tobytes() == image.tobytes()
    assert content_of(recoloured) != content_of(image)


def test_a_feature_is_its_numbers() -> None:
    features = np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)
    first = feature_contents(features)
    assert len(set(first)) == 3
    assert {len(content) for content in first} == {32}
    assert feature_contents(features[::-1])[::-1] == first
    assert feature_contents(features + np.float32(0.01))[0] != first[0]
    assert feature_contents(np.zeros((1, 8), np.float32)) == feature_contents(-np.zeros((1, 8), np.float32))
