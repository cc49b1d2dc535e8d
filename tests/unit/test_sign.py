"""Binary codes: fitted, sent, looked up."""

from __future__ import annotations

import numpy as np
import pytest

from enfpire.client.features import whiten
from enfpire.client.protocol import protect, resolve
from enfpire.client.transforms import transform_of
from enfpire.client.transforms.vectors import SignTransform
from enfpire.curation.codes import fit_codes, nearest_rotation, signs
from enfpire.curation.fit import VectorDraft, VectorOptions, principal_basis
from enfpire.curation.publish import draft_version
from enfpire.errors import FeatureError, WireError
from enfpire.server.answer import answer
from enfpire.wire.arrays import Array, normalised
from enfpire.wire.bundle import Sign
from enfpire.wire.codec import encode
from enfpire.wire.query import MAX_ROWS, Bits, Query
from tests.unit.synthetic import means, photos, shop

OPTIONS = VectorOptions(kind="sign", dimensions=12, candidates=15)
SHOP = shop(OPTIONS)


def random_features(rows: int, dimensions: int, seed: int = 0) -> np.ndarray:
    return normalised(np.random.default_rng(seed).standard_normal((rows, dimensions)).astype(np.float32))


def test_a_basis_of_codes_is_a_rotation_of_the_directions() -> None:
    features = random_features(300, 10)
    directions = principal_basis(features, 6)
    basis = fit_codes(features, directions)
    assert basis.shape == (10, 6)
    assert basis.T @ basis == pytest.approx(np.eye(6), abs=1e-5)
    assert np.linalg.norm(directions.T @ basis) == pytest.approx(np.sqrt(6), rel=1e-5)  # the same subspace
    assert np.array_equal(fit_codes(features, directions), basis)


def test_learning_brings_features_closer_to_their_codes() -> None:
    def loss(basis: np.ndarray) -> float:
        projected = features @ basis
        return float(np.linalg.norm(signs(projected) - projected))

    features = whiten(photos(means(60, 32), 5, seed=1).raw, SHOP.fit.whitening)
    directions = principal_basis(features, 12)
    start = np.linalg.qr(np.random.default_rng(0).standard_normal((12, 12)))[0].astype(np.float32)
    assert loss(fit_codes(features, directions)) < min(loss(directions), loss(directions @ start)) - 0.1


def test_the_nearest_rotation_undoes_a_rotation() -> None:
    vectors = random_features(50, 5)
    turned, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))
    assert nearest_rotation(vectors, (vectors @ turned).astype(np.float32)) == pytest.approx(turned, abs=1e-4)


def test_zero_is_negative_on_both_sides() -> None:
    assert signs(np.array([[0.0, -0.0, 1e-30, -1e-30]], np.float32)).tolist() == [[-1, -1, 1, -1]]
    spec = Sign(basis=Array.of(np.eye(2), "f2"), candidates=1)
    bits, _ = SignTransform(spec).protect(np.array([[0.0, 1.0]], np.float32))
    assert bits.signs().tolist() == [[-1, 1]]


def test_the_fit_is_a_basis_and_the_gallery_is_codes() -> None:
    draft = SHOP.fit.transform
    assert isinstance(draft, VectorDraft)
    assert (draft.kind, draft.basis.shape, draft.candidates) == ("sign", (24, 12), 15)
    vectors = draft_version(SHOP.fit).vectors
    assert np.array_equal(vectors, signs(SHOP.fit.prototypes.features @ draft.basis.floats()))
    assert set(np.unique(vectors)) == {-1, 1}
    assert len(np.unique(vectors, axis=0)) > 30


def test_the_lookup_orders_as_hamming_distance_does() -> None:
    _, query = protect(SHOP.features[:20], SHOP.signed)
    assert isinstance(query.protected, Bits)
    vectors, owners = SHOP.version.vectors, SHOP.version.owners
    for code, found in zip(query.protected.signs(), SHOP.lookup.around(query.protected.signs()), strict=True):
        distances = np.full(60, 12)
        np.minimum.at(distances, owners, (code != vectors).sum(axis=1))
        nearest = np.sort(np.lexsort((np.arange(60), distances))[:15])
        assert found.body == MemoryCards.of(nearest.tolist())


class MemoryCards:
    """The candidate set that some of the shop's classes make."""

    @staticmethod
    def of(classes: list[int]) -> bytes:
        from enfpire.server.memory_gallery import encoded_set

        return encoded_set(SHOP.version.cards[number] for number in classes).body


def test_the_protocol() -> None:
    pending, query = protect(SHOP.features, SHOP.signed)
    assert isinstance(query.protected, Bits)
    assert query.protected.rows.shape[1] == 2
    matches = resolve(pending, answer(query, SHOP.serving, SHOP.lookup), SHOP.signed)
    names = [SHOP.fit.names[label] for label in SHOP.labels]
    assert np.mean([match.name == name for match, name in zip(matches, names, strict=True)]) > 0.8
    assert all(len(match.candidates) == 15 for match in matches)
    assert pending.groups is None


def test_neither_order_nor_counts_travel() -> None:
    query = encode(protect(SHOP.features, SHOP.signed)[1], b"q")
    order = np.random.default_rng(0).permutation(len(SHOP.features))
    assert encode(protect(SHOP.features[order], SHOP.signed)[1], b"q") == query
    assert encode(protect(np.concatenate([SHOP.features, SHOP.features[:9]]), SHOP.signed)[1], b"q") == query


def test_photos_of_one_code_share_a_row() -> None:
    near = np.repeat(SHOP.features[:1], 5, axis=0) * np.linspace(0.9, 1, 5, dtype=np.float32)[:, None]
    pending, query = protect(near, SHOP.signed)
    assert isinstance(query.protected, Bits)
    assert query.protected.rows.shape == (1, 2)
    assert pending.rows.tolist() == [0] * 5


def test_too_many_codes_are_refused() -> None:
    with pytest.raises(FeatureError, match=f"at most {MAX_ROWS}"):
        protect(np.ones((MAX_ROWS + 1, 24), np.float32), SHOP.signed)


def test_the_server_refuses_codes_of_another_bundle() -> None:
    projection = shop(VectorOptions(kind="projection", dimensions=12, candidates=15))
    longer, _ = Bits.of(np.ones((1, 13), np.bool_))
    _, of_sign = protect(SHOP.features[:3], SHOP.signed)
    _, of_projection = protect(SHOP.features[:3], projection.signed)
    beyond = Query(gallery="shop", bundle=SHOP.signed.digest, protected=longer)
    for query, taken in ((of_sign, projection), (of_projection, SHOP), (beyond, SHOP), (of_sign, shop())):
        with pytest.raises(WireError, match="not of this bundle"):
            answer(query, taken.serving, taken.lookup)


def test_a_repr_shows_no_code() -> None:
    assert "array" not in repr(transform_of(SHOP.signed.bundle))
    _, query = protect(SHOP.features[:3], SHOP.signed)
    assert isinstance(query.protected, Bits)
    assert repr(query.protected.rows.data) not in repr(query)
    assert "data" not in repr(query)
