"""The bundle: the public parameters of one gallery version.

A signed bundle is a frame, an Ed25519 public key, a signature, and the body that is signed. The digest of the
body names the bundle everywhere. There is no code in a bundle and no pickle.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import AfterValidator, Field, model_validator

from enfpire.errors import BundleError, SignatureError, TooLargeError, WireError
from enfpire.wire.arrays import Array, Frozen
from enfpire.wire.candidates import digest_of
from enfpire.wire.codec import HEADER_BYTES, MAGIC, MIB, VERSION, check_frame, encode, parse
from enfpire.wire.query import Name

BUNDLE_CAP = 1024 * MIB
KEY_BYTES = 32
SIGNATURE_BYTES = 64
DIGEST_BYTES = 32
MEMBER_BYTES = 8

FigureName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")]

_DOMAIN = b"enfpire bundle v1\0"


def member_of(name: str) -> bytes:
    """What a bundle says of a class: 8 bytes of the SHA-256 of its name."""
    return digest_of(b"enfpire class v1\0" + name.encode())[:MEMBER_BYTES]


class Extractor(Frozen):
    """Which network makes the raw feature: its name, the SHA-256 of its weights, its output dimensions."""

    name: Annotated[str, Field(max_length=100)]
    weights: Annotated[bytes, Field(min_length=32, max_length=32)]
    dimensions: Annotated[int, Field(ge=1, le=65_536)]


class Whitening(Frozen):
    """feature = normalise((normalise(raw) - mean) @ matrix); mean (D,), matrix (D, d)."""

    mean: Array
    matrix: Array

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        if len(self.mean.shape) != 1 or len(self.matrix.shape) != 2 or self.mean.shape[0] != self.matrix.shape[0]:
            raise ValueError("whitening is a mean (D,) and a matrix (D, d)")
        if not (self.mean.bounded and self.matrix.bounded):
            raise ValueError("whitening is finite, and moderate")
        return self


class Cells(Frozen):
    """Vector quantisation: only the number of the nearest anchor's group travels.

    anchors (a, m), float or int8 under one common scale, are compared with the first m of a feature's d
    coordinates; routes (a,) uint32, the group of each anchor; classes (G,) uint32, how many classes of its own each
    group has; members, 8 bytes a class (`member_of`), group after group, ascending within each: whoever has two
    bundles sees whether a class moved; digests, 32 bytes a group, of the candidate sets. A client that remembers
    may answer a photo from a set that it holds where that group's score is within `slack` of the best one.
    `priors` (G,) float32 are the largest class priors where the operator declares some: a claim, not a proof.
    """

    kind: Literal["cells"] = "cells"
    anchors: Array
    routes: Array
    classes: Array
    members: bytes = Field(repr=False)
    digests: bytes = Field(repr=False)
    slack: Annotated[float, Field(ge=0, le=100)] = 0.0
    priors: Array | None = None

    @model_validator(mode="after")
    def _tables_agree(self) -> Self:
        groups = self.classes.shape[0]
        if len(self.anchors.shape) != 2 or self.routes.dtype != "u4" or self.classes.dtype != "u4":
            raise ValueError("anchors, routes or classes have the wrong type")
        if self.routes.shape != self.anchors.shape[:1] or len(self.classes.shape) != 1 or groups < 1:
            raise ValueError("every anchor has a route, and there is a group at least")
        if len(self.digests) != groups * DIGEST_BYTES:
            raise ValueError("every group has the digest of its candidate set")
        if not np.array_equal(np.unique(self.routes.values), np.arange(groups)):
            raise ValueError("routes name every group and no other")
        if (self.classes.values == 0).any():
            raise ValueError("every group has a class of its own")
        if self.anchors.dtype in ("u1", "u4") or not self.anchors.bounded:
            raise ValueError("anchors are finite and moderate, and may be negative")
        return self

    @model_validator(mode="after")
    def _members_agree(self) -> Self:
        classes = int(self.classes.values.sum(dtype=np.int64))
        if len(self.members) != classes * MEMBER_BYTES:
            raise ValueError("every class is a member of its group")
        if len(np.unique(np.frombuffer(self.members, ">u8"))) != classes:
            raise ValueError("no class is a member of two groups")
        return self

    @model_validator(mode="after")
    def _priors_are_probabilities(self) -> Self:
        if self.priors is None:
            return self
        values = self.priors.values
        if self.priors.dtype != "f4" or self.priors.shape != self.classes.shape or not np.isfinite(values).all():
            raise ValueError("priors are a float a group")
        if (values < 0).any() or values.sum(dtype=np.float64) > 1 + 1e-3 or (values[1:] > values[:-1]).any():
            raise ValueError("priors are probabilities, largest first")
        return self

    @property
    def groups(self) -> int:
        """G, the number of values that a message takes."""
        return self.classes.shape[0]

    def digest(self, group: int) -> bytes:
        """Digest of one group's candidate set."""
        return self.digests[group * DIGEST_BYTES : (group + 1) * DIGEST_BYTES]

    def members_of(self, group: int) -> frozenset[bytes]:
        """What `member_of` says of each of the group's own classes."""
        ends = np.cumsum(self.classes.values, dtype=np.int64) * MEMBER_BYTES
        start, end = int(ends[group]) - int(self.classes.values[group]) * MEMBER_BYTES, int(ends[group])
        return frozenset(self.members[at : at + MEMBER_BYTES] for at in range(start, end, MEMBER_BYTES))


def _is_a_matrix(basis: Array) -> Array:
    if len(basis.shape) != 2 or basis.shape[1] < 1 or not basis.bounded:
        raise ValueError("a basis is a finite, moderate matrix (d, m)")
    return basis


Basis = Annotated[Array, AfterValidator(_is_a_matrix)]


class Projection(Frozen):
    """The feature's coordinates in a subspace travel; the server returns the `candidates` nearest classes.

    basis (d, m), orthonormal columns.
    """

    kind: Literal["projection"] = "projection"
    basis: Basis
    candidates: Annotated[int, Field(ge=1, le=4096)]


class Noise(Frozen):
    """The feature's coordinates in a subspace travel with noise on them: d_X-privacy.

    basis (d, m), orthonormal columns; the noise has a uniform direction and a radius from Gamma(m, 1 / epsilon)
    (Chatzikokolakis et al., "Broadening the scope of differential privacy using metrics", PETS 2013). Larger
    epsilon is less noise.
    """

    kind: Literal["noise"] = "noise"
    basis: Basis
    epsilon: Annotated[float, Field(ge=1e-6, le=1e6)]
    candidates: Annotated[int, Field(ge=1, le=4096)]


class Sign(Frozen):
    """A binary code travels: the signs of the feature's products with basis (d, m), m bits; 0 counts as negative."""

    kind: Literal["sign"] = "sign"
    basis: Basis
    candidates: Annotated[int, Field(ge=1, le=4096)]


class Identity(Frozen):
    """The feature itself travels: no protection at all, for comparisons only."""

    kind: Literal["identity"] = "identity"
    candidates: Annotated[int, Field(ge=1, le=4096)]


TransformSpec = Annotated[Cells | Projection | Noise | Sign | Identity, Field(discriminator="kind")]


class Bundle(Frozen):
    """What a client needs to protect and to resolve.

    `version` names the gallery version; `classes` is how many classes it has; a photo whose score
    (`enfpire.client.unknown`) is below `unknown_below` shows none of them. `figures` are what the policy reached when
    it was fitted.
    """

    gallery: Name
    version: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    classes: Annotated[int, Field(ge=1, le=2**31)]
    extractor: Extractor
    whitening: Whitening
    transform: TransformSpec
    unknown_below: Annotated[float, Field(ge=-1, le=1)]
    figures: dict[FigureName, Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _dimensions_agree(self) -> Self:
        if self.whitening.matrix.shape[0] != self.extractor.dimensions:
            raise ValueError("whitening does not fit the extractor")
        match self.transform:
            case Cells(anchors=anchors):
                fits = anchors.shape[1] <= self.dimensions
            case Projection(basis=basis) | Noise(basis=basis) | Sign(basis=basis):
                fits = basis.shape[0] == self.dimensions
            case Identity():
                fits = True
        if not fits:
            raise ValueError("transform does not fit the features")
        if isinstance(self.transform, Cells) and int(self.transform.classes.values.sum()) != self.classes:
            raise ValueError("the groups' classes do not add up")
        return self

    @property
    def dimensions(self) -> int:
        """d, the dimensions of a feature."""
        return self.whitening.matrix.shape[1]


class SignedBundle(Frozen):
    """A bundle with its bytes, its digest, and the operator's public key that signed it."""

    bundle: Bundle
    digest: bytes
    key: bytes
    data: bytes = Field(repr=False)


class Serving(Frozen):
    """What a candidate worker knows of a bundle; the operator's own, so that no worker parses large bundles.

    `dimensions` is the length of the vectors or codes that travel (0 where group numbers do). No candidate set has
    more bytes than `largest_set`: replies are padded as if all had as many (0: they are not padded).
    """

    gallery: Name
    version: str
    kind: Literal["cells", "projection", "noise", "sign", "identity"]
    groups: int = 0
    dimensions: int = 0
    candidates: int = 0
    largest_set: Annotated[int, Field(ge=0)] = 0


def serving_of(bundle: Bundle, largest_set: int = 0) -> Serving:
    """The serving record of a bundle whose largest candidate set has so many bytes."""
    base = Serving(gallery=bundle.gallery, version=bundle.version, kind=bundle.transform.kind, largest_set=largest_set)
    match bundle.transform:
        case Cells() as cells:
            return base.model_copy(update={"groups": cells.groups})
        case Projection() | Noise() | Sign() as spec:
            basis, candidates = spec.basis, spec.candidates
            return base.model_copy(update={"dimensions": basis.shape[1], "candidates": candidates})
        case Identity(candidates=candidates):
            return base.model_copy(update={"dimensions": bundle.dimensions, "candidates": candidates})


def sign_bundle(bundle: Bundle, key: Ed25519PrivateKey) -> SignedBundle:
    """Sign a bundle with the operator's key."""
    body = encode(bundle, b"B")
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    signature = key.sign(_DOMAIN + body)
    data = MAGIC + b"S" + bytes([VERSION]) + public + signature + body
    return SignedBundle(bundle=bundle, digest=digest_of(body), key=public, data=data)


def open_bundle(data: bytes, pinned: bytes | None = None) -> SignedBundle:
    """Check and parse a signed bundle; `pinned` is the only public key (32 bytes) to accept, where given.

    Raises `SignatureError` for a bundle of another key or a changed one, `BundleError` for damaged bytes.
    """
    if len(data) > BUNDLE_CAP:
        raise TooLargeError(f"a bundle of {len(data)} bytes is over the cap of {BUNDLE_CAP}")
    head = HEADER_BYTES + KEY_BYTES + SIGNATURE_BYTES
    try:
        check_frame(data, b"S", "bundle")
    except WireError as error:
        raise BundleError(f"{error}: fetch the bundle again") from None
    key, signature, body = (
        data[HEADER_BYTES : HEADER_BYTES + KEY_BYTES],
        data[head - SIGNATURE_BYTES : head],
        data[head:],
    )
    if pinned is not None and key != pinned:
        raise SignatureError(
            f"this bundle is signed by the key {key.hex()[:16]}..., the pinned one is {pinned.hex()[:16]}...: "
            "do not use it before the operator has confirmed a new key to you"
        )
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, _DOMAIN + body)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("this bundle was changed after it was signed: fetch it again") from error
    try:
        check_frame(body, b"B", "bundle")
        bundle = parse(body[HEADER_BYTES:], Bundle)
    except WireError as error:
        raise BundleError(f"{error}: fetch the bundle again") from error
    return SignedBundle(bundle=bundle, digest=digest_of(body), key=key, data=data)
