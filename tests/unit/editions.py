"""Later editions of a synthetic shop: its classes in groups of the test's choice, some of them new or gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enfpire.server.memory_gallery import MemoryLookup
from enfpire.server.version import GalleryVersion
from enfpire.wire.arrays import Array, normalised
from enfpire.wire.bundle import Cells, Serving, SignedBundle, member_of, serving_of, sign_bundle
from enfpire.wire.candidates import CandidateSet, decode_set, encode_set, quantise
from tests.unit.local_exchange import LocalExchange
from tests.unit.synthetic import Shop

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))  # the shop's own

Groups = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Edition:
    """A bundle and what answers under it."""

    signed: SignedBundle
    lookup: MemoryLookup

    @property
    def serving(self) -> Serving:
        return serving_of(self.signed.bundle)

    def served_by(self, exchange: LocalExchange) -> None:
        """Let the exchange answer under this edition alone."""
        exchange.bundles = {self.signed.digest: self.serving}
        exchange.lookup = self.lookup


def groups_of(base: Shop) -> list[list[int]]:
    """The class numbers of each of the shop's groups."""
    return [np.flatnonzero(base.groups == group).tolist() for group in range(int(base.groups.max()) + 1)]


def edition(base: Shop, groups: Groups, *, rolled: int = 0) -> Edition:
    """The shop with these groups; a class that it does not have is new.

    Anchors are the classes' prototypes; `rolled` gives each of them to the class so many further, so that photos are
    routed elsewhere.
    """
    version = _with_classes(base.version, 1 + max(max(group) for group in groups))
    version = replace(version, members=tuple(np.sort(group) for group in groups))
    own = np.concatenate([np.asarray(group) for group in groups])
    group_of = np.full(version.classes, -1)
    group_of[own] = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    used = group_of[version.owners] >= 0
    names = [decode_set(card).names[0] for card in version.cards]
    lookup = MemoryLookup(version)
    cells = Cells(
        anchors=Array.of(np.roll(version.vectors[used], rolled, axis=0), "f4"),
        routes=Array.of(group_of[version.owners][used], "u4"),
        classes=Array.of(np.array([len(group) for group in groups]), "u4"),
        members=b"".join(one for group in groups for one in sorted(member_of(names[number]) for number in group)),
        digests=b"".join(one.digest for one in lookup.by_group(range(len(groups)))),
    )
    bundle = base.signed.bundle.model_copy(update={"transform": cells, "classes": len(own)})
    return Edition(sign_bundle(type(bundle).model_validate(dict(bundle)), KEY), lookup)


def _with_classes(version: GalleryVersion, classes: int) -> GalleryVersion:
    """The version with new classes, of one random prototype each."""
    extra = classes - version.classes
    if extra <= 0:
        return version
    vectors = normalised(np.random.default_rng(5).standard_normal((extra, version.vectors.shape[1])).astype(np.float32))
    codes, scales = quantise(vectors)
    cards = tuple(
        encode_set(
            CandidateSet(
                names=(f"new class {number}",),
                infos=(b"null",),
                counts=Array.of(np.array([1]), "u1"),
                codes=Array.of(codes[[number]], "i1"),
                scales=Array.of(scales[[number]], "f4"),
            )
        )
        for number in range(extra)
    )
    owners = np.concatenate([version.owners, np.arange(version.classes, classes)])
    return replace(
        version, cards=version.cards + cards, vectors=np.concatenate([version.vectors, vectors]), owners=owners
    )
