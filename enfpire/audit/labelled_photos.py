"""The auditor's photos: a folder with a folder a class, those of classes that are not enrolled included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from enfpire.client.extractor import PhotoExtractor
from enfpire.curation.folders import find_classes
from enfpire.errors import UsageError
from enfpire.wire.arrays import Floats, Indices


@dataclass(frozen=True, eq=False)
class RawPhotos:
    """Raw features (n, D) with labels (n,), numbers of enrolled classes; `outside` (m, D) are of none of them."""

    raw: Floats = field(repr=False)
    labels: Indices = field(repr=False)
    outside: Floats = field(repr=False)


def read_photos(
    folder: Path, names: tuple[str, ...], extractor: PhotoExtractor, progress: Callable[[int, int], None]
) -> RawPhotos:
    """Extract the photos of a folder; `names` are the enrolled classes.

    `progress(done, total)` is called as it goes on. Photos that cannot be used are left out. Raises `UsageError` where
    an enrolled class has no photo to try.
    """
    numbers = {name: number for number, name in enumerate(names)}
    photos = [(numbers.get(one.name, -1), path) for one in find_classes(folder) for path in one.photos]
    places: list[int] = []
    rows: list[Floats] = []
    done = 0
    for batch in extractor.stream([path for _, path in photos]):
        places += batch.places
        rows.append(batch.raw)
        done += len(batch.places) + len(batch.failed)
        progress(done, len(photos))
    labels = np.array([photos[place][0] for place in places], dtype=np.intp)
    raw = np.concatenate(rows)
    missing = np.setdiff1d(np.arange(len(names)), labels)
    if len(missing):
        raise UsageError(
            f"{len(missing)} enrolled classes have no usable photo in {folder}, the first is {names[missing[0]]}: "
            "give photos of every class, in a folder a class, which were not enrolled"
        )
    inside = labels >= 0
    return RawPhotos(raw[inside], labels[inside], raw[~inside])
