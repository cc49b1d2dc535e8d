"""Transforms: feature -> protected feature. The bundle names the one to use."""

from __future__ import annotations

from typing import Protocol

from enfpire.client.transforms.cells import CellsTransform
from enfpire.client.transforms.vectors import IdentityTransform, ProjectionTransform
from enfpire.wire.arrays import Floats, Indices
from enfpire.wire.bundle import Bundle, Cells, Identity, Projection
from enfpire.wire.query import Groups, Vectors


class Transform(Protocol):
    """Makes protected features."""

    def protect(self, features: Floats) -> tuple[Groups | Vectors, Indices]:
        """Protected features in canonical order, and for each feature (n, d) its row in them, shape (n,)."""
        ...


def transform_of(bundle: Bundle) -> Transform:
    """The transform that the bundle names, ready to use."""
    match bundle.transform:
        case Cells() as spec:
            return CellsTransform(spec)
        case Projection() as spec:
            return ProjectionTransform(spec)
        case Identity():
            return IdentityTransform()
