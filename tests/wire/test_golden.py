"""The wire format, byte for byte. A change here is a new version of the format: other clients read these bytes."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from enfpire.wire.bundle import Bundle, open_bundle, sign_bundle
from enfpire.wire.candidates import decode_set, encode_set
from enfpire.wire.query import Request, seal, unseal, verified
from enfpire.wire.reply import Response, decode_response, encode_response, padded_size
from tests.wire import samples
from tests.wire.annotate import GOLDEN, annotated

FOLDER = Path(__file__).parent / "golden"


def golden(name: str) -> bytes:
    """Bytes of an annotated file: hex, then a comment."""
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    return bytes.fromhex("".join(line.partition("#")[0] for line in text.splitlines()))


@pytest.mark.parametrize("name", GOLDEN)
def test_every_line_says_what_its_bytes_are(name: str) -> None:
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert annotated(golden(name)) == text, f"run: python -m tests.wire.annotate {name}"


def test_every_golden_file_has_a_message() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == GOLDEN.keys()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("request", samples.request()),
        ("vector_request", samples.vector_request()),
        ("sign_request", samples.sign_request()),
    ],
)
def test_request(name: str, message: Request) -> None:
    data = golden(name)
    assert seal(message, samples.CLIENT_KEY) == data
    assert unseal(data) == message
    assert data[:32] == hmac.new(samples.CLIENT_KEY, data[32:], hashlib.sha256).digest()
    assert verified(data, samples.CLIENT_KEY)
    assert not verified(data, samples.CLIENT_KEY[::-1])


@pytest.mark.parametrize(("name", "message"), [("response", samples.response()), ("refusal", samples.refusal())])
def test_response(name: str, message: Response) -> None:
    assert encode_response(message) == golden(name)
    assert decode_response(golden(name)) == message


def test_padded_response() -> None:
    data = golden("padded_response")
    assert encode_response(samples.response(), largest_set=9) == data
    assert decode_response(data) == samples.response()
    assert data == golden("response").ljust(padded_size(rows=3, bodies=1, largest_set=9), b"\0")


def test_candidate_set() -> None:
    assert encode_set(samples.candidate_set()) == golden("candidate_set")
    decoded = decode_set(golden("candidate_set"))
    assert decoded == samples.candidate_set()
    assert decoded.prototypes.tolist() == [[63.5, -63.5], [1, 0], [-32, 1.25]]
    assert [decoded.info(0), decoded.info(1)] == [{"title": "Oat milk"}, None]


@pytest.mark.parametrize(
    ("name", "bundle"),
    [
        ("bundle", samples.bundle()),
        ("projection_bundle", samples.projection_bundle()),
        ("noise_bundle", samples.noise_bundle()),
        ("sign_bundle", samples.sign_bundle()),
    ],
)
def test_bundle(name: str, bundle: Bundle) -> None:
    data = golden(name)
    signed = sign_bundle(bundle, samples.OPERATOR_KEY)
    assert signed.data == data
    assert open_bundle(data, signed.key) == signed
    assert signed.digest == hashlib.sha256(data[101:]).digest()
    assert signed.key == data[5:37] == samples.OPERATOR_KEY.public_key().public_bytes_raw()
    samples.OPERATOR_KEY.public_key().verify(data[37:101], b"enfpire bundle v1\0" + data[101:])
