"""A small real extractor: colour histograms, 4 x 4 x 4 bins, of the decoded photo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from enfpire.client.extractor import Extracted
from enfpire.client.photos import Photo, decode
from enfpire.errors import PhotoError
from enfpire.wire.bundle import Extractor

DIMENSIONS = 64


class HistogramExtractor:
    """Has the interface of `PhotoExtractor`; remembers which photos it was given."""

    def __init__(self, weights: bytes = bytes(32)) -> None:
        self._weights = weights
        self.given: list[Photo] = []

    def describe(self) -> Extractor:
        return Extractor(name="histogram", weights=self._weights, dimensions=DIMENSIONS)

    def stream(self, photos: Sequence[Photo], batch: int = 4) -> Iterator[Extracted]:
        for start in range(0, len(photos), batch):
            places, raw = [], []
            failed: dict[int, PhotoError] = {}
            for place in range(start, min(start + batch, len(photos))):
                self.given.append(photos[place])
                try:
                    raw.append(_histogram(photos[place]))
                    places.append(place)
                except PhotoError as error:
                    failed[place] = error
            yield Extracted(tuple(places), np.array(raw, np.float32).reshape(-1, DIMENSIONS), failed)


def _histogram(photo: Photo) -> np.ndarray:
    bins = (decode(photo, 32) // 64).astype(np.intp).reshape(-1, 3) @ np.array([16, 4, 1])
    return np.bincount(bins, minlength=DIMENSIONS).astype(np.float32)
