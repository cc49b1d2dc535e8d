"""The three pure functions, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enfpire.client.protocol import protect, resolve
from enfpire.errors import CandidateSetError, FeatureError, WireError
from enfpire.server.answer import EncodedSet, answer
from enfpire.wire.arrays import Array, Floats, normalised
from enfpire.wire.bundle import (
    Bundle,
    Cells,
    Extractor,
    Identity,
    Projection,
    SignedBundle,
    TransformSpec,
    Whitening,
    member_of,
    serving_of,
    sign_bundle,
)
from enfpire.wire.candidates import CandidateSet, digest_of, encode_info, encode_set, quantise
from enfpire.wire.codec import encode
from enfpire.wire.query import MAX_ROWS, Groups, Query
from enfpire.wire.reply import Reply, SentSet

CLASSES, GROUPS, DIMENSIONS = 24, 6, 16
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


@dataclass
class World:
    """A synthetic gallery: one prototype a class, class c in group c % GROUPS, one anchor a class."""

    prototypes: Floats
    sets: list[bytes]

    def by_group(self, groups: Sequence[int]) -> list[EncodedSet]:
        return [EncodedSet.of(self.sets[group]) for group in groups]

    def around(self, vectors: Floats) -> list[EncodedSet]:
        """The 8 classes nearest to each vector, in the space that its dimensions name."""
        searched = normalised(self.prototypes[:, : vectors.shape[1]])
        nearest = np.argsort(-(vectors @ searched.T), axis=1)[:, :8]
        return [EncodedSet.of(candidates_of(self.prototypes, sorted(row))) for row in nearest.tolist()]

    def signed(self, transform: TransformSpec, unknown_below: float = 0.0) -> SignedBundle:
        whitening = Whitening(mean=Array.of(np.zeros(DIMENSIONS), "f4"), matrix=Array.of(np.eye(DIMENSIONS), "f4"))
        extractor = Extractor(name="none", weights=bytes(32), dimensions=DIMENSIONS)
        return sign_bundle(
            Bundle(
                gallery="g",
                version="0" * 12,
                classes=CLASSES,
                extractor=extractor,
                whitening=whitening,
                transform=transform,
                unknown_below=unknown_below,
            ),
            KEY,
        )

    def cells(self) -> SignedBundle:
        return self.signed(
            Cells(
                anchors=Array.of(self.prototypes, "f2"),
                routes=Array.of(np.arange(CLASSES) % GROUPS, "u4"),
                classes=Array.of(np.full(GROUPS, CLASSES // GROUPS), "u4"),
                members=b"".join(member for group in range(GROUPS) for member in promised(group)),
                digests=b"".join(digest_of(body) for body in self.sets),
            )
        )

    def photos(self, seed: int, count: int, classes: Sequence[int] | None = None) -> tuple[Floats, np.ndarray]:
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, CLASSES, count) if classes is None else np.array(classes)
        noise = 0.1 * rng.standard_normal((len(labels), DIMENSIONS)).astype(np.float32)
        return normalised(self.prototypes[labels] + noise), labels


def promised(group: int) -> list[bytes]:
    """What the bundle says of the group's classes."""
    return sorted(member_of(f"class {number}") for number in range(group, CLASSES, GROUPS))


def candidates_of(prototypes: Floats, classes: Sequence[int]) -> bytes:
    codes, scales = quantise(prototypes[list(classes)])
    return encode_set(
        CandidateSet(
            names=tuple(f"class {number}" for number in classes),
            infos=tuple(encode_info({"number": number}) for number in classes),
            counts=Array.of(np.ones(len(classes)), "u1"),
            codes=Array.of(codes, "i1"),
            scales=Array.of(scales, "f4"),
        )
    )


@pytest.fixture(scope="module")
def world() -> World:
    rng = np.random.default_rng(7)
    prototypes = normalised(rng.standard_normal((CLASSES, DIMENSIONS)).astype(np.float32))
    return World(prototypes, [candidates_of(prototypes, range(group, CLASSES, GROUPS)) for group in range(GROUPS)])


def test_the_protocol(world: World) -> None:
    signed = world.cells()
    features, labels = world.photos(1, 200)
    pending, query = protect(features, signed)
    reply = answer(query, serving_of(signed.bundle), world)
    matches = resolve(pending, reply, signed)
    assert [match.name for match in matches] == [f"class {label}" for label in labels]
    assert [match.info for match in matches] == [{"number": label} for label in labels.tolist()]
    assert all(len(match.candidates) == 4 and match.name in match.candidates for match in matches)
    cosines = (features @ world.prototypes.T)[np.arange(200), labels]
    np.testing.assert_allclose([match.similarity for match in matches], cosines, atol=0.01)
    assert all(match.margin > 0 for match in matches)


@pytest.mark.parametrize(
    "transform",
    [Projection(basis=Array.of(np.eye(DIMENSIONS)[:, :8], "f2"), candidates=8), Identity(candidates=8)],
    ids=["projection", "identity"],
)
def test_the_protocol_with_vectors(world: World, transform: TransformSpec) -> None:
    signed = world.signed(transform)
    features, labels = world.photos(2, 100)
    pending, query = protect(features, signed)
    reply = answer(query, serving_of(signed.bundle), world)
    matches = resolve(pending, reply, signed)
    right = [match.name == f"class {label}" for match, label in zip(matches, labels, strict=True)]
    held = [f"class {label}" in match.candidates for match, label in zip(matches, labels, strict=True)]
    assert right == held
    assert np.mean(right) > 0.9
    order = np.random.default_rng(0).permutation(100)
    assert encode(protect(features[order], signed)[1], b"q") == encode(query, b"q")


def test_what_fits_no_candidate_is_unknown(world: World) -> None:
    signed = world.cells()
    strangers = normalised(np.random.default_rng(3).standard_normal((50, DIMENSIONS)).astype(np.float32))
    pending, query = protect(strangers, signed)
    matches = resolve(pending, answer(query, serving_of(signed.bundle), world), signed)
    unknown = [match for match in matches if match.name is None]
    assert unknown
    # as long as its leading coordinates, which are all it has, a unit vector needs a similarity of a half
    assert all(match.info is None and match.similarity < 0.5 + 1e-5 for match in unknown)
    assert all(match.similarity >= 0.5 - 1e-5 for match in matches if match.name is not None)


# What the query does not tell


def test_photos_of_the_same_group_make_the_same_query(world: World) -> None:
    signed = world.cells()
    classes = np.random.default_rng(4).integers(0, CLASSES, 64)
    swapped = (classes + GROUPS * np.random.default_rng(5).integers(1, 4, 64)) % CLASSES
    assert (swapped != classes).all()
    first, _ = world.photos(6, 64, classes.tolist())
    second, _ = world.photos(7, 64, swapped.tolist())
    one, other = protect(first, signed)[1], protect(second, signed)[1]
    assert encode(one, b"q") == encode(other, b"q")


def test_neither_order_nor_counts_travel(world: World) -> None:
    signed = world.cells()
    features, _ = world.photos(8, 40)
    query = encode(protect(features, signed)[1], b"q")
    assert encode(protect(features[::-1], signed)[1], b"q") == query
    assert encode(protect(np.concatenate([features, features[:9]]), signed)[1], b"q") == query


def test_rows_that_differ_in_the_sign_of_zero_alone_do_not_tell_their_order(world: World) -> None:
    """-0.0 sorts as 0.0 does and has other bytes."""
    signed = world.signed(Identity(candidates=8))
    rows = np.zeros((2, DIMENSIONS), np.float32)
    rows[:, 0], rows[1, 1] = 1, -0.0
    assert encode(protect(rows, signed)[1], b"q") == encode(protect(rows[::-1].copy(), signed)[1], b"q")


def test_the_query_is_all_public(world: World) -> None:
    """A query is the gallery, the bundle and group numbers: there is no place for a feature in it."""
    features, labels = world.photos(9, 30)
    signed = world.cells()
    pending, query = protect(features, signed)
    assert isinstance(query.protected, Groups)
    assert query.protected.numbers.values.tolist() == sorted(set((labels % GROUPS).tolist()))
    assert pending.groups is not None
    assert pending.groups.tolist() == (labels % GROUPS).tolist()
    assert "features" not in repr(pending)
    assert repr(query.protected.numbers.data) not in repr(query)


# What is refused


@pytest.mark.parametrize("shape", [(3, DIMENSIONS + 1), (DIMENSIONS,), (0, DIMENSIONS), (2, 2, DIMENSIONS)])
def test_features_of_another_shape_are_refused(world: World, shape: tuple[int, ...]) -> None:
    for signed in (world.cells(), world.signed(Identity(candidates=8))):
        with pytest.raises(FeatureError):
            protect(np.ones(shape, np.float32), signed)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused(world: World, value: float) -> None:
    features, _ = world.photos(10, 3)
    features[1, 2] = value
    with pytest.raises(FeatureError, match="NaN or infinity"):
        protect(features, world.cells())


def test_features_that_do_not_fit_the_wire_are_refused(world: World) -> None:
    signed = world.signed(Identity(candidates=8))
    with pytest.raises(FeatureError, match="normalise"):
        protect(np.full((1, DIMENSIONS), 1e6, np.float32), signed)
    with pytest.raises(FeatureError, match=f"at most {MAX_ROWS}"):
        protect(np.ones((MAX_ROWS + 1, DIMENSIONS), np.float32), signed)


def changed_sets(reply: Reply, place: int, body: bytes | None, digest: bytes | None = None) -> Reply:
    sent = SentSet(digest=digest or reply.sets[place].digest, body=body)
    return Reply(sets=(*reply.sets[:place], sent, *reply.sets[place + 1 :]), index=reply.index)


def test_a_set_that_the_bundle_does_not_name_is_refused(world: World) -> None:
    signed = world.cells()
    features, _ = world.photos(11, 20)
    pending, query = protect(features, signed)
    reply = answer(query, serving_of(signed.bundle), world)
    made_for_me = candidates_of(world.prototypes, [1, 2, 3, 4])
    with pytest.raises(CandidateSetError, match="made for this client"):
        resolve(pending, changed_sets(reply, 0, made_for_me, digest_of(made_for_me)), signed)
    with pytest.raises(CandidateSetError, match="does not fit its digest"):
        resolve(pending, changed_sets(reply, 0, made_for_me), signed)
    with pytest.raises(CandidateSetError, match="missing"):
        resolve(pending, changed_sets(reply, 0, None), signed)
    turned = Reply(sets=reply.sets, index=Array.of(np.roll(reply.index.values, 1), "u4"))
    with pytest.raises(CandidateSetError, match="another candidate set"):
        resolve(pending, turned, signed)
    short = Reply(sets=reply.sets, index=Array.of(reply.index.values[:-1], "u4"))
    with pytest.raises(CandidateSetError, match="fewer rows"):
        resolve(pending, short, signed)


def test_held_sets_do_not_travel_and_are_checked(world: World) -> None:
    signed = world.cells()
    features, labels = world.photos(12, 50)
    pending, query = protect(features, signed)
    held = {digest_of(body): body for body in world.sets[:3]}
    asked = Query(
        gallery=query.gallery, bundle=query.bundle, protected=query.protected, held=(*held, digest_of(b"other"))
    )
    reply = answer(asked, serving_of(signed.bundle), world)
    assert {sent.digest for sent in reply.sets if sent.body is None} == held.keys()
    assert [match.name for match in resolve(pending, reply, signed, held)] == [f"class {label}" for label in labels]
    with pytest.raises(CandidateSetError, match="missing"):
        resolve(pending, reply, signed)
    with pytest.raises(CandidateSetError, match="does not fit"):
        resolve(pending, reply, signed, dict.fromkeys(held, world.sets[4]))


def test_the_server_refuses_what_does_not_fit_the_bundle(world: World) -> None:
    cells, identity = world.cells(), world.signed(Identity(candidates=8))
    features, _ = world.photos(13, 5)
    of_cells, of_identity = protect(features, cells)[1], protect(features, identity)[1]
    with pytest.raises(WireError):
        answer(of_identity, serving_of(cells.bundle), world)
    with pytest.raises(WireError):
        answer(of_cells, serving_of(identity.bundle), world)
    beyond = Query(gallery="g", bundle=cells.digest, protected=Groups(numbers=Array.of(np.array([GROUPS]), "u4")))
    with pytest.raises(WireError):
        answer(beyond, serving_of(cells.bundle), world)


def test_a_set_of_other_dimensions_or_none_is_refused(world: World) -> None:
    signed = world.signed(Identity(candidates=8))
    features, _ = world.photos(14, 1)
    pending, _ = protect(features, signed)
    for body in (candidates_of(world.prototypes[:, :4], [0, 1]), candidates_of(world.prototypes, [])):
        reply = Reply(sets=(SentSet(digest=digest_of(body), body=body),), index=Array.of(np.zeros(1), "u4"))
        with pytest.raises(CandidateSetError, match="empty or has other dimensions"):
            resolve(pending, reply, signed)


@pytest.mark.parametrize(
    "classes", [[0, 6, 12], [0, 6, 12, 12], [0, 6, 12, 13], [1, 7, 13, 19], [0, 6, 12, 1, 2, 3, 4, 5]]
)
def test_a_set_that_lacks_a_promised_class_is_refused(world: World, classes: list[int]) -> None:
    """Group 0 has the classes 0, 6, 12 and 18; strangers in the place of one do not make up for it."""
    liar = World(world.prototypes, [candidates_of(world.prototypes, classes), *world.sets[1:]])
    signed = liar.cells()
    pending, query = protect(world.prototypes[:1], signed)
    reply = answer(query, serving_of(signed.bundle), liar)
    with pytest.raises(CandidateSetError, match="lacks classes that the bundle promises"):
        resolve(pending, reply, signed)


def test_a_set_may_hold_more_than_was_promised(world: World) -> None:
    generous = World(world.prototypes, [candidates_of(world.prototypes, [0, 1, 6, 12, 18]), *world.sets[1:]])
    signed = generous.cells()
    pending, query = protect(world.prototypes[:1], signed)
    matches = resolve(pending, answer(query, serving_of(signed.bundle), generous), signed)
    assert [match.name for match in matches] == ["class 0"]
