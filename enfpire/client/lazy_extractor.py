"""An extractor that loads its network when the first photo comes: jobs of features need no torch."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from enfpire.client.photos import Photo
from enfpire.wire.bundle import Extractor as ExtractorSpec

if TYPE_CHECKING:
    from enfpire.client.extractor import Extracted, PhotoExtractor


class LazyExtractor:
    """The extractor that a bundle names; `weights` is a file where it is not a package's."""

    def __init__(self, spec: ExtractorSpec, weights: Path | None = None) -> None:
        self._spec = spec
        self._weights = weights
        self._loaded: PhotoExtractor | None = None
        self._lock = threading.Lock()

    def stream(self, photos: Sequence[Photo]) -> Iterator[Extracted]:
        """Extract a batch after the other; raises `BundleError` where this is not the bundle's network."""
        with self._lock:
            if self._loaded is None:
                from enfpire.client.extractor import for_bundle

                self._loaded = for_bundle(self._spec, self._weights)
        return self._loaded.stream(photos)
