"""Every error that EnfPire raises on purpose.

    EnfPireError                 exit code, and what to do next, in the message
    ├── UsageError               the call itself is wrong: an option, a name, a folder
    ├── PhotoError               one photo cannot be used; never fails the batch around it
    ├── FeatureError             a feature of the wrong shape, or with NaN or infinity
    ├── WireError                bytes that are not a valid message
    │   └── TooLargeError        bytes over their cap; refused before they are decoded
    ├── BundleError              a bundle that is damaged, of another version, or not what it says
    │   ├── SignatureError       signed by another key than the pinned one, or by none
    │   ├── FloorError           weaker than the client's own floor
    │   └── RefitError           moves classes to other groups, and nobody consented
    ├── CandidateSetError        a candidate set that is not the one that the bundle names
    ├── RefusedError             the server answered with a coded error
    ├── GalleryError             the operator's photos do not make a gallery
    ├── StoreError               the client's store or the operator's workspace cannot be read or written
    └── UnavailableError         exchange, client broker or Milvus cannot be reached
        └── NoAnswerError        the exchange is there, and nobody answers

No message of an error holds a feature, a protected feature, a candidate or a recognition.
"""

from __future__ import annotations

from enum import StrEnum


class EnfPireError(Exception):
    """An error that EnfPire raises on purpose; its message says what to do next."""

    exit_code = 1


class UsageError(EnfPireError):
    """The call itself is wrong: an option, a name, a folder."""

    exit_code = 2


class PhotoError(EnfPireError):
    """One photo cannot be used; it never fails the batch around it."""

    exit_code = 3


class FeatureError(EnfPireError):
    """A feature of the wrong shape, or with NaN or infinity."""

    exit_code = 3


class WireError(EnfPireError):
    """Bytes that are not a valid message."""

    exit_code = 4


class TooLargeError(WireError):
    """Bytes over their cap; refused before they are decoded."""


class BundleError(EnfPireError):
    """A bundle that is damaged, of another version, or not what it says."""

    exit_code = 5


class SignatureError(BundleError):
    """A bundle that is signed by another key than the pinned one."""


class FloorError(BundleError):
    """A bundle whose guarantee is weaker than the client's own floor."""


class RefitError(BundleError):
    """A bundle that moves classes to other groups than photos were sent under, without the user's consent."""


class CandidateSetError(EnfPireError):
    """A candidate set that is not the one that the bundle names."""

    exit_code = 6


class Code(StrEnum):
    """Why a server refuses a query: all that it says about it."""

    BAD_QUERY = "bad-query"
    BAD_SIGNATURE = "bad-signature"
    UNKNOWN_CLIENT = "unknown-client"
    UNKNOWN_BUNDLE = "unknown-bundle"
    EXPIRED = "expired"
    TRY_AGAIN = "try-again"
    TOO_LARGE = "too-large"


ADVICE = {
    Code.BAD_QUERY: "the server could not use the query; update the client or fetch the bundle again",
    Code.BAD_SIGNATURE: "the client's key is not the one that the operator registered; ask for a new credential",
    Code.UNKNOWN_CLIENT: "the operator does not know this client id; ask for a credential",
    Code.UNKNOWN_BUNDLE: "the operator no longer serves this bundle; fetch the current one",
    Code.EXPIRED: "the query arrived after its expiry; check this machine's clock",
    Code.TOO_LARGE: "the candidate sets do not fit into one reply; ask with fewer photos a query",
    Code.TRY_AGAIN: "the vector store is not reachable at the moment; the query is asked again",
}


class RefusedError(EnfPireError):
    """The server answered with a coded error.

    `code` is the machine-readable reason.
    """

    exit_code = 7

    def __init__(self, code: Code) -> None:
        super().__init__(f"refused ({code.value}): {ADVICE[code]}")
        self.code = code


class GalleryError(EnfPireError):
    """The operator's photos do not make a gallery."""

    exit_code = 8


class StoreError(EnfPireError):
    """The client's store or the operator's workspace cannot be read or written."""

    exit_code = 9


class UnavailableError(EnfPireError):
    """Exchange, client broker or Milvus cannot be reached."""

    exit_code = 10


class NoAnswerError(UnavailableError):
    """The exchange is there, and nobody has answered for longer than the client's patience."""
