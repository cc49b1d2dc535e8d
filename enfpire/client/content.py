"""The content of a photo: 32 bytes that are the same for the same photo, and never leave the client."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from enfpire.client.photos import Photo, content_digest
from enfpire.wire.arrays import Floats


def content_of(photo: Photo) -> bytes:
    """SHA-256 of a file's bytes, or of the pixels of an image or an array with their shape.

    Raises `PhotoError` for a file that cannot be read.
    """
    if isinstance(photo, str | Path):
        return content_digest(photo)
    if isinstance(photo, Image.Image) and photo.mode == "RGB":  # the same as its pixels in an array
        return _digest(f"pixels {(photo.height, photo.width, 3)}", photo.tobytes())
    if isinstance(photo, Image.Image):
        return _digest(f"image {photo.mode} {photo.size} {photo.getpalette()}", photo.tobytes())
    return _digest(f"pixels {photo.shape}", np.ascontiguousarray(photo).tobytes())


def feature_contents(features: Floats) -> list[bytes]:
    """SHA-256 of each feature as float16, so that the last digits do not make another photo; features (n, d)."""
    with np.errstate(over="ignore"):
        rounded = features.astype("<f2") + np.float16(0)  # -0.0 is 0.0
    return [_digest(f"feature {features.shape[1]}", row.astype("<f2").tobytes()) for row in rounded]


def _digest(what: str, data: bytes) -> bytes:
    return hashlib.sha256(what.encode() + b"\0" + data).digest()
