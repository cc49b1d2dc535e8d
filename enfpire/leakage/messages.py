"""How many bits messages reveal at most, by the values that they take and by their guarantee."""

from __future__ import annotations

from math import log2

from enfpire.leakage.guarantee import guarantee_of
from enfpire.wire.bundle import Bundle, Cells, Sign, serving_of

FLOAT16_BITS = 16


def message_bits(bundle: Bundle) -> float:
    """Bits that one photo's message reveals at most: those of its guarantee, or else as many as it has."""
    guarantee = guarantee_of(bundle)
    return _length(bundle) if guarantee is None else min(guarantee.bits, _length(bundle))


def _length(bundle: Bundle) -> float:
    match bundle.transform:
        case Cells() as cells:
            return log2(cells.groups)
        case Sign(basis=basis):
            return float(basis.shape[1])
    return float(FLOAT16_BITS * serving_of(bundle).dimensions)


def query_bits(photos: int, groups: int) -> float:
    """Bits that one query about `photos` photos reveals at most, of `groups` groups: log2 of what it may show.

    It shows the set of their groups: 1 to min(photos, groups) of them. That is no more than photos x log2 groups bits,
    and less than `groups`; 0 for no photo.
    """
    sets, of_size = 0, 1
    for size in range(1, min(photos, groups) + 1):
        of_size = of_size * (groups - size + 1) // size
        sets += of_size
    return log2(max(1, sets))
