"""d_X-privacy: the noise has the density that the guarantee needs, and comes from the operating system."""

from __future__ import annotations

import os
from math import exp, gamma, pi

import numpy as np
import pytest
from pydantic import ValidationError

from enfpire.client.protocol import protect, resolve
from enfpire.client.transforms import transform_of
from enfpire.client.transforms.noise import NoiseTransform, noise
from enfpire.curation.fit import VectorDraft, VectorOptions
from enfpire.server.answer import answer
from enfpire.wire.arrays import Array, Floats, normalised
from enfpire.wire.bundle import Noise
from enfpire.wire.codec import encode
from enfpire.wire.query import Vectors
from tests.unit.synthetic import shop

ROWS = 20_000
SHOP = shop(VectorOptions(kind="noise", dimensions=4, candidates=15, epsilon=40.0))


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def spec(basis: np.ndarray, epsilon: float) -> Noise:
    return Noise(basis=Array.of(basis, "f4"), epsilon=epsilon, candidates=5)


def sent(features: Floats, chosen: Noise, seed: int = 0) -> np.ndarray:
    """Messages of features (n, d), in their order."""
    vectors, rows = NoiseTransform(chosen, seeded(seed)).protect(features)
    return vectors.rows.values[rows].astype(np.float64)


@pytest.mark.parametrize("dimensions", [1, 2, 7, 64])
@pytest.mark.parametrize("epsilon", [0.1, 3.0])
def test_the_radius_has_a_gamma_distribution(dimensions: int, epsilon: float) -> None:
    """Shape m and scale 1 / epsilon: mean m / epsilon, variance m / epsilon^2, third central moment 2 m / epsilon^3."""
    radii = np.linalg.norm(noise(ROWS, dimensions, epsilon, seeded().bytes), axis=1) * epsilon
    assert radii.mean() == pytest.approx(dimensions, abs=5 * np.sqrt(dimensions / ROWS))
    assert radii.var() == pytest.approx(dimensions, rel=0.12)
    assert ((radii - radii.mean()) ** 3).mean() == pytest.approx(2 * dimensions, rel=0.5 + dimensions / 60)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 16])
def test_the_direction_is_uniform(dimensions: int) -> None:
    """Means are 0, and second moments the identity / m; fourth moments of a coordinate are 3 / (m (m + 2))."""
    directions = normalised(noise(ROWS, dimensions, 1.0, seeded(1).bytes).astype(np.float32)).astype(np.float64)
    assert np.abs(directions.mean(axis=0)).max() < 5 / np.sqrt(dimensions * ROWS)
    moments = directions.T @ directions / ROWS
    assert np.abs(moments - np.eye(dimensions) / dimensions).max() < 6 / (dimensions * np.sqrt(ROWS)) + 1e-7
    fourth = (directions**4).mean(axis=0)
    assert fourth == pytest.approx(np.full(dimensions, 3 / (dimensions * (dimensions + 2))), rel=0.15)


def test_all_angles_in_the_plane_are_as_likely() -> None:
    directions = noise(ROWS, 2, 1.0, seeded(2).bytes)
    counts, _ = np.histogram(np.arctan2(directions[:, 1], directions[:, 0]), bins=36, range=(-pi, pi))
    chi_square = ((counts - ROWS / 36) ** 2 / (ROWS / 36)).sum()
    assert chi_square < 75  # 35 degrees of freedom: one seed in 10,000 is above


def test_radius_and_direction_know_nothing_of_each_other() -> None:
    found = noise(ROWS, 3, 1.0, seeded(3).bytes)
    radii = np.linalg.norm(found, axis=1)
    correlations = [np.corrcoef(radii, values)[0, 1] for values in (*(found.T / radii), *(np.abs(found.T) / radii))]
    assert np.abs(correlations).max() < 5 / np.sqrt(ROWS)


def density(points: np.ndarray, epsilon: float) -> np.ndarray:
    """exp(-epsilon ||z||), normalised in m dimensions: epsilon^m Gamma(m / 2) / (2 pi^(m / 2) Gamma(m))."""
    dimensions = points.shape[1]
    area = 2 * pi ** (dimensions / 2) / gamma(dimensions / 2)
    scaled: np.ndarray = (
        epsilon**dimensions / (area * gamma(dimensions)) * np.exp(-epsilon * np.linalg.norm(points, axis=1))
    )
    return scaled


@pytest.mark.parametrize("dimensions", [1, 2])
def test_no_message_is_more_than_exp_epsilon_d_times_as_likely(dimensions: int) -> None:
    """The frequencies of what two photos send are those of the density, cell by cell, and their ratio is bounded."""
    epsilon, rows = 1.5, 400_000
    photos = np.zeros((2, dimensions))
    photos[:, 0] = 0.6, -0.8
    basis = np.eye(dimensions)
    edges = np.linspace(-1.5, 1.5, 13)
    counted = []
    for photo in photos:
        messages = sent(np.tile(photo, (rows // 100, 1)).astype(np.float32), spec(basis, epsilon))
        for seed in range(1, 100):
            more = sent(np.tile(photo, (rows // 100, 1)).astype(np.float32), spec(basis, epsilon), seed)
            messages = np.concatenate([messages, more])
        counts, _ = np.histogramdd(messages, bins=[edges] * dimensions)
        counted.append(counts.reshape(-1))
    middles = (edges[1:] + edges[:-1]) / 2
    cells = np.stack(np.meshgrid(*[middles] * dimensions, indexing="ij"), axis=-1).reshape(-1, dimensions)
    size = (edges[1] - edges[0]) ** dimensions
    for counts, photo in zip(counted, photos, strict=True):
        away = np.linalg.norm(cells - photo, axis=1) > 0.4  # a cell at the peak is no point of the density
        expected = rows * size * density(cells - photo, epsilon)
        assert counts[away] == pytest.approx(expected[away], rel=0.03, abs=5 * np.sqrt(expected.max()))
    enough = np.minimum(*counted) > 200
    ratios = np.abs(np.log(counted[0][enough] / counted[1][enough]))
    noise_of_counts = 5 / np.sqrt(np.minimum(*counted)[enough])
    assert enough.sum() > 10
    assert (ratios <= epsilon * 1.4 + noise_of_counts).all()
    assert ratios.max() > 0.8 * epsilon * 1.4  # and the bound is met


def test_the_bound_holds_for_the_densities_of_any_two_photos() -> None:
    random = seeded(5)
    photos = normalised(random.standard_normal((40, 3)).astype(np.float32)).astype(np.float64)
    messages = 2 * random.standard_normal((200, 3))
    logs = np.log([density(messages - photo, 2.0) for photo in photos])
    distances = np.linalg.norm(photos[:, None] - photos[None], axis=-1)
    worst = np.abs(logs[:, None] - logs[None]).max(axis=-1)
    assert (worst <= 2.0 * distances + 1e-9).all()
    assert worst.max() <= 4.0


def test_features_are_brought_within_the_ball() -> None:
    """However long a feature is, what it sends is at most 1 away from the middle before the noise."""
    chosen = spec(np.eye(3), 1e6)
    features = np.array([[3e38, 0, 0], [0, 5, 0], [0, 0, 0.5], [0, 0, 0]], np.float32)
    found = sent(features, chosen)
    assert found == pytest.approx(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0.5], [0, 0, 0]]), abs=1e-3)


def test_noise_beyond_float16_is_cut_off_and_travels() -> None:
    found = sent(np.ones((50, 8), np.float32), spec(np.eye(8), 1e-6))
    assert np.isfinite(found).all()
    assert np.abs(found).max() == np.finfo(np.float16).max


def test_the_operating_system_gives_the_randomness(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(np.random, "default_rng", None)
    real = os.urandom

    def watched(count: int) -> bytes:
        asked.append(count)
        return real(count)

    monkeypatch.setattr(os, "urandom", watched)
    transform = NoiseTransform(spec(np.eye(4), 1.0))
    first, second = (transform.protect(np.eye(4, dtype=np.float32))[0] for _ in range(2))
    assert first != second
    assert sum(asked) == 2 * 3 * 8 * 16  # three values of 64 bits for each of 16 coordinates


def test_every_row_has_noise_of_its_own() -> None:
    found = sent(np.tile(np.eye(1, 4, dtype=np.float32), (100, 1)), spec(np.eye(4), 1.0))
    assert len(np.unique(found, axis=0)) == 100


def test_rows_are_in_canonical_order() -> None:
    vectors, rows = NoiseTransform(spec(np.eye(2), 1.0), seeded()).protect(np.zeros((500, 2), np.float32))
    values = vectors.rows.values
    assert np.array_equal(np.lexsort(values.T[::-1]), np.arange(500))
    assert sorted(rows.tolist()) == list(range(500))


def test_a_repr_shows_no_vector() -> None:
    transform = transform_of(SHOP.signed.bundle)
    assert "array" not in repr(transform)
    pending, query = protect(SHOP.features[:3], SHOP.signed)
    assert "array" not in repr(pending)
    assert "data" not in repr(query.protected)
    assert "data" not in repr(SHOP.signed.bundle.transform)


# The fit


def test_the_fit_is_a_projection_with_an_epsilon() -> None:
    projection = shop(VectorOptions(kind="projection", dimensions=4, candidates=15))
    draft, plain = SHOP.fit.transform, projection.fit.transform
    assert isinstance(draft, VectorDraft)
    assert isinstance(plain, VectorDraft)
    assert (draft.kind, draft.epsilon, draft.basis) == ("noise", 40.0, plain.basis)
    assert np.array_equal(SHOP.version.vectors, projection.version.vectors)  # the gallery itself has no noise
    chosen = SHOP.signed.bundle.transform
    assert isinstance(chosen, Noise)
    assert (chosen.epsilon, chosen.candidates) == (40.0, 15)


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "noise"},
        {"kind": "noise", "epsilon": 0.0},
        {"kind": "noise", "epsilon": -1.0},
        {"kind": "noise", "epsilon": float("nan")},
        {"kind": "noise", "epsilon": float("inf")},
        {"kind": "projection", "epsilon": 1.0},
        {"kind": "sign", "epsilon": 1.0},
    ],
)
def test_epsilon_is_above_zero_and_of_noise_alone(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="epsilon"):
        VectorOptions.model_validate(options)


# The protocol


def test_the_protocol() -> None:
    pending, query = protect(SHOP.features, SHOP.signed, seeded(4))
    assert isinstance(query.protected, Vectors)
    assert query.protected.rows.shape == (len(SHOP.features), 4)
    matches = resolve(pending, answer(query, SHOP.serving, SHOP.lookup), SHOP.signed)
    names = [SHOP.fit.names[label] for label in SHOP.labels]
    right = np.array([match.name == name for match, name in zip(matches, names, strict=True)])
    offered = np.array([name in match.candidates for match, name in zip(matches, names, strict=True)])
    assert all(len(match.candidates) == 15 for match in matches)
    assert right.mean() > 0.5  # of 60 classes; a quarter of them come back
    assert right[offered].mean() > 0.9  # what came back is compared with the feature, which has no noise on it


def test_noise_costs_accuracy() -> None:
    def offered(epsilon: float) -> float:
        taken = shop(VectorOptions(kind="noise", dimensions=4, candidates=15, epsilon=epsilon))
        pending, query = protect(taken.features, taken.signed, seeded(4))
        matches = resolve(pending, answer(query, taken.serving, taken.lookup), taken.signed)
        names = [taken.fit.names[label] for label in taken.labels]
        return float(np.mean([name in match.candidates for match, name in zip(matches, names, strict=True)]))

    found = [offered(epsilon) for epsilon in (0.01, 5.0, 1000.0)]
    assert found[0] == pytest.approx(0.25, abs=0.12)  # the message says nothing: 15 of 60
    assert found[0] + 0.1 < found[1] < found[2] - 0.1


def test_the_same_seed_makes_the_same_query_and_no_seed_another() -> None:
    queries = [encode(protect(SHOP.features, SHOP.signed, seeded(7))[1], b"q") for _ in range(2)]
    assert queries[0] == queries[1]
    assert encode(protect(SHOP.features, SHOP.signed)[1], b"q") not in queries


def test_the_density_is_one_in_all() -> None:
    line = np.linspace(-40, 40, 80_001)[:, None]
    assert density(line, 0.7).sum() * (80 / 80_000) == pytest.approx(1, rel=1e-4)
    assert density(np.zeros((1, 2)), 1.0)[0] == pytest.approx(1 / (2 * pi))
    assert density(np.ones((1, 1)), 2.0)[0] == pytest.approx(exp(-2))
