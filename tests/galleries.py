"""Small random gallery versions, with the ties that a float32 vector store decides as it likes."""

from __future__ import annotations

import hashlib

import numpy as np

from enfpire.server.version import GalleryVersion
from enfpire.wire.arrays import Array, Floats, Indices, normalised
from enfpire.wire.candidates import CandidateSet, dequantise, encode_info, encode_set, quantise


def random_version(
    seed: int, classes: int = 60, dimensions: int = 8, projected: int = 0, groups: int = 0, extra: int = 0
) -> GalleryVersion:
    """1 to 4 prototypes a class, some of them copies or near copies of another class's.

    With `projected` dimensions the searched vectors are projections; with `groups` there are members, and `extra`
    classes more in each group: those nearest to its mean.
    """
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(classes), rng.integers(1, 5, classes))
    features = with_ties(normalised(rng.normal(size=(len(owners), dimensions)).astype(np.float32)), rng)
    codes, scales = quantise(features)
    cards = tuple(card(number, codes[owners == number], scales[owners == number]) for number in range(classes))
    vectors = normalised(dequantise(codes, scales))
    if projected:
        basis, _ = np.linalg.qr(rng.normal(size=(dimensions, projected)))
        vectors = vectors @ basis.astype(np.float32)
    members = random_members(vectors, owners, groups, extra, rng) if groups else None
    name = hashlib.sha256(repr((seed, classes, dimensions, projected, groups, extra)).encode()).hexdigest()[:12]
    return GalleryVersion("shop", name, cards, vectors, owners, members)


def with_ties(vectors: Floats, rng: np.random.Generator) -> Floats:
    """A third of the rows become copies of other rows, a third near copies (a few float32 steps away)."""
    sources = rng.integers(0, len(vectors), len(vectors))
    kinds = rng.integers(0, 3, len(vectors))
    near = vectors[sources] * (1 + rng.integers(-3, 4, vectors.shape).astype(np.float32) * np.float32(2e-7))
    tied: Floats = np.where((kinds == 1)[:, None], vectors[sources], vectors)
    return np.where((kinds == 2)[:, None], near, tied)


def card(number: int, codes: np.ndarray, scales: Floats) -> bytes:
    """Card of one class, with an info record of its own."""
    return encode_set(
        CandidateSet(
            names=(f"class {number} é",),
            infos=(encode_info({"title": f"Title {number}", "text": "x" * (number % 7)}),),
            counts=Array.of(np.array([len(codes)]), "u1"),
            codes=Array.of(codes, "i1"),
            scales=Array.of(scales, "f4"),
        )
    )


def random_members(
    vectors: Floats, owners: Indices, groups: int, extra: int, rng: np.random.Generator
) -> tuple[Indices, ...]:
    """Each class in one group, and the `extra` others nearest to the group's mean."""
    classes = int(owners[-1]) + 1
    group_of = rng.permutation(classes) % groups
    return tuple(own_and_nearest(vectors, owners, np.flatnonzero(group_of == group), extra) for group in range(groups))


def own_and_nearest(vectors: Floats, owners: Indices, own: Indices, extra: int) -> Indices:
    mean = vectors[np.isin(owners, own)].mean(axis=0)
    order = owners[np.argsort(-(vectors @ mean), kind="stable")]
    others = list(dict.fromkeys(number for number in order.tolist() if number not in own))[:extra]
    return np.sort(np.concatenate([own, np.array(others, np.intp)]))
