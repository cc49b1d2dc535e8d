"""A folder with a folder a class: the operator's photos as they lie on disk."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from enfpire.client.photos import find_photos
from enfpire.errors import GalleryError, UsageError
from enfpire.wire.candidates import NAME_CAP


@dataclass(frozen=True)
class ClassPhotos:
    """The photos of one class, sorted."""

    name: str
    photos: tuple[Path, ...]


def find_classes(folder: str | Path) -> list[ClassPhotos]:
    """Classes in `folder`, sorted by name; one without photos is among them, its list empty.

    Raises `UsageError` for a missing folder, `GalleryError` where there is no folder a class in it.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise UsageError(f"there is no folder {root}: check the path")
    found: dict[str, list[Path]] = {}
    for inner in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        found.setdefault(class_name(inner.name), []).extend(_photos(inner))
    if not any(found.values()):
        raise GalleryError(f"there is no photo of a class in {root}: make a folder a class, with its photos inside")
    return [ClassPhotos(name, tuple(photos)) for name, photos in sorted(found.items())]


def class_name(text: str) -> str:
    """A class's name as it travels: composed Unicode, so that a Mac's folders fit a table's names.

    Raises `GalleryError` for one that is empty, longer than 400 characters, or not printable.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(name) <= NAME_CAP or not name.isprintable():
        raise GalleryError(f"{text[:80]!r} cannot name a class: use 1 to {NAME_CAP} printable characters")
    return name


def _photos(folder: Path) -> list[Path]:
    try:
        return find_photos(folder)
    except UsageError:
        return []
