"""Photo files -> square pixels for the network. Whatever a file holds, the worst outcome is a `PhotoError`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from enfpire.errors import EnfPireError, PhotoError, UsageError

Pixels = npt.NDArray[np.uint8]
Photo = str | Path | Image.Image | Pixels

FILE_CAP = 256 * 1024 * 1024
PIXEL_CAP = 89_478_485  # where Pillow starts to warn of image bombs
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF")
# Formats that we cannot read are listed too: such a file is reported as failed, not passed over in silence.
SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".png",
        ".webp",
        ".tif",
        ".tiff",
        ".bmp",
        ".avif",
        ".heic",
        ".heif",
        ".gif",
        ".dng",
        ".jp2",
        ".jxl",
    ]
)

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(photo: Photo, resolution: int) -> Pixels:
    """The upright middle square of a photo as RGB, uint8 (resolution, resolution, 3).

    A photo is a path, a PIL image (left as it is) or uint8 RGB pixels (h, w, 3). Alpha is laid over white, 16-bit
    greys are scaled; of several frames the first counts. Raises `PhotoError` for anything that cannot be used.
    """
    with _as_photo_error():
        if isinstance(photo, str | Path):
            return _decoded_file(Path(photo), resolution)
        return _square(photo if isinstance(photo, Image.Image) else _image_of(photo), resolution)


def content_digest(path: str | Path) -> bytes:
    """SHA-256 of a file's bytes (32 bytes): the name of a photo's content.

    Raises `PhotoError` for a file that cannot be read.
    """
    with _as_photo_error(), _checked(Path(path)).open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def find_photos(folder: str | Path) -> list[Path]:
    """The photos in a folder and the folders in it, sorted; hidden ones are passed over. A file is its own list.

    Raises `UsageError` where there is none.
    """
    root = Path(folder).expanduser()
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise UsageError(f"there is no folder {root}: check the path")
    found = sorted(path for path in root.rglob("*") if _looks_like_photo(path.relative_to(root)) and path.is_file())
    if not found:
        raise UsageError(f"there is no photo in {root}: it should hold files such as .jpg, .png or .webp")
    return found


def _looks_like_photo(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in path.parts)


@contextmanager
def _as_photo_error() -> Iterator[None]:
    try:
        yield
    except EnfPireError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PhotoError(f"the photo has more than {PIXEL_CAP} pixels: make it smaller") from None
    except UnidentifiedImageError:
        raise PhotoError(f"not a photo that can be read: convert it to one of {', '.join(FORMATS)}") from None
    except FileNotFoundError:
        raise PhotoError("the photo is not there (any more): check the path") from None
    except PermissionError:
        raise PhotoError("the photo may not be read: check its permissions") from None
    except Exception as error:
        # Pillow's plugins meet hostile bytes with nearly any exception; none of them may end the batch.
        raise PhotoError(f"the photo is damaged ({type(error).__name__}): copy or export it again") from error


def _checked(path: Path) -> Path:
    path = path.expanduser()
    # A pipe or a device would block for ever.
    if path.exists() and not path.is_file():
        raise PhotoError("not a file: name the photo itself")
    if path.stat().st_size > FILE_CAP:
        raise PhotoError(f"the file has more than {FILE_CAP} bytes: export the photo smaller")
    return path


@cache
def _readable_formats() -> tuple[str, ...]:
    # Some builds of Pillow come without AVIF or WebP. Loading the plugins here also keeps decoding threads from
    # doing it at the same time.
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _decoded_file(path: Path, resolution: int) -> Pixels:
    with Image.open(_checked(path), formats=_readable_formats()) as image:
        _check_pixels(image)
        # A JPEG is decoded at an eighth to the whole of its size, never below twice the resolution: measured on 12
        # megapixels, 46 ms in place of 202, and pixels that differ by 0.2 of 255 on average.
        image.draft(None, (2 * resolution, 2 * resolution))
        return _square(image, resolution)


def _image_of(pixels: Pixels) -> Image.Image:
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise PhotoError("pixels must be a uint8 array of shape (height, width, 3), in RGB order")
    return Image.fromarray(np.ascontiguousarray(pixels))


def _check_pixels(image: Image.Image) -> None:
    if not 0 < image.width * image.height <= PIXEL_CAP:
        raise PhotoError(f"the photo has no pixels, or more than {PIXEL_CAP}: make it smaller")


def _square(image: Image.Image, resolution: int) -> Pixels:
    _check_pixels(image)
    small = _flattened(_fitted(_coloured(image), resolution))
    turn = _UPRIGHT.get(_orientation(image))
    # The square is turned and not the photo: the same pixels for a fraction of the work.
    return np.array(small if turn is None else small.transpose(turn), dtype=np.uint8)


def _fitted(image: Image.Image, resolution: int) -> Image.Image:
    """The one place that decides what the network sees of a photo that is not square: its middle."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.resize((resolution, resolution), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)


def _orientation(image: Image.Image) -> int:
    try:
        value: Any = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # EXIF that cannot be parsed: the pixels are still good
        return 1
    return value if isinstance(value, int) else 1


def _coloured(image: Image.Image) -> Image.Image:
    """RGB, or RGBA where the image has transparency."""
    if image.mode == "F":
        raise PhotoError("the photo has floating-point pixels: export it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    return image.convert("RGBA" if transparent else "RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    # Pillow would clip values over 255 to white.
    greys = np.clip(np.asarray(image).astype(np.int64), 0, 65_535) >> 8
    return Image.fromarray(greys.astype(np.uint8))


def _flattened(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
