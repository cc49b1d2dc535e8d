"""`noise`: the feature's coordinates in a subspace travel with noise on them (d_X-privacy).

Density of a message y about the feature x: proportional to exp(-epsilon ||y - basis^T x||). For any two features it
differs by the factor exp(epsilon ||basis^T x - basis^T x'||) at most (Chatzikokolakis, Andres, Bordenabe,
Palamidessi, "Broadening the scope of differential privacy using metrics", PETS 2013).

A second message about the same photo has other noise, and their mean has less of it: two messages reveal twice as
many bits. What is sent again must be the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from enfpire.client.transforms.vectors import canonical
from enfpire.wire.arrays import Doubles, Floats, Indices
from enfpire.wire.bundle import Noise
from enfpire.wire.query import Vectors

Source = Callable[[int], bytes]

LARGEST = float(np.finfo(np.float16).max)


class NoiseTransform:
    """Noise with a uniform direction and a radius from Gamma(m, 1 / epsilon), fresh for every row.

    It is drawn from the operating system's cryptographic source. `random` takes its place for tests and audits: numpy's
    generators are not cryptographic, and whoever learns their state subtracts the noise.
    """

    def __init__(self, spec: Noise, random: np.random.Generator | None = None) -> None:
        self._basis = spec.basis.values.astype(np.float64)
        self._epsilon = spec.epsilon
        self._source = os.urandom if random is None else random.bytes

    def protect(self, features: Floats) -> tuple[Vectors, Indices]:
        """Features (n, d) projected to (n, m), with noise; a feature longer than 1 is scaled to 1 first.

        The guarantee needs features that are at most 2 apart. Sums are made in float64 and sent in float16: what the
        low digits of a float64 may tell about noise (Mironov, CCS 2012) is rounded away.
        """
        exact = features.astype(np.float64)
        known = (exact / np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), 1)) @ self._basis
        sent = known + noise(len(known), known.shape[1], self._epsilon, self._source)
        # noise may be larger than float16 can say; to cut it off there depends on the message alone
        return canonical(np.clip(sent, -LARGEST, LARGEST).astype(np.float32))


def noise(rows: int, dimensions: int, epsilon: float, source: Source = os.urandom) -> Doubles:
    """Noise (n, m) whose density is proportional to exp(-epsilon ||z||); `source(count)` gives random bytes.

    The radius is a sum of m exponentials; the direction that of a normal vector (Box, Muller, 1958).
    """
    radii = -np.log(_uniforms(rows, dimensions, source)).sum(axis=1) / epsilon
    lengths = np.sqrt(-2 * np.log(_uniforms(rows, dimensions, source)))
    normals = lengths * np.cos(2 * np.pi * _uniforms(rows, dimensions, source))
    vectors: Doubles = radii[:, None] * normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return vectors


def _uniforms(rows: int, columns: int, source: Source) -> Doubles:
    """Uniform values between 0 and 1, neither of them included, shape (n, m)."""
    bits = np.frombuffer(source(8 * rows * columns), "<u8") >> np.uint64(12)
    return ((bits.astype(np.float64) + 0.5) * 2.0**-52).reshape(rows, columns)
