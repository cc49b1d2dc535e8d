"""Priors: how likely a photo shows each class, from a CSV or JSON lines file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from enfpire.curation.records import read_records
from enfpire.errors import UsageError
from enfpire.wire.arrays import Doubles

_COLUMN = "prior"


def read_priors(file: str | Path) -> dict[str, float]:
    """Prior by class, not yet scaled to add up to 1: counts of past photos will do.

    A CSV file has columns `class` and `prior`; a line of a JSON lines file is a map with a text `class` and a number
    `prior`. Other columns and fields are left alone. Raises `UsageError` with the line at fault.
    """
    return read_records(file, "a prior", _prior)


def scale_priors(priors: Mapping[str, float], classes: Sequence[str]) -> Doubles:
    """Priors (C,) of `classes` in their order, float64, that add up to 1.

    A class that is not named was seen less often than those that are: it gets the smallest prior of the file. Names
    that are not among `classes` are ignored. Raises `UsageError` where no class has a prior.
    """
    if not any(name in priors for name in classes):
        raise UsageError("the file of priors has no enrolled class: name classes as their folders are named")
    rarest = min(priors.values())
    values = np.array([priors.get(name, rarest) for name in classes], dtype=np.float64)
    values /= values.max()  # sums of huge counts would overflow
    scaled: Doubles = values / values.sum()
    return scaled


def _prior(record: dict[str, Any]) -> float:
    value = record.get(_COLUMN)
    try:
        prior = float("nan") if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        prior = float("nan")
    if not (isfinite(prior) and prior > 0):
        raise UsageError(f"it has no number {_COLUMN!r} above 0: say how often a photo shows the class")
    return prior
