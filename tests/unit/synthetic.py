"""Synthetic photos: families of look-alike classes, small enough to fit a gallery in a blink.

S(C, D, w): a class has the mean mu_c = 0.9 s_j(c) + 0.6 e_c, where s_j and e_c are N(0, I_D) and j(c) is uniform over
C/50 families; a photo is normalise(mu_c + 0.75 w e), e ~ N(0, I_D).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enfpire.audit.labelled import Labelled
from enfpire.audit.subject import subject_of
from enfpire.client.features import whiten
from enfpire.curation.cells import CellsDraft, CellsOptions
from enfpire.curation.entries import Enrolled
from enfpire.curation.fit import Fit, Options, fit
from enfpire.curation.held_out import Recipe
from enfpire.curation.one_thread import one_thread
from enfpire.curation.publish import draft_version
from enfpire.server.memory_gallery import MemoryLookup
from enfpire.server.version import GalleryVersion
from enfpire.wire.arrays import Floats, Indices, normalised
from enfpire.wire.bundle import Extractor, Serving, SignedBundle, serving_of

RECIPE = Recipe(dimensions=24, prototypes=2)
CELLS = CellsOptions(classes_per_group=12)


@dataclass(frozen=True)
class Photos:
    """Raw features (n, D) and labels (n,)."""

    raw: Floats
    labels: Indices


def means(classes: int, dimensions: int, seed: int = 0) -> Floats:
    """Class means, shape (C, D)."""
    random = np.random.default_rng(seed)
    families = max(classes // 50, 1)
    shared = random.standard_normal((families, dimensions))[random.integers(families, size=classes)]
    return (0.9 * shared + 0.6 * random.standard_normal((classes, dimensions))).astype(np.float32)


def photos(centres: Floats, each: int, spread: float = 0.5, seed: int = 1) -> Photos:
    """`each` photos of every class whose mean is given."""
    labels = np.repeat(np.arange(len(centres)), each)
    noise = np.random.default_rng(seed).standard_normal((len(labels), centres.shape[1]))
    return Photos(normalised((centres[labels] + 0.75 * spread * noise).astype(np.float32)), labels)


def enrolled(taken: Photos, gallery: str = "shop") -> Enrolled:
    """Photos as the operator's workspace gives them to a fit."""
    classes = int(taken.labels.max()) + 1
    return Enrolled(
        gallery=gallery,
        raw=taken.raw,
        labels=taken.labels,
        classes=tuple(f"class {number:03}" for number in range(classes)),
        infos=tuple({"title": f"Title {number}"} for number in range(classes)),
        extractor=Extractor(name="synthetic", weights=bytes(32), dimensions=taken.raw.shape[1]),
    )


@dataclass(frozen=True)
class Shop:
    """A gallery as it is published, from memory; features (n, d) and labels (n,) are of photos not fitted on."""

    fit: Fit
    version: GalleryVersion
    signed: SignedBundle
    features: Floats
    labels: Indices
    largest_set: int = 0

    @property
    def serving(self) -> Serving:
        return serving_of(self.signed.bundle, self.largest_set)

    @property
    def lookup(self) -> MemoryLookup:
        return MemoryLookup(self.version, self.serving.candidates)

    @property
    def groups(self) -> Indices:
        """Group of each class, shape (C,)."""
        assert isinstance(self.fit.transform, CellsDraft)
        return self.fit.transform.groups.values.astype(np.intp)


@lru_cache
def shop(options: Options = CELLS) -> Shop:
    """60 classes, by default in five groups of 12."""
    fitted, asked = fitted_shop(options), photos(means(60, 32), 4, seed=2)
    features = whiten(asked.raw, fitted.whitening)
    taken = Labelled(features, asked.labels)
    found = subject_of(fitted, taken, taken, Ed25519PrivateKey.from_private_bytes(bytes(32)))
    return Shop(fitted, draft_version(fitted), found.signed, features, asked.labels, found.largest_set)


@lru_cache
def fitted_shop(options: Options) -> Fit:
    with one_thread():
        return fit(enrolled(photos(means(60, 32), 6, seed=1)), options, RECIPE)
