"""Fit: enrolled photos -> everything of a gallery version that depends on them.

A fit is a draft: `publish` turns it into a Milvus collection and a signed bundle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from enfpire.client.features import whiten
from enfpire.curation.anchors import cell_anchors, class_anchors
from enfpire.curation.clustering import balanced_clusters
from enfpire.curation.entries import Enrolled
from enfpire.curation.held_out import Recipe, fit_threshold
from enfpire.curation.prototypes import Prototypes, fit_prototypes
from enfpire.curation.whitening import class_means, fit_whitening
from enfpire.errors import GalleryError, UsageError
from enfpire.wire.arrays import Array, Floats, Frozen, Indices, normalised
from enfpire.wire.bundle import Extractor, Whitening
from enfpire.wire.codec import MIB, decode, encode

FIT_CAP = 4096 * MIB


class CellsOptions(Frozen):
    """`cells`: at least `classes_per_group` classes share a message."""

    kind: Literal["cells"] = "cells"
    classes_per_group: Annotated[int, Field(ge=2)]
    anchors: Literal["class", "cell"] = "class"
    anchors_each: Annotated[int, Field(ge=1, le=64)] = 1
    over_ask: Annotated[float, Field(ge=1, le=100)] = 1.0


class VectorOptions(Frozen):
    """`projection` to `dimensions`, or `identity`; the server returns the `candidates` nearest classes."""

    kind: Literal["projection", "identity"]
    dimensions: Annotated[int, Field(ge=1, le=4096)] = 8
    candidates: Annotated[int, Field(ge=1, le=4096)] = 12


Options = Annotated[CellsOptions | VectorOptions, Field(discriminator="kind")]


class CellsDraft(Frozen):
    """groups (C,) uint32, anchors (a, d) float16, routes (a,) uint32."""

    kind: Literal["cells"] = "cells"
    groups: Array
    anchors: Array
    routes: Array
    over_ask: float


class VectorDraft(Frozen):
    """basis (d, m) float16; the identity's has no columns."""

    kind: Literal["projection", "identity"]
    basis: Array
    candidates: int


class Fit(Frozen):
    """What was fitted; `names` and `infos` (JSON) have a value a class."""

    gallery: str
    names: tuple[str, ...]
    infos: tuple[bytes, ...]
    extractor: Extractor
    whitening: Whitening
    codes: Array
    scales: Array
    owners: Array
    unknown_below: float
    transform: Annotated[CellsDraft | VectorDraft, Field(discriminator="kind")]

    @property
    def prototypes(self) -> Prototypes:
        """The fitted prototypes."""
        return Prototypes(self.codes.values, self.scales.values, self.owners.values.astype(np.intp))


def encode_fit(fit: Fit) -> bytes:
    """Bytes of a fit: equal fits have equal bytes."""
    return encode(fit, b"F")


def decode_fit(data: bytes) -> Fit:
    """Parse a fit; raises `WireError`."""
    return decode(data, b"F", Fit, FIT_CAP)


@dataclass(frozen=True)
class FittedFeatures:
    """Features (n, d) of the gallery photos, labels (n,), and the C classes' unit means."""

    features: Floats
    labels: Indices
    means: Floats


@dataclass(frozen=True)
class Base:
    """What every transform of a gallery shares."""

    enrolled: Enrolled
    whitening: Whitening
    fitted: FittedFeatures
    prototypes: Prototypes
    unknown_below: float


def fit(enrolled: Enrolled, options: Options, recipe: Recipe | None = None) -> Fit:
    """Fit a gallery.

    Raises `GalleryError` where there are too few classes for the options.
    """
    check_classes(len(enrolled.classes), options)
    return fit_transform(fit_base(enrolled, recipe or Recipe()), options)


def fit_base(enrolled: Enrolled, recipe: Recipe) -> Base:
    """Fit whitening, prototypes, and the threshold for "unknown"."""
    check_enough(len(enrolled.classes))
    whitening = fit_whitening(enrolled.raw, enrolled.labels, recipe.dimensions, recipe.regularisation)
    features = whiten(enrolled.raw, whitening)
    means = normalised(class_means(features.astype(np.float64), enrolled.labels).astype(np.float32))
    return Base(
        enrolled=enrolled,
        whitening=whitening,
        fitted=FittedFeatures(features, enrolled.labels, means),
        prototypes=fit_prototypes(features, enrolled.labels, recipe.prototypes),
        unknown_below=fit_threshold(enrolled.raw, enrolled.labels, recipe),
    )


def fit_transform(base: Base, options: Options) -> Fit:
    """Fit the transform on top of what it shares with others; raises `GalleryError` as `fit` does."""
    enrolled = base.enrolled
    check_classes(len(enrolled.classes), options)
    return Fit(
        gallery=enrolled.gallery,
        names=enrolled.classes,
        infos=enrolled.encoded_infos(),
        extractor=enrolled.extractor,
        whitening=base.whitening,
        codes=Array.of(base.prototypes.codes, "i1"),
        scales=Array.of(base.prototypes.scales, "f4"),
        owners=Array.of(base.prototypes.owners, "u4"),
        unknown_below=base.unknown_below,
        transform=draft_transform(base.fitted, base.prototypes, options),
    )


def check_enough(classes: int) -> None:
    """Raise `GalleryError` where there is nothing to tell apart."""
    if classes < 2:
        raise GalleryError(f"the gallery has {classes} class; recognition needs two at least: enrol more")


def check_classes(classes: int, options: Options) -> None:
    """Raise `GalleryError` unless the gallery has enough classes."""
    check_enough(classes)
    if isinstance(options, CellsOptions) and classes < 2 * options.classes_per_group:
        raise GalleryError(
            f"{classes} classes do not make two groups of {options.classes_per_group}: enrol more classes, "
            f"or choose at most {classes // 2} classes a group"
        )
    if isinstance(options, VectorOptions) and options.candidates > classes:
        raise UsageError(f"{options.candidates} candidates of {classes} classes: choose fewer candidates")


def draft_transform(fitted: FittedFeatures, prototypes: Prototypes, options: Options) -> CellsDraft | VectorDraft:
    """The part of the fit that the transform needs."""
    if isinstance(options, CellsOptions):
        return _draft_cells(fitted, options)
    if options.kind == "identity":
        empty = np.zeros((fitted.features.shape[1], 0))
        return VectorDraft(kind="identity", basis=Array.of(empty, "f2"), candidates=options.candidates)
    basis = principal_basis(prototypes.features, options.dimensions)
    return VectorDraft(kind="projection", basis=Array.of(basis, "f2"), candidates=options.candidates)


def _draft_cells(fitted: FittedFeatures, options: CellsOptions) -> CellsDraft:
    groups = balanced_clusters(fitted.means, len(fitted.means) // options.classes_per_group)
    make = class_anchors if options.anchors == "class" else cell_anchors
    anchors, routes = make(fitted.features, fitted.labels, groups, options.anchors_each)
    return CellsDraft(
        groups=Array.of(groups, "u4"),
        anchors=Array.of(anchors, "f2"),
        routes=Array.of(routes, "u4"),
        over_ask=options.over_ask,
    )


def principal_basis(vectors: Floats, dimensions: int) -> Floats:
    """Orthonormal basis (d, m) of the subspace in which vectors (n, d) vary most."""
    _, _, directions = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    basis: Floats = directions[:dimensions].T
    return basis
