"""Numpy arrays as they travel: raw little-endian bytes with their dtype and shape."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, FailFast, Field, model_validator

from enfpire.errors import FeatureError

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Int8s = npt.NDArray[np.int8]
Indices = npt.NDArray[np.intp]

LARGEST = 1e6

DType = Literal["u1", "i1", "u4", "f2", "f4"]


class Frozen(BaseModel):
    """A frozen message: no unknown fields, no coercion, equal by value."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, ser_json_bytes="base64")


class Array(Frozen):
    """An array as it travels; `data` is row-major and little-endian."""

    dtype: DType
    shape: Annotated[tuple[Annotated[int, Field(ge=0, le=2**31)], ...], Field(min_length=1, max_length=2), FailFast()]
    data: bytes = Field(repr=False)

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        if prod(self.shape) * int(self.dtype[1:]) != len(self.data):
            raise ValueError("an array's bytes do not fit its shape")
        return self

    @classmethod
    def of(cls, values: npt.NDArray[Any], dtype: DType) -> Self:
        """Pack `values` (1 or 2 dimensions), converted to `dtype`."""
        packed = np.ascontiguousarray(values, dtype=f"<{dtype}")
        return cls(dtype=dtype, shape=packed.shape, data=packed.tobytes())

    @property
    def values(self) -> npt.NDArray[Any]:
        """The array, read-only, without a copy."""
        return np.frombuffer(self.data, dtype=f"<{self.dtype}").reshape(self.shape)

    @property
    def bounded(self) -> bool:
        """Whether every value is a number of at most a million: products of such arrays stay finite in float32."""
        return bool((np.abs(self.values.astype(np.float64)) <= LARGEST).all())

    def floats(self) -> Floats:
        """The array as float32, shape unchanged.

        Raises `FeatureError` where a value is not finite.
        """
        return check_finite(self.values.astype(np.float32))


def check_finite(values: Floats) -> Floats:
    """Return `values`, or raise `FeatureError` where one of them is NaN or infinite."""
    if not np.isfinite(values).all():
        raise FeatureError("a vector holds NaN or infinity; check the extractor that made it")
    return values


def check_rows(values: npt.NDArray[Any], dimensions: int) -> Floats:
    """Return `values` as float32 of shape (n, dimensions).

    Raises `FeatureError` for another shape, or where a value is not finite.
    """
    return check_finite(check_shape(values, dimensions))


def check_shape(values: npt.NDArray[Any], dimensions: int) -> Floats:
    """Return `values` as float32 of shape (n, dimensions), or raise `FeatureError`."""
    if values.ndim != 2 or values.shape[1] != dimensions:
        raise FeatureError(
            f"features have shape {tuple(values.shape)}; this bundle needs (n, {dimensions}): "
            "use the extractor that the bundle names"
        )
    return np.ascontiguousarray(values, dtype=np.float32)


def normalised(values: Floats) -> Floats:
    """Each row divided by its L2 norm; a zero row stays zero, one with infinity has NaN."""
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # callers refuse NaN; numpy's own warning would tell nobody what to do
        scaled: Floats = values / np.maximum(norms, np.float32(1e-12))
    return scaled
