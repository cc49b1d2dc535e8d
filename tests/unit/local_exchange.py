"""The exchange and its candidate worker in this process: requests are really served, from memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from enfpire.client.store import JobRecord, JobState, PendingStore
from enfpire.errors import UnavailableError
from enfpire.exchange.clients import Credential
from enfpire.server.answer import Lookup
from enfpire.server.serve import serve
from enfpire.wire.bundle import Serving
from enfpire.wire.query import Request, unseal
from enfpire.wire.reply import Response, SentSet, decode_response, encode_response
from tests.unit.synthetic import Shop

CREDENTIAL = Credential(client="c1", key="ab" * 32)
JOB = "00000000000000aa"


@dataclass(frozen=True)
class Pushed:
    gallery: str
    sealed: bytes
    bulk: bool

    @property
    def request(self) -> Request:
        return unseal(self.sealed)


class LocalExchange:
    """An exchange whose worker answers at once.

    The next `lost` requests vanish, `gone` makes it unreachable, `change` is done to the bytes of each reply; while it
    is `slow`, replies come when they are delivered.
    """

    def __init__(self, shop: Shop) -> None:
        self.clients = {CREDENTIAL.client: CREDENTIAL.secret}
        self.bundles: dict[bytes, Serving] = {shop.signed.digest: shop.serving}
        self.lookup: Lookup = shop.lookup
        self.change: Callable[[bytes], bytes] = lambda data: data
        self.pushed: list[Pushed] = []
        self.replies: dict[bytes, bytes] = {}
        self.late: dict[bytes, bytes] = {}
        self.slow = False
        self.lost = 0
        self.gone = False
        self.bytes_up = self.bytes_down = 0
        self.closed = False

    def secret(self, client: str) -> bytes | None:
        return self.clients.get(client)

    def serving(self, digest: bytes) -> Serving | None:
        return self.bundles.get(digest)

    def open_lookup(self, serving: Serving) -> Lookup:
        assert serving.gallery == "shop"
        return self.lookup

    def push(self, gallery: str, sealed: bytes, *, bulk: bool) -> None:
        self._reached()
        self.pushed.append(Pushed(gallery, sealed, bulk))
        self.bytes_up += len(sealed)
        if self.lost:
            self.lost -= 1
            return
        answered = serve(sealed, self, self.open_lookup)
        assert answered is not None
        assert answered.client == CREDENTIAL.client
        (self.late if self.slow else self.replies)[answered.request] = self.change(answered.data)

    def take(self, requests: list[bytes], wait: float) -> tuple[bytes, bytes] | None:
        self._reached()
        end = time.monotonic() + wait
        while True:
            for request in requests:
                if (data := self.replies.pop(request, None)) is not None:
                    self.bytes_down += len(data)
                    return request, data
            if time.monotonic() >= end:
                return None
            time.sleep(0.002)

    def deliver(self) -> None:
        self.replies |= self.late
        self.slow = False

    def close(self) -> None:
        self.closed = True

    def _reached(self) -> None:
        if self.gone:
            raise UnavailableError("the exchange does not answer")

    @property
    def asked(self) -> list[bytes]:
        """Ids of the requests so far, in order."""
        return [pushed.request.id for pushed in self.pushed]


def falsified(data: bytes) -> bytes:
    """A reply whose candidate sets have their right digests and other bytes."""
    response = decode_response(data)
    assert response.reply is not None
    sets = tuple(SentSet(digest=sent.digest, body=(sent.body or b"")[:-1] + b"\x00") for sent in response.reply.sets)
    return encode_response(Response(id=response.id, reply=response.reply.model_copy(update={"sets": sets})))


def job_of(shop: Shop, photos: Sequence[str], store: PendingStore, id: str = JOB) -> JobRecord:  # noqa: A002
    """A job that is open in the store, its photos waiting."""
    record = JobRecord(id, "shop", shop.signed.digest, 100.0, JobState.OPEN, len(photos), "")
    store.keep_bundle(shop.signed.digest, shop.signed.data)
    store.open_job(record, photos)
    return record
