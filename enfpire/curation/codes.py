"""Binary codes: a basis whose signs keep what is near near.

Iterative quantisation (Gong, Lazebnik, "Iterative quantization: a Procrustean approach to learning binary codes",
CVPR 2011): principal directions, and a rotation among them that brings the features close to the corners of a cube.
"""

from __future__ import annotations

import numpy as np

from enfpire.wire.arrays import Floats

ITERATIONS = 50


def fit_codes(features: Floats, directions: Floats, seed: int = 0) -> Floats:
    """Basis (d, m) for the signs of features (n, d): orthonormal directions (d, m), rotated."""
    bits = directions.shape[1]
    projected: Floats = features @ directions
    start = np.random.default_rng(seed).standard_normal((bits, bits))
    rotation: Floats = np.linalg.qr(start)[0].astype(np.float32)
    for _ in range(ITERATIONS):
        rotation = nearest_rotation(projected, signs(projected @ rotation))
    basis: Floats = directions @ rotation
    return basis


def nearest_rotation(vectors: Floats, corners: Floats) -> Floats:
    """Orthogonal (m, m) that brings vectors (n, m) closest to corners (n, m) (Schoenemann, 1966)."""
    left, _, right = np.linalg.svd(vectors.T @ corners)
    rotation: Floats = left @ right
    return rotation


def signs(vectors: Floats) -> Floats:
    """1 where a value is above 0, else -1; shape unchanged."""
    found: Floats = np.where(vectors > 0, np.float32(1), np.float32(-1))
    return found
