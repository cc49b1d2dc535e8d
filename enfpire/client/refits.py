"""Refits: what was sent under earlier bundles of a gallery, and what it costs to send something else under this one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from enfpire.client.store import Entry, Ledger, PendingStore
from enfpire.errors import BundleError, RefitError
from enfpire.leakage.messages import message_bits
from enfpire.leakage.refit import Refit, refit_of, unknown
from enfpire.wire.bundle import Bundle, Cells, SignedBundle, open_bundle


@dataclass(frozen=True)
class Repeats:
    """What photos that were sent before do now, by content: send `messages` again, or are `refused`.

    `others` says how many messages each of them sent under other bundles.
    """

    messages: dict[bytes, bytes]
    refused: frozenset[bytes]
    others: dict[bytes, int]


class Earlier:
    """Compares the bundle in hand with those under which the store's photos were sent, each once."""

    def __init__(self, store: PendingStore, signed: SignedBundle) -> None:
        self._store = store
        self._signed = signed
        self._refits: dict[bytes, Refit] = {}
        self._covered = store.ledger.covered(signed.digest)

    def repeats(self, contents: Sequence[bytes]) -> Repeats:
        """What photos with these contents do; those that it does not name are new."""
        found = self._store.ledger.sent(self._signed.bundle.gallery, contents)
        again = {content: message for content, sent in found.items() if (message := self._again(sent)) is not None}
        refused = frozenset(content for content in found.keys() - again.keys() if not self._consented(found[content]))
        others = {content: len(sent.keys() - {self._signed.digest}) for content, sent in found.items()}
        return Repeats(again, refused, others)

    def refit(self, digest: bytes) -> Refit:
        """How the bundle in hand differs from an earlier one."""
        if digest not in self._refits:
            self._refits[digest] = self._compared(digest)
        return self._refits[digest]

    @property
    def refusal(self) -> str:
        """Why a photo is refused, and what to do."""
        return (
            "it was sent before, and its gallery was regrouped since: another message about it tells up to "
            f"{message_bits(self._signed.bundle):.1f} bits more; if you accept that, submit it again with "
            "--consent-to-refit (consent_to_refit=True)"
        )

    def _again(self, sent: Mapping[bytes, bytes]) -> bytes | None:
        """The message to send again: that of this bundle, or of one from which no class moved."""
        if self._signed.digest in sent:
            return sent[self._signed.digest]
        same = (
            message for bundle, message in sent.items() if self._can_be_sent(message) and not self.refit(bundle).moved
        )
        return next(same, None)

    def _consented(self, sent: Mapping[bytes, bytes]) -> bool:
        """Whether consent covers another message of a photo: not where a bundle that came after it moved classes."""
        return bool(self._covered) and all(one in self._covered or not self.refit(one).moved for one in sent)

    def _can_be_sent(self, message: bytes) -> bool:
        # a group may be gone with all of its classes
        transform = self._signed.bundle.transform
        return not isinstance(transform, Cells) or int.from_bytes(message, "little") < transform.groups

    def _compared(self, digest: bytes) -> Refit:
        old = kept_bundle(self._store, digest)
        return unknown(self._signed.bundle) if old is None else refit_of(old, self._signed.bundle)


def kept_bundle(store: PendingStore, digest: bytes) -> Bundle | None:
    """A bundle that photos were sent under; None where the store has none of that digest that can be read."""
    data = store.bundle(digest)
    try:
        return None if data is None else open_bundle(data).bundle
    except BundleError:  # of a version that can no longer be read
        return None


def check_refit(signed: SignedBundle, store: PendingStore, *, consent: bool) -> None:
    """Raise `RefitError` where the bundle moves classes that photos were sent under, and nobody consented.

    Consent is noted in the ledger. It holds for this bundle from then on, and for those that move no class of it,
    against the bundles that photos were sent under by then; nobody is asked about a bundle that was used before.
    """
    entries = [one for one in store.ledger.entries() if one.gallery == signed.bundle.gallery]
    if not consent and any(one.bundle == signed.digest for one in entries):
        return
    earlier = Earlier(store, signed)
    others = [one.bundle for one in entries if one.photos and one.bundle != signed.digest]
    worst = _worst(map(earlier.refit, others))
    if worst is None:
        return
    inherited = _inherited(earlier, entries, store.ledger)
    left = _worst(earlier.refit(one) for one in others if one not in inherited)
    if not consent and left is not None and left.moved:
        raise RefitError(refit_message(left))
    if consent or inherited:
        store.keep_bundle(signed.digest, signed.data)  # what comes after is compared with it
        store.ledger.consent(signed.bundle.gallery, signed.digest, worst.most_bits, others)


def _inherited(earlier: Earlier, entries: Iterable[Entry], ledger: Ledger) -> frozenset[bytes]:
    """The bundles that consent for others covers, which moved no class of the bundle in hand; these too."""
    same = [one.bundle for one in entries if one.consented is not None and not earlier.refit(one.bundle).moved]
    return frozenset(same).union(*map(ledger.covered, same))


def refit_message(refit: Refit) -> str:
    """What a refit does and costs, and what to do."""
    return (
        f"this bundle moves {refit.moved} classes to other groups than the earlier one: an old photo that is asked "
        f"again, or one of the same thing, tells up to {refit.bits:.1f} bits more ({refit.most_bits:.1f} if it is "
        "routed elsewhere); accept that with --consent-to-refit (consent_to_refit=True), or keep the earlier bundle"
    )


def _worst(refits: Iterable[Refit]) -> Refit | None:
    return max(refits, key=lambda refit: (refit.moved > 0, refit.most_bits, refit.bits), default=None)
