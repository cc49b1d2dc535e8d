"""The client's floor: what a bundle must promise before a photo is sent under it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from enfpire.errors import FloorError, UsageError
from enfpire.leakage.guarantee import CellsGuarantee, Guarantee, guarantee_of
from enfpire.wire.bundle import Bundle, Identity


@dataclass(frozen=True)
class Floor:
    """The weakest bundle that a client accepts.

    `max_leak_bits` bounds what a message reveals (log2 G for cells), `min_classes_per_group` the company that every
    class has: where no groups travel, the class must be named with a chance of one in so many at most. `unproved`
    accepts transforms without a guarantee, or with one too weak for a vector or a code; `insecure` even the one that
    protects nothing.
    """

    max_leak_bits: float = 16.0
    min_classes_per_group: int = 5
    unproved: bool = False
    insecure: bool = False

    def __post_init__(self) -> None:
        if not isfinite(self.max_leak_bits):
            raise UsageError(f"a floor of {self.max_leak_bits} bits is none: give a number")


def check_floor(bundle: Bundle, floor: Floor) -> None:
    """Recompute the guarantee from the bundle's own tables; raises `FloorError` where it is too weak."""
    if isinstance(bundle.transform, Identity):
        if not floor.insecure:
            raise FloorError("this bundle sends features unprotected; allow it with --insecure, for comparisons only")
        return
    guarantee = guarantee_of(bundle)
    if isinstance(guarantee, CellsGuarantee):
        _check_cells(guarantee, floor)
    elif not (floor.unproved or floor.insecure):
        _check_vectors(bundle.transform.kind, guarantee, floor)


def _check_cells(guarantee: CellsGuarantee, floor: Floor) -> None:
    if guarantee.bits > floor.max_leak_bits:
        raise FloorError(
            f"one message reveals up to {guarantee.bits:.1f} bits, over your floor of {floor.max_leak_bits:g}; "
            "raise --max-leak-bits if you accept that"
        )
    if guarantee.smallest_group < floor.min_classes_per_group:
        raise FloorError(
            f"a group has {guarantee.smallest_group} classes, under your floor of {floor.min_classes_per_group}; "
            "lower --min-classes-per-group if you accept that"
        )


def _check_vectors(kind: str, guarantee: Guarantee | None, floor: Floor) -> None:
    """Raise unless what a vector or a code reveals leaves every class as much company as a group of cells has."""
    if guarantee is None:
        raise FloorError(
            f"the transform {kind!r} has no guarantee that a client could check; "
            "ask the operator for a cells bundle, or accept it with --accept-unproved"
        )
    if guarantee.bits > floor.max_leak_bits or guarantee.bound * floor.min_classes_per_group > 1:
        raise FloorError(
            f"the transform {kind!r} proves too little: a message may reveal {guarantee.bits:.1f} bits, and name one "
            f"of {guarantee.classes} classes with a chance of {guarantee.bound:.0%}, over your floor; "
            "ask the operator for a cells bundle, or accept it with --accept-unproved"
        )
