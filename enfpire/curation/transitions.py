"""Transitions: which class a user is likely to photograph next, from a CSV or JSON lines file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.spatial import KDTree

from enfpire.curation.folders import class_name
from enfpire.curation.records import COLUMN, fault, read_rows
from enfpire.errors import EnfPireError, UsageError
from enfpire.wire.arrays import Doubles, Indices

Sparse: TypeAlias = "csr_array[np.float64, tuple[int, int]]"

FROM, TO, WEIGHT = "from", "to", "weight"
_AXES = ("x", "y", "z")
_WHAT = "a transition"
# Spots on a square grid reach their twelve nearest: straight and diagonal neighbours, and two steps straight on.
REACH = 2.0


@dataclass(frozen=True, eq=False)
class Transitions:
    """Where users go next: matrix (C, C), float64, p(next class | class), in the order of `classes`.

    `coordinates` (C, 2 or 3), float64, where the file gives them for every class: a hint and nothing more.
    """

    classes: tuple[str, ...]
    matrix: Sparse
    coordinates: Doubles | None = None


def read_transitions(file: str | Path, classes: Sequence[str], reach: float | None = None) -> Transitions:
    """Transitions between `classes`.

    Either pairs: columns (or fields) `from`, `to`, `weight`, directed; a weight is any number from 0, 1 where it is
    left out; those of repeated pairs add up. Or a map: columns `class`, `x`, `y` and perhaps `z`; a user goes to one
    of the other classes within `reach`, each as likely; by default `reach` is twice the median distance of a class to
    its nearest. A class that the file does not name, or from which nothing leads on, is one where users stay; names
    that are not among `classes` are ignored. Raises `UsageError` with the line at fault, or where the file says
    nothing about any of `classes`.
    """
    path = Path(file).expanduser()
    numbers = {name: number for number, name in enumerate(classes)}
    if len(numbers) != len(classes):
        raise UsageError("a class is named twice: give each once")
    if FROM in _columns(path):
        return Transitions(tuple(classes), from_weights(_pairs(path, numbers)))
    places = _places(path, numbers)
    every = np.stack([places[number] for number in range(len(classes))]) if len(places) == len(classes) else None
    return Transitions(tuple(classes), _within(places, len(classes), reach), every)


def times(matrix: Sparse, columns: Doubles) -> Doubles:
    """The matrix (C, C) times columns (C,) or (C, n)."""
    return np.asarray(matrix @ columns)


def from_weights(weights: Sparse) -> Sparse:
    """Row-stochastic matrix (C, C) of weights (C, C) from 0; a class of no weight stays where it is."""
    sums = times(weights, np.ones(weights.shape[1]))
    stays = diags_array((sums == 0).astype(np.float64))
    matrix: Sparse = csr_array(diags_array(1 / np.where(sums == 0, 1.0, sums)) @ weights + stays)
    matrix.eliminate_zeros()
    return matrix


def from_coordinates(places: Doubles, reach: float | None = None) -> Sparse:
    """Matrix (n, n): from each of the places (n, d) to the others within `reach`, uniformly.

    Raises `UsageError` where `reach` is not a positive number, or everything is in one place.
    """
    tree = KDTree(places)
    if reach is None:
        nearest = np.asarray(tree.query(places, k=[2])[0]) if len(places) > 1 else np.ones(1)
        reach = REACH * float(np.median(nearest))
    if not (isfinite(reach) and reach > 0):
        raise UsageError(
            f"a reach of {reach} joins no places: give a distance above 0, in the units of the coordinates"
        )
    pairs = tree.query_pairs(reach * (1 + 1e-9), output_type="ndarray")
    rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
    return from_weights(_sparse(rows, columns, np.ones(len(rows)), len(places)))


def _sparse(
    rows: Sequence[int] | Indices, columns: Sequence[int] | Indices, values: Sequence[float] | Doubles, classes: int
) -> Sparse:
    places = (np.asarray(rows, dtype=np.intp), np.asarray(columns, dtype=np.intp))
    return csr_array(coo_array((np.asarray(values, dtype=np.float64), places), shape=(classes, classes)))


def _columns(path: Path) -> frozenset[str]:
    """Names of columns or fields in the file's first line; none where it has no such line, which its reader reports."""
    try:
        with path.open(encoding="utf-8-sig") as lines:
            first = next((line for line in lines if line.strip()), "")
        record = next(csv.reader([first]), []) if path.suffix.lower() == ".csv" else json.loads(first)
    except (OSError, ValueError, RecursionError, csv.Error):
        return frozenset()
    return frozenset(record) if isinstance(record, dict | list) else frozenset()


def _pairs(path: Path, numbers: Mapping[str, int]) -> Sparse:
    known = [
        (numbers[start], numbers[end], weight)
        for start, end, weight in _read_pairs(path)
        if start in numbers and end in numbers
    ]
    if not known:
        raise UsageError(f"{path} has no pair of enrolled classes: name classes as their folders are named")
    starts, ends, weights = zip(*known, strict=True)
    return _sparse(starts, ends, weights, len(numbers))


def _read_pairs(path: Path) -> Iterator[tuple[str, str, float]]:
    for line, start, record in read_rows(path, _WHAT, FROM):
        try:
            if not isinstance(record.get(TO), str):
                raise UsageError(f"it has no text {TO!r}: say where the transition leads")
            weight = _number(record, WEIGHT) if WEIGHT in record else 1.0
            if weight < 0:
                raise UsageError(f"its weight {weight} is below 0")
            yield class_name(start), class_name(record[TO]), weight
        except EnfPireError as error:
            raise fault(path, line, str(error)) from None


def _places(path: Path, numbers: Mapping[str, int]) -> dict[int, Doubles]:
    places: dict[int, Doubles] = {}
    dimensions: set[int] = set()
    for line, name, record in read_rows(path, _WHAT, COLUMN):
        try:
            number, place = numbers.get(class_name(name)), _place(record)
        except EnfPireError as error:
            raise fault(path, line, str(error)) from None
        dimensions.add(len(place))
        if number in places:
            raise fault(path, line, f"class {name} has a place already")
        if len(dimensions) > 1:
            raise fault(path, line, "other classes have a z, or this one has: give all of them one, or none")
        if number is not None:
            places[number] = place
    if not places:
        raise UsageError(f"{path} has no enrolled class: name classes as their folders are named")
    return places


def _place(record: dict[str, Any]) -> Doubles:
    return np.array([_number(record, axis) for axis in _AXES if axis != "z" or axis in record])


def _number(record: dict[str, Any], column: str) -> float:
    try:
        value = float(record[column])
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"it has no number {column!r}") from None
    if not isfinite(value):
        raise UsageError(f"its {column!r} is not finite")
    return value


def _within(places: Mapping[int, Doubles], classes: int, reach: float | None) -> Sparse:
    numbers = np.array(list(places))
    steps = from_coordinates(np.stack(list(places.values())), reach).tocoo()
    return from_weights(_sparse(numbers[steps.row], numbers[steps.col], steps.data, classes))
