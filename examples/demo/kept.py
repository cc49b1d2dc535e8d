"""Features that are extracted once and used under every policy, so that the rows differ in the policy alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from enfpire.client.extractor import Extracted, PhotoExtractor
from enfpire.client.photos import Photo
from enfpire.errors import PhotoError
from enfpire.wire.arrays import Floats


@dataclass
class KeptFeatures:
    """Raw features of photos by name, and how many a second were extracted."""

    raw: dict[str, Floats]
    failed: dict[str, PhotoError]
    photos_per_second: float

    def stream(self, photos: Sequence[Photo]) -> Iterator[Extracted]:
        """What the extractor gave for these photos."""
        names = [str(photo) for photo in photos]
        places = tuple(place for place, name in enumerate(names) if name in self.raw)
        failed = {place: self.failed[name] for place, name in enumerate(names) if name in self.failed}
        raw = np.stack([self.raw[names[place]] for place in places]) if places else np.zeros((0, 1), np.float32)
        yield Extracted(places=places, raw=raw, failed=failed)


def extract_once(extractor: PhotoExtractor, photos: Sequence[str], report: Callable[[int], None]) -> KeptFeatures:
    """Extract all photos; `report(done)` is called after each batch."""
    raw: dict[str, Floats] = {}
    failed: dict[str, PhotoError] = {}
    start = time.perf_counter()
    for batch in extractor.stream(photos):
        raw |= {photos[place]: row for place, row in zip(batch.places, batch.raw, strict=True)}
        failed |= {photos[place]: error for place, error in batch.failed.items()}
        report(len(raw) + len(failed))
    return KeptFeatures(raw, failed, len(photos) / (time.perf_counter() - start))
