"""The client's floor: what a bundle must promise before a photo is sent under it."""

from __future__ import annotations

from dataclasses import dataclass

from enfpire.errors import FloorError
from enfpire.leakage.guarantee import guarantee_of
from enfpire.wire.bundle import Bundle, Identity


@dataclass(frozen=True)
class Floor:
    """The weakest bundle that a client accepts.

    `max_leak_bits` bounds log2 G, `min_classes_per_group` the company that every class has. `unproved` accepts
    transforms without a guarantee, `insecure` even the one that protects nothing.
    """

    max_leak_bits: float = 16.0
    min_classes_per_group: int = 5
    unproved: bool = False
    insecure: bool = False


def check_floor(bundle: Bundle, floor: Floor) -> None:
    """Recompute the guarantee from the bundle's own tables; raises `FloorError` where it is too weak."""
    if isinstance(bundle.transform, Identity):
        if not floor.insecure:
            raise FloorError("this bundle sends features unprotected; allow it with --insecure, for comparisons only")
        return
    guarantee = guarantee_of(bundle)
    if guarantee is None:
        if not (floor.unproved or floor.insecure):
            raise FloorError(
                f"the transform {bundle.transform.kind!r} has no guarantee that a client could check; "
                "ask the operator for a cells bundle, or accept it with --accept-unproved"
            )
        return
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
