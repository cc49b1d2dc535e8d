"""Noting in the ledger what goes out for a parcel."""

from __future__ import annotations

import numpy as np

from enfpire.client.protocol import Pending
from enfpire.client.resolution import bundle_of
from enfpire.client.store import PendingStore, Question
from enfpire.leakage.messages import message_bits, query_bits
from enfpire.wire.bundle import Bundle, Cells
from enfpire.wire.query import Groups, Query


def note(store: PendingStore, parcel: bytes, question: Query | None) -> None:
    """Note the question about a parcel, before it goes out; None where every set is held, and nothing does."""
    loaded = store.load(parcel)
    if loaded is not None:
        kept = loaded[0]
        store.ledger.note(parcel, shown(kept.pending, question, bundle_of(store, kept.job).bundle))


def shown(pending: Pending, question: Query | None, bundle: Bundle) -> Question:
    """What a question shows of a parcel's photos."""
    if question is None:
        return Question(photos=0, groups=(), bits=0.0)
    if isinstance(bundle.transform, Cells) and isinstance(question.protected, Groups) and pending.groups is not None:
        groups = question.protected.numbers.values
        photos = int(np.isin(pending.groups, groups).sum())
        return Question(photos, tuple(groups.tolist()), query_bits(photos, bundle.transform.groups))
    # photos with the same message are one, and tell no more than it does
    return Question(len(pending.rows), (), message_bits(bundle) * len(np.unique(pending.rows)))
