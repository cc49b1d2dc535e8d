"""The golden files: a message's bytes in hex, and what they say.

python -m tests.wire.annotate bundle > tests/wire/golden/bundle.txt
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import msgpack

from enfpire.wire.bundle import KEY_BYTES, SIGNATURE_BYTES, sign_bundle
from enfpire.wire.candidates import encode_set
from enfpire.wire.codec import HEADER_BYTES
from enfpire.wire.query import MAC_BYTES, seal
from enfpire.wire.reply import encode_response
from tests.wire import samples

GOLDEN: dict[str, Callable[[], bytes]] = {
    "request": lambda: seal(samples.request(), samples.CLIENT_KEY),
    "vector_request": lambda: seal(samples.vector_request(), samples.CLIENT_KEY),
    "sign_request": lambda: seal(samples.sign_request(), samples.CLIENT_KEY),
    "response": lambda: encode_response(samples.response()),
    "padded_response": lambda: encode_response(samples.response(), largest_set=9),
    "refusal": lambda: encode_response(samples.refusal()),
    "candidate_set": lambda: encode_set(samples.candidate_set()),
    "bundle": lambda: sign_bundle(samples.bundle(), samples.OPERATOR_KEY).data,
    "projection_bundle": lambda: sign_bundle(samples.projection_bundle(), samples.OPERATOR_KEY).data,
    "noise_bundle": lambda: sign_bundle(samples.noise_bundle(), samples.OPERATOR_KEY).data,
    "sign_bundle": lambda: sign_bundle(samples.sign_bundle(), samples.OPERATOR_KEY).data,
}
TITLES = {
    "Q": "A sealed request",
    "R": "A response",
    "C": "A candidate set",
    "S": "A signed bundle; its digest is the SHA-256 of what follows the signature",
}
KINDS = {"Q": "request", "R": "response", "C": "candidate set", "S": "signed bundle", "B": "bundle"}
BYTES_A_LINE = 32

Line = tuple[bytes, str]


def annotated(data: bytes) -> str:
    """Text of the golden file that holds these bytes."""
    sealed = MAC_BYTES if data[:3] != b"ENF" else 0
    start = HEADER_BYTES + KEY_BYTES + SIGNATURE_BYTES if data[3:4] == b"S" and not sealed else sealed
    lines = [*_head(data, sealed), *_frame(data[start:]), *_body(data[start + HEADER_BYTES :])]
    title = TITLES[chr(data[sealed + 3])]
    return "\n".join([f"# {title}", *(line for part, text in lines for line in _wrapped(part, text))]) + "\n"


def _head(data: bytes, sealed: int) -> Iterator[Line]:
    """What stands before the frame of the message itself."""
    if sealed:
        yield data[:sealed], "HMAC-SHA256 of all that follows, under the client's key"
    elif data[3:4] == b"S":
        yield from _frame(data)
        key_end = HEADER_BYTES + KEY_BYTES
        yield data[HEADER_BYTES:key_end], "Ed25519 public key of the operator"
        signed = 'Ed25519 signature of "enfpire bundle v1\\0" and all that follows'
        yield data[key_end : key_end + SIGNATURE_BYTES], signed


def _frame(data: bytes) -> Iterator[Line]:
    kind = chr(data[3])
    yield data[:3], f'magic "{data[:3].decode()}"'
    yield data[3:4], f'kind "{kind}": {KINDS[kind]}'
    yield data[4:5], f"format version {data[4]}"


def _body(body: bytes) -> Iterator[Line]:
    unpacker = msgpack.Unpacker(max_buffer_size=len(body))
    unpacker.feed(body)
    yield from _value(body, unpacker, "")
    padding = body[unpacker.tell() :]
    yield padding, f"padding: {len(padding)} zero bytes"


def _value(body: bytes, unpacker: msgpack.Unpacker, name: str) -> Iterator[Line]:
    """Lines of the value that comes next; `name` is its place in the message."""
    start = unpacker.tell()
    first, label = body[start], name or "message"
    if 0x80 <= first <= 0x8F or first in (0xDE, 0xDF):
        fields = unpacker.read_map_header()
        yield body[start : unpacker.tell()], f"{label}: map of {fields}"
        for _ in range(fields):
            start = unpacker.tell()
            key = unpacker.unpack()
            yield body[start : unpacker.tell()], f'  key "{key}"'
            yield from _value(body, unpacker, f"{name}.{key}" if name else key)
    elif 0x90 <= first <= 0x9F or first in (0xDC, 0xDD):
        items = unpacker.read_array_header()
        yield body[start : unpacker.tell()], f"{label}: array of {items}"
        for place in range(items):
            yield from _value(body, unpacker, f"{name}[{place}]")
    else:
        value = unpacker.unpack()
        yield from _scalar(body[start : unpacker.tell()], value, label)


def _scalar(data: bytes, value: object, label: str) -> Iterator[Line]:
    match value:
        case bytes():
            yield data[: len(data) - len(value)], f"{label}: bin of {len(value)}"
            if value:
                yield value, f"{label}: bytes"
        case str():
            yield data, f'{label}: text "{value}"'
        case float():
            yield data, f"{label}: float64 {value}"
        case None:
            yield data, f"{label}: nil"
        case _:
            yield data, f"{label}: integer {value}"


def _wrapped(data: bytes, text: str) -> Iterator[str]:
    for start in range(0, len(data), BYTES_A_LINE):
        yield f"{data[start : start + BYTES_A_LINE].hex():<64}  # {'  ...' if start else text}"


if __name__ == "__main__":
    sys.stdout.write(annotated(GOLDEN[sys.argv[1]]()))
