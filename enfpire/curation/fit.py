"""Fit: enrolled photos -> everything of a gallery version that depends on them.

A fit is a draft: `publish` turns it into a Milvus collection and a signed bundle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from enfpire.client.features import whiten
from enfpire.curation.cells import CellsDraft, CellsOptions, draft_cells
from enfpire.curation.choosing import Grouping, choose_groups, keep_groups
from enfpire.curation.codes import fit_codes
from enfpire.curation.declared import NOTHING, Declared
from enfpire.curation.entries import Enrolled
from enfpire.curation.held_out import Recipe, Split, fit_threshold, splits
from enfpire.curation.prototypes import Prototypes, fit_prototypes
from enfpire.curation.whitening import class_means, fit_whitening
from enfpire.errors import GalleryError, UsageError
from enfpire.wire.arrays import Array, Floats, Frozen, Indices, normalised
from enfpire.wire.bundle import Extractor, Whitening
from enfpire.wire.codec import MIB, decode, encode

FIT_CAP = 4096 * MIB


class VectorOptions(Frozen):
    """`projection` to `dimensions`, `noise` on it, `sign` of as many bits, or `identity`.

    The server returns the `candidates` nearest classes. `epsilon` is of the noise, and needed for it.
    """

    kind: Literal["projection", "noise", "sign", "identity"]
    dimensions: Annotated[int, Field(ge=1, le=4096)] = 8
    candidates: Annotated[int, Field(ge=1, le=4096)] = 12
    epsilon: Annotated[float, Field(ge=1e-6, le=1e6)] | None = None

    @model_validator(mode="after")
    def _noise_has_epsilon(self) -> Self:
        if (self.kind == "noise") != (self.epsilon is not None):
            raise ValueError("epsilon goes with noise")
        return self


Options = Annotated[CellsOptions | VectorOptions, Field(discriminator="kind")]


class VectorDraft(Frozen):
    """basis (d, m) float16; the identity's has no columns. `epsilon` is 0 where there is no noise."""

    kind: Literal["projection", "noise", "sign", "identity"]
    basis: Array
    candidates: int
    epsilon: float = 0.0


class Fit(Frozen):
    """What was fitted, under which options; `names` and `infos` (JSON) have a value a class.

    `figures` are what its policy reached.
    """

    gallery: str
    names: tuple[str, ...]
    infos: tuple[bytes, ...]
    extractor: Extractor
    whitening: Whitening
    codes: Array
    scales: Array
    owners: Array
    unknown_below: float
    options: Options
    transform: Annotated[CellsDraft | VectorDraft, Field(discriminator="kind")]
    figures: dict[str, float] = Field(default_factory=dict)

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
    """What every transform of a gallery shares; `held_out` are its photos, some left out in turn."""

    enrolled: Enrolled
    whitening: Whitening
    fitted: FittedFeatures
    held_out: list[Split]
    prototypes: Prototypes
    unknown_below: float


def fit(
    enrolled: Enrolled,
    options: Options,
    recipe: Recipe | None = None,
    declared: Declared = NOTHING,
    published: Fit | None = None,
) -> Fit:
    """Fit a gallery.

    Where a fit of it is `published`, its groups stay: classes that were added join them, and nobody moves. Raises
    `GalleryError` where there are too few classes for the options, `UsageError` where the published groups do not
    fit them.
    """
    check_classes(len(enrolled.classes), options)
    return fit_transform(fit_base(enrolled, recipe or Recipe()), options, declared, published)


def fit_base(enrolled: Enrolled, recipe: Recipe) -> Base:
    """Fit whitening, prototypes, and the threshold for "unknown"."""
    check_enough(len(enrolled.classes))
    whitening = fit_whitening(enrolled.raw, enrolled.labels, recipe.dimensions, recipe.regularisation)
    features = whiten(enrolled.raw, whitening)
    means = normalised(class_means(features.astype(np.float64), enrolled.labels).astype(np.float32))
    held_out = splits(enrolled.raw, enrolled.labels, recipe)
    return Base(
        enrolled=enrolled,
        whitening=whitening,
        fitted=FittedFeatures(features, enrolled.labels, means),
        held_out=held_out,
        prototypes=fit_prototypes(features, enrolled.labels, recipe.prototypes),
        unknown_below=fit_threshold(held_out, recipe),
    )


def fit_transform(base: Base, options: Options, declared: Declared = NOTHING, published: Fit | None = None) -> Fit:
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
        options=options,
        transform=_draft(base, options, declared, published),
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


def _draft(base: Base, options: Options, declared: Declared, published: Fit | None) -> CellsDraft | VectorDraft:
    """The part of the fit that the transform needs."""
    fitted = base.fitted
    if isinstance(options, CellsOptions):
        groups = choose_or_keep(base, options, declared, published)
        return draft_cells(fitted.features, fitted.labels, base.held_out, groups, options, declared.priors)
    return draft_vectors(fitted, base.prototypes, options)


def choose_or_keep(base: Base, options: CellsOptions, declared: Declared, published: Fit | None) -> Grouping:
    """The published groups, which new classes join; new groups where none are published."""
    means, names = base.fitted.means, base.enrolled.classes
    if published is None or not isinstance(published.transform, CellsDraft):
        return choose_groups(means, base.held_out, options, declared)
    draft, before = published.transform, published.options
    if not isinstance(before, CellsOptions) or before.classes_per_group != options.classes_per_group:
        raise UsageError(
            "the published groups were fitted for another number of classes a group: keep that number, or "
            "draw new groups with --regroup, which clients must consent to"
        )
    group_of = dict(zip(published.names, draft.groups.values.tolist(), strict=True))
    groups, cells = keep_groups(means, np.array([group_of.get(name, -1) for name in names]))
    if np.bincount(groups).min() < options.classes_per_group:
        raise UsageError(
            f"with the classes that were removed, a group has fewer than {options.classes_per_group}: enrol more, or "
            "draw new groups with --regroup, which clients must consent to"
        )
    return groups, cells


def draft_vectors(fitted: FittedFeatures, prototypes: Prototypes, options: VectorOptions) -> VectorDraft:
    """The draft of a vector transform."""
    return VectorDraft(
        kind=options.kind,
        basis=Array.of(_basis(fitted, prototypes, options), "f2"),
        candidates=options.candidates,
        epsilon=options.epsilon or 0.0,
    )


def _basis(fitted: FittedFeatures, prototypes: Prototypes, options: VectorOptions) -> Floats:
    if options.kind == "identity":
        return np.zeros((fitted.features.shape[1], 0), np.float32)
    basis = principal_basis(prototypes.features, options.dimensions)
    return fit_codes(fitted.features, basis) if options.kind == "sign" else basis


def principal_basis(vectors: Floats, dimensions: int) -> Floats:
    """Orthonormal basis (d, m) of the subspace in which vectors (n, d) vary most."""
    _, _, directions = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    basis: Floats = directions[:dimensions].T
    return basis
