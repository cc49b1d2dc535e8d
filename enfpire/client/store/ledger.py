"""The ledger: which message each photo sent, and what questions have shown so far.

It outlives the jobs; `PendingStore.purge` alone empties it. A photo is known by its *content* (32 bytes, see
`enfpire.client.content`), which is kept as an HMAC under a random secret of the store and of its gallery: two stores,
or two galleries, cannot be compared, and nothing can be looked up in a list made beforehand. Whoever has the whole
store has that secret too.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Sent:
    """The message (its bytes) that the photo with this content sends under a bundle.

    It was chosen in the knowledge of `others`, as many as the content had sent under other bundles.
    """

    content: bytes = field(repr=False)
    message: bytes = field(repr=False)
    others: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What the question about a parcel shows: of how many of its photos, which groups, at most how many bits.

    No photo, where every set is held and nothing goes out; no groups where vectors travel.
    """

    photos: int
    groups: tuple[int, ...] = field(repr=False)
    bits: float


@dataclass(frozen=True, slots=True)
class Entry:
    """What went out under one bundle.

    `photos` of different content have a message. `queries` questions about `asked` photos went out, the same photo
    counted as often as it was asked about; `silent` ones were answered from memory. `groups` distinct groups were
    asked for; all questions together reveal at most `bits`. `consented` are the bits that an old photo, asked again
    under this bundle, may reveal by the user's consent; None where nobody consented.
    """

    gallery: str
    bundle: bytes
    photos: int = 0
    asked: int = 0
    silent: int = 0
    queries: int = 0
    groups: int = 0
    bits: float = 0.0
    consented: float | None = None


class Ledger(Protocol):
    """The part of a store that outlives jobs; each call is one transaction, and raises `StoreError` as others do."""

    def sent(self, gallery: str, contents: Sequence[bytes]) -> dict[bytes, dict[bytes, bytes]]:
        """For each content that sent something: its message under each bundle, by the bundle's digest."""
        ...

    def note(self, parcel: bytes, question: Question) -> None:
        """Note what goes out for a parcel, on the disk before it does.

        Once for a parcel: where it is asked again, only what the question shows more than before is added. An
        unknown parcel changes nothing.
        """
        ...

    def consent(self, gallery: str, bundle: bytes, bits: float, against: Collection[bytes]) -> None:
        """Note the user's consent to ask old photos again under a bundle, at most `bits` a photo.

        It was weighed `against` the bundles with these digests, which are added to those of an earlier consent.
        """
        ...

    def covered(self, bundle: bytes) -> frozenset[bytes]:
        """Digests of the bundles against which consent for a bundle was weighed; none where nobody consented."""
        ...

    def entries(self) -> list[Entry]:
        """What went out under each bundle, in the order of their first use."""
        ...


def hidden(secret: bytes, gallery: str, content: bytes) -> bytes:
    """How the store calls a content (32 bytes)."""
    return hmac.digest(secret, gallery.encode() + b"\0" + content, hashlib.sha256)


def hidden_by_name(secret: bytes, gallery: str, contents: Sequence[bytes]) -> Mapping[bytes, bytes]:
    """Contents by how the store calls them."""
    return {hidden(secret, gallery, content): content for content in contents}
