"""Transforms: feature -> protected feature. The bundle names the one to use."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from enfpire.client.transforms.cells import CellsTransform
from enfpire.client.transforms.noise import NoiseTransform
from enfpire.client.transforms.vectors import IdentityTransform, ProjectionTransform, SignTransform
from enfpire.wire.arrays import Floats, Indices
from enfpire.wire.bundle import Bundle, Cells, Identity, Noise, Projection, Sign
from enfpire.wire.query import Bits, Groups, Vectors


class Transform(Protocol):
    """Makes protected features."""

    def protect(self, features: Floats) -> tuple[Groups | Vectors | Bits, Indices]:
        """Protected features in canonical order, and for each feature (n, d) its row in them, shape (n,)."""
        ...


def transform_of(bundle: Bundle, random: np.random.Generator | None = None) -> Transform:
    """The transform that the bundle names, ready to use; noise comes from the operating system, or from `random`."""
    match bundle.transform:
        case Cells() as spec:
            return CellsTransform(spec)
        case Projection() as spec:
            return ProjectionTransform(spec)
        case Noise() as spec:
            return NoiseTransform(spec, random)
        case Sign() as spec:
            return SignTransform(spec)
        case Identity():
            return IdentityTransform()
