"""What `noise` and `sign` promise, and which of it a client accepts."""

from __future__ import annotations

from math import e, exp, log, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enfpire.cli.bundles import describe
from enfpire.client.floor import Floor, check_floor
from enfpire.errors import FloorError
from enfpire.leakage.guarantee import Guarantee, guarantee_of, noise_bits, vector_guarantee
from enfpire.wire.arrays import Array
from enfpire.wire.bundle import Bundle, Noise, Sign, TransformSpec, sign_bundle
from tests.wire import samples


def bundle(transform: TransformSpec, classes: int) -> Bundle:
    return Bundle.model_validate(dict(samples.projection_bundle()) | {"transform": transform, "classes": classes})


def noise(epsilon: float, basis: np.ndarray | None = None) -> Noise:
    return Noise(basis=Array.of(np.eye(2) if basis is None else basis, "f4"), epsilon=epsilon, candidates=3)


def sign(bits: int) -> Sign:
    return Sign(basis=Array.of(np.ones((2, bits)), "f2"), candidates=3)


def test_noise_reveals_two_epsilon_in_bits() -> None:
    found = guarantee_of(bundle(noise(0.5), 100))
    assert isinstance(found, Guarantee)
    assert found.bits == pytest.approx(2 * 0.5 * log2(e))
    assert found.bound == pytest.approx(exp(1) / 100)
    assert found.classes == 100


def test_a_basis_that_stretches_reveals_more() -> None:
    """The operator chose the basis: noise on three times the feature hides a third."""
    assert noise_bits(noise(0.5, 3 * np.eye(2))) == pytest.approx(3 * noise_bits(noise(0.5)))
    skewed = np.array([[3.0, 4.0], [0.0, 0.0]])  # two columns, each shorter than 5, along one axis: stretches by 5
    assert noise_bits(noise(1.0, skewed)) == pytest.approx(2 * 5 / log(2))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 2))
def test_no_posterior_is_above_the_bound(seed: int, epsilon: float) -> None:
    """The attacker who knows each class' true density of messages, for classes of many photos each."""
    random = np.random.default_rng(seed)
    photos = random.standard_normal((6, 5, 2))  # 6 classes
    photos /= np.linalg.norm(photos, axis=-1, keepdims=True)
    messages = 3 * random.standard_normal((100, 2))
    distances = np.linalg.norm(messages[:, None, None] - photos, axis=-1)
    likelihoods = np.exp(-epsilon * distances).mean(axis=-1)
    posteriors = likelihoods / likelihoods.sum(axis=1, keepdims=True)
    found = guarantee_of(bundle(noise(epsilon), 6))
    assert found is not None
    assert posteriors.max() <= found.bound + 1e-12


def test_a_code_of_m_bits_reveals_m_bits() -> None:
    assert guarantee_of(bundle(sign(7), 1000)) == Guarantee(classes=1000, bits=7, bound=0.128)
    assert guarantee_of(bundle(sign(10), 1000)) == Guarantee(classes=1000, bits=10, bound=1.0)


@pytest.mark.parametrize("bits", [0.0, 1.0, 5000.0, float("inf")])
def test_a_bound_is_a_probability(bits: float) -> None:
    assert 0 < vector_guarantee(81, bits).bound <= 1
    assert vector_guarantee(1, bits).bound == 1


def test_a_huge_basis_has_a_guarantee_too_and_an_absurd_one_is_refused() -> None:
    found = guarantee_of(bundle(noise(1e6, np.full((2, 2), 1e6)), 81))
    assert found is not None
    assert found.bits > 1e12
    assert found.bound == 1
    with pytest.raises(ValueError, match="moderate"):
        noise(1e6, np.full((2, 2), 3e38))


# The floor: bits at most max_leak_bits, and a chance of naming the class of 1 in min_classes_per_group at most


@pytest.mark.parametrize("transform", [noise(1.0), sign(3)], ids=["noise", "sign"])
def test_what_proves_enough_is_accepted(transform: TransformSpec) -> None:
    check_floor(bundle(transform, 100), Floor())


@pytest.mark.parametrize("transform", [noise(1.0), sign(3)], ids=["noise", "sign"])
@pytest.mark.parametrize(
    ("classes", "floor"), [(100, Floor(max_leak_bits=2.5)), (35, Floor()), (100, Floor(min_classes_per_group=14))]
)
def test_what_proves_too_little_needs_a_word(transform: TransformSpec, classes: int, floor: Floor) -> None:
    with pytest.raises(FloorError, match=r"proves too little.*--accept-unproved"):
        check_floor(bundle(transform, classes), floor)
    check_floor(bundle(transform, classes), Floor(floor.max_leak_bits, floor.min_classes_per_group, unproved=True))


def test_figures_are_said() -> None:
    with pytest.raises(FloorError, match=r"'noise'.* 14\.4 bits.* one of 81 classes with a chance of 100%"):
        check_floor(bundle(noise(5.0), 81), Floor())


def test_a_bundle_tells_what_it_promises() -> None:
    rows = describe(sign_bundle(bundle(noise(0.5), 100), samples.OPERATOR_KEY))
    assert (rows["transform"], rows["epsilon"], rows["sent_dimensions"], rows["candidates"]) == ("noise", 0.5, 2, 3)
    assert rows["bits_per_message"] == pytest.approx(1.4427, abs=1e-4)
    assert rows["bound"] == pytest.approx(0.0272, abs=1e-4)
    rows = describe(sign_bundle(bundle(sign(7), 1000), samples.OPERATOR_KEY))
    assert (rows["transform"], rows["sent_bits"], rows["bits_per_message"], rows["bound"]) == ("sign", 7, 7, 0.128)
    assert "groups" not in rows
