"""Every message comes back as it went, and hostile bytes meet nothing but our own errors, quickly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from enfpire.client.match import match_set
from enfpire.client.protocol import Pending, protect, resolve
from enfpire.client.unknown import Unknown
from enfpire.errors import (
    BundleError,
    CandidateSetError,
    Code,
    FeatureError,
    SignatureError,
    TooLargeError,
    WireError,
)
from enfpire.leakage.guarantee import guarantee_of
from enfpire.server.answer import EncodedSet, answer
from enfpire.wire import bundle as bundles
from enfpire.wire.arrays import LARGEST, Array, DType, Floats, Frozen
from enfpire.wire.bundle import (
    Bundle,
    Cells,
    Extractor,
    Identity,
    Noise,
    Projection,
    Sign,
    TransformSpec,
    Whitening,
    open_bundle,
    sign_bundle,
)
from enfpire.wire.candidates import SET_CAP, CandidateSet, decode_set, encode_set
from enfpire.wire.codec import MAGIC, MAX_MAP, VERSION, encode
from enfpire.wire.query import REQUEST_CAP, Bits, Groups, Query, Request, Vectors, seal, unseal
from enfpire.wire.reply import REPLY_CAP, Reply, Response, SentSet, decode_response, encode_response
from tests.wire import samples

QUICK = settings(deadline=1000, max_examples=60)

names = st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True)
digests = st.binary(min_size=32, max_size=32)
ids = st.binary(min_size=16, max_size=16)
members = st.binary(min_size=8, max_size=8)
f2 = st.floats(width=16, allow_nan=False, allow_infinity=False)
f4 = st.floats(-LARGEST, LARGEST, width=32)


def array(dtype: DType, shape: tuple[int, ...], elements: st.SearchStrategy[Any] | None = None) -> Any:
    return arrays(f"<{dtype}", shape, elements=elements).map(lambda values: Array.of(values, dtype))


@st.composite
def protected(draw: st.DrawFn) -> Groups | Vectors | Bits:
    kind = draw(st.integers(0, 2))
    if kind == 0:
        return Bits.of(draw(arrays(np.bool_, (draw(st.integers(1, 9)), draw(st.integers(1, 40))))))[0]
    if kind == 1:
        numbers = draw(st.sets(st.integers(0, 2**32 - 1), min_size=1, max_size=40))
        return Groups(numbers=Array.of(np.array(sorted(numbers), np.uint32), "u4"))
    return Vectors(rows=draw(array("f2", (draw(st.integers(1, 9)), draw(st.integers(1, 9))), f2)))


queries = st.builds(
    Query, gallery=names, bundle=digests, protected=protected(), held=st.lists(digests, max_size=4).map(tuple)
)
requests = st.builds(Request, client=names, id=ids, expires=st.integers(0, 2**63 - 1), query=queries)


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    sets = draw(st.lists(st.builds(SentSet, digest=digests, body=st.none() | st.binary(max_size=50)), max_size=5))
    rows = draw(st.integers(0, 9)) if sets else 0
    return Reply(sets=tuple(sets), index=draw(array("u4", (rows,), st.integers(0, max(0, len(sets) - 1)))))


responses = st.builds(Response, id=ids, reply=replies()) | st.builds(
    Response, id=ids, refusal=st.sampled_from([code.value for code in Code])
)


@st.composite
def candidate_sets(draw: st.DrawFn) -> CandidateSet:
    counts = draw(st.lists(st.integers(1, 4), max_size=6))
    total, width = sum(counts), draw(st.integers(1, 8))
    texts = st.lists(st.text(max_size=20), min_size=len(counts), max_size=len(counts))
    return CandidateSet(
        names=tuple(draw(texts)),
        infos=tuple(text.encode() for text in draw(texts)),
        counts=Array.of(np.array(counts, np.uint8), "u1"),
        codes=draw(array("i1", (total, width))),
        scales=draw(array("f4", (total,), st.floats(0, 1e6, width=32))),
    )


@st.composite
def transforms(draw: st.DrawFn, width: int) -> TransformSpec:
    basis = array("f2", (width, draw(st.integers(1, 4))), f2)
    candidates = st.integers(1, 4096)
    kinds: list[st.SearchStrategy[TransformSpec]] = [
        cells(width),
        st.builds(Projection, basis=basis, candidates=candidates),
        st.builds(Noise, basis=basis, epsilon=st.floats(1e-6, 1e6), candidates=candidates),
        st.builds(Sign, basis=basis, candidates=candidates),
        st.builds(Identity, candidates=candidates),
    ]
    return draw(st.one_of(kinds))


@st.composite
def cells(draw: st.DrawFn, width: int) -> Cells:
    groups = draw(st.integers(1, 5))
    routes = draw(st.permutations([*range(groups), *draw(st.lists(st.integers(0, groups - 1), max_size=4))]))
    classes = draw(st.lists(st.integers(1, 6), min_size=groups, max_size=groups))
    kinds: list[tuple[DType, Any]] = [("i1", None), ("f2", f2), ("f4", f4)]
    dtype, elements = draw(st.sampled_from(kinds))
    return Cells(
        anchors=draw(array(dtype, (len(routes), draw(st.integers(1, width))), elements)),
        routes=Array.of(np.array(routes), "u4"),
        classes=Array.of(np.array(classes), "u4"),
        members=b"".join(draw(st.lists(members, min_size=sum(classes), max_size=sum(classes), unique=True))),
        digests=draw(st.binary(min_size=32 * groups, max_size=32 * groups)),
        slack=draw(st.floats(0, 100)),
        priors=draw(st.none() | priors(groups)),
    )


@st.composite
def priors(draw: st.DrawFn, groups: int) -> Array:
    """Descending probabilities that add up to at most 1."""
    weights = draw(st.lists(st.floats(0, 1), min_size=groups + 1, max_size=groups + 1).filter(any))
    values = np.array(weights) / sum(weights)
    return Array.of(np.sort(values[:groups])[::-1], "f4")


@st.composite
def all_bundles(draw: st.DrawFn) -> Bundle:
    inner, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    transform = draw(transforms(width))
    classes = int(transform.classes.values.sum()) if isinstance(transform, Cells) else draw(st.integers(1, 2**31))
    return Bundle(
        gallery=draw(names),
        version=draw(st.from_regex(r"[0-9a-f]{12}", fullmatch=True)),
        classes=classes,
        extractor=Extractor(name=draw(st.text(max_size=100)), weights=draw(digests), dimensions=inner),
        whitening=Whitening(mean=draw(array("f4", (inner,), f4)), matrix=draw(array("f4", (inner, width), f4))),
        transform=transform,
        unknown_below=draw(st.floats(-1, 1)),
        figures=draw(st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False), max_size=3)),
    )


@QUICK
@given(requests, st.binary(max_size=64))
def test_requests_come_back(request: Request, key: bytes) -> None:
    sealed = seal(request, key)
    assert unseal(sealed) == request
    assert seal(unseal(sealed), key) == sealed


@QUICK
@given(responses, st.integers(0, 300))
def test_responses_come_back(response: Response, largest_set: int) -> None:
    assert decode_response(encode_response(response, largest_set)) == response


@QUICK
@given(candidate_sets())
def test_candidate_sets_come_back(candidates: CandidateSet) -> None:
    assert decode_set(encode_set(candidates)) == candidates


@QUICK
@given(all_bundles())
def test_bundles_come_back(bundle: Bundle) -> None:
    signed = sign_bundle(bundle, samples.OPERATOR_KEY)
    assert open_bundle(signed.data, signed.key) == signed


@QUICK
@given(st.data(), st.sampled_from(["u1", "i1", "u4", "f2", "f4"]))
def test_arrays_come_back(data: st.DataObject, dtype: DType) -> None:
    shape = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=2).map(tuple))
    values = data.draw(arrays(f"<{dtype}", shape))
    packed = Array.of(values, dtype)
    assert packed.values.tobytes() == values.tobytes()
    assert packed.values.shape == shape
    assert not packed.values.flags.writeable


# Hostile bytes


def open_signed_body(body: bytes) -> bundles.SignedBundle:
    """A body that an operator did sign, whatever it holds."""
    key = samples.OPERATOR_KEY
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return open_bundle(MAGIC + b"S" + bytes([VERSION]) + public + key.sign(b"enfpire bundle v1\0" + body) + body)


def unseal_unsigned(body: bytes) -> Request:
    return unseal(bytes(32) + body)


READERS: dict[str, tuple[Callable[[bytes], Any], Frozen, bytes, type[Exception]]] = {
    "request": (unseal_unsigned, samples.request(), b"Q", WireError),
    "vectors": (unseal_unsigned, samples.vector_request(), b"Q", WireError),
    "codes": (unseal_unsigned, samples.sign_request(), b"Q", WireError),
    "response": (decode_response, samples.response(), b"R", WireError),
    "set": (decode_set, samples.candidate_set(), b"C", WireError),
    "cells": (open_signed_body, samples.bundle(), b"B", BundleError),
    "projection": (open_signed_body, samples.projection_bundle(), b"B", BundleError),
    "noise": (open_signed_body, samples.noise_bundle(), b"B", BundleError),
    "sign": (open_signed_body, samples.sign_bundle(), b"B", BundleError),
}
readers = pytest.mark.parametrize("reader", READERS)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def read(reader: str, data: bytes) -> Any:
    """What the bytes hold, or None where they are refused as they should be."""
    decode, _, _, refused = READERS[reader]
    try:
        return decode(data)
    except refused:
        return None


@readers
@QUICK
@given(st.binary(max_size=300))
def test_arbitrary_bytes(reader: str, data: bytes) -> None:
    assert read(reader, data) is None
    _, _, kind, _ = READERS[reader]
    assert read(reader, MAGIC + kind + bytes([VERSION]) + data) is None


@readers
def test_every_truncation_and_any_addition(reader: str) -> None:
    _, message, kind, _ = READERS[reader]
    data = encode(message, kind)
    assert read(reader, data) is not None
    assert all(read(reader, data[:end]) is None for end in range(len(data)))
    assert read(reader, data + b"\1") is None
    # zero bytes are the padding of a response, and nothing else has any
    assert read(reader, data + b"\0") == (read(reader, data) if reader == "response" else None)


@readers
def test_bit_flips_everywhere(reader: str) -> None:
    """A flip may make another valid message; it never makes another error. An accepted one is as good as any."""
    _, message, kind, _ = READERS[reader]
    data = encode(message, kind)
    for place in range(len(data)):
        for bit in (0, 3, 7):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            use(read(reader, bytes(flipped)))


@readers
def test_every_other_kind_and_version(reader: str) -> None:
    _, message, kind, _ = READERS[reader]
    data = encode(message, kind)
    others = (bytes([letter]) for letter in range(256) if bytes([letter]) != kind)
    assert all(read(reader, data[:3] + other + data[4:]) is None for other in others)
    assert all(read(reader, data[:4] + bytes([version]) + data[5:]) is None for version in range(256) if version != 1)


@pytest.mark.parametrize("version", [0, 2])
def test_another_version_says_what_to_do(version: int) -> None:
    data = encode_response(samples.refusal())
    with pytest.raises(WireError, match=f"version {version}; .* update the older side"):
        decode_response(data[:4] + bytes([version]) + data[5:])


@readers
@settings(deadline=1000, max_examples=150)
@given(st.data())
def test_any_part_replaced_by_anything(reader: str, data: st.DataObject) -> None:
    _, message, kind, _ = READERS[reader]
    fields = message.model_dump()
    place = data.draw(st.sampled_from(places(fields)))
    changed = replaced(fields, place, data.draw(anything))
    use(read(reader, MAGIC + kind + bytes([VERSION]) + msgpack.packb(changed)))


@readers
def test_unknown_fields_are_refused_at_every_level(reader: str) -> None:
    _, message, kind, _ = READERS[reader]
    fields = message.model_dump()
    maps = [place for place in places(fields) if isinstance(at(fields, place), dict) and "figures" not in place]
    assert () in maps
    for place in maps:
        more = replaced(fields, place, at(fields, place) | {"secret_field": 1})
        decode, _, _, refused = READERS[reader]
        with pytest.raises(refused) as caught:
            decode(MAGIC + kind + bytes([VERSION]) + msgpack.packb(more))
        assert "secret" not in str(caught.value)


@readers
def test_missing_fields_are_refused(reader: str) -> None:
    _, message, kind, _ = READERS[reader]
    optional = {"held", "reply", "refusal", "figures"}
    for name in message.model_dump().keys() - optional:
        fields = message.model_dump()
        del fields[name]
        assert read(reader, MAGIC + kind + bytes([VERSION]) + msgpack.packb(fields)) is None


def many(item: bytes, count: int) -> bytes:
    """A msgpack array of `count` times `item`."""
    return b"\xdd" + count.to_bytes(4, "big") + item * count


def field(name: bytes, value: bytes) -> bytes:
    """A msgpack map with one field."""
    return b"\x81" + bytes([0xA0 + len(name)]) + name + value


KEYS = b"".join(b"\xa4" + b"%04x" % number + b"\xc0" for number in range(65_535))
BOMBS = {
    "deep arrays": b"\x91" * 1_000_000 + b"\xc0",
    "deep maps": field(b"query", b"") * 200_000 + b"\xc0",
    "deep inside a field": field(b"query", field(b"held", b"\x91" * 900 + b"\xc0")),
    "array that is announced": b"\xdd\xff\xff\xff\xff",
    "map that is announced": b"\xdf\xff\xff\xff\xff",
    "bytes that are announced": b"\xc6\xff\xff\xff\xff",
    "text that is announced": b"\xdb\xff\xff\xff\xff",
    "two million empty maps": many(b"\x80", 2_000_000),
    "two million empty maps in held": field(b"query", field(b"held", many(b"\x80", 2_000_000))),
    "two million nothings in sets": field(b"reply", field(b"sets", many(b"\xc0", 2_000_000))),
    "two million nothings in names": field(b"names", many(b"\xc0", 2_000_000)),
    "two million nothings in infos": field(b"infos", many(b"\xc0", 2_000_000)),
    "two million sizes": field(b"counts", field(b"shape", many(b"\x80", 2_000_000))),
    "many unknown fields": b"\xde\xff\xff" + KEYS,
    "many figures": field(b"figures", b"\xde\xff\xff" + KEYS),
    "no text": field(b"client", b"\xa4\xff\xfe\xff\xfe"),
    "a timestamp": field(b"expires", b"\xd6\xff\0\0\0\0"),
    "a bad timestamp": b"\xc7\x03\xff\0\0\0",
    "a number as key": b"\x81\x01\x01",
    "an array as key": b"\x81\x90\x01",
    "nan": b"\xcb\x7f\xf8\0\0\0\0\0\0",
}


@readers
@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_at_once(reader: str, bomb: str) -> None:
    _, _, kind, _ = READERS[reader]
    data = MAGIC + kind + bytes([VERSION]) + BOMBS[bomb]
    start = time.process_time()
    assert read(reader, data) is None
    assert time.process_time() - start < 4  # without its bounds, the decoder took 16 seconds for one of them


def test_a_map_of_many_fields_is_refused_before_they_are_looked_at() -> None:
    fields = dict.fromkeys(map(str, range(MAX_MAP + 1)))
    with pytest.raises(WireError, match="not valid msgpack"):
        unseal_unsigned(MAGIC + b"Q" + bytes([VERSION]) + msgpack.packb(fields))


@pytest.mark.parametrize(("decode", "cap"), [(unseal_unsigned, REQUEST_CAP), (decode_set, SET_CAP)])
def test_over_the_cap_is_refused_unread(decode: Callable[[bytes], Any], cap: int) -> None:
    with pytest.raises(TooLargeError, match=str(cap)):
        decode(bytes(cap + 1))
    with pytest.raises(WireError, match="are not a"):
        decode(bytes(cap))


@pytest.mark.parametrize(("decode", "cap"), [(decode_response, "REPLY_CAP"), (open_bundle, "BUNDLE_CAP")])
def test_large_caps(decode: Callable[[bytes], Any], cap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert REPLY_CAP == 256 * 2**20
    monkeypatch.setattr(f"enfpire.wire.{'reply' if cap == 'REPLY_CAP' else 'bundle'}.{cap}", 1000)
    with pytest.raises(TooLargeError, match="1000"):
        decode(bytes(1001))


def test_every_bit_flip_of_a_signed_bundle_is_noticed() -> None:
    signed = sign_bundle(samples.bundle(), samples.OPERATOR_KEY)
    for place in range(len(signed.data)):
        flipped = bytearray(signed.data)
        flipped[place] ^= 1
        with pytest.raises(BundleError):
            open_bundle(bytes(flipped), signed.key)
        with pytest.raises(BundleError):
            open_bundle(bytes(flipped))


def test_every_truncation_of_a_signed_bundle_is_noticed() -> None:
    data = sign_bundle(samples.bundle(), samples.OPERATOR_KEY).data
    for end in range(len(data)):
        with pytest.raises(BundleError):
            open_bundle(data[:end])


def test_another_key_than_the_pinned_one_is_refused() -> None:
    signed = sign_bundle(samples.bundle(), samples.OPERATOR_KEY)
    with pytest.raises(SignatureError, match="confirmed a new key"):
        open_bundle(signed.data, bytes(32))


# What was accepted is used: every part of the protocol stands whatever got past the decoder.


class NoSets:
    """A lookup that has one small set for everything."""

    def by_group(self, groups: Any) -> list[EncodedSet]:
        return [EncodedSet.of(b"set") for _ in groups]

    def around(self, vectors: Floats) -> list[EncodedSet]:
        return [EncodedSet.of(b"set") for _ in vectors]


def use(message: Any) -> None:
    """Put a message to its use; nothing but the errors named here may come out."""
    if isinstance(message, Request):
        for bundle in (samples.bundle(), samples.projection_bundle(), samples.sign_bundle()):
            try:
                answer(message.query, bundles.serving_of(bundle), NoSets())
            except (WireError, FeatureError):
                continue
    elif isinstance(message, Response) and message.reply is not None:
        _use_reply(message.reply)
    elif isinstance(message, CandidateSet):
        _use_set(message)
    elif isinstance(message, bundles.SignedBundle):
        guarantee_of(message.bundle)
        with np.errstate(over="ignore", invalid="ignore"):
            try:
                protect(np.eye(3, message.bundle.dimensions, dtype=np.float32), message)
            except FeatureError:
                return


def _use_reply(reply: Reply) -> None:
    signed = sign_bundle(samples.bundle(), samples.OPERATOR_KEY)
    pending = Pending(np.eye(2, dtype=np.float32), np.array([1, 0]), None)
    try:
        resolve(pending, reply, signed)
    except (CandidateSetError, WireError):
        return


def _use_set(candidates: CandidateSet) -> None:
    try:
        matches = match_set(np.eye(2, max(1, candidates.codes.shape[1]), dtype=np.float32), candidates, Unknown(-1.0))
    except CandidateSetError:
        return
    assert len(matches) == 2
    assert all(np.isfinite(match.similarity) and match.name in candidates.names for match in matches)


@QUICK
@given(candidate_sets())
def test_any_candidate_set_can_be_used(candidates: CandidateSet) -> None:
    _use_set(candidates)


@pytest.mark.parametrize("scale", [-1.0, 3e38, np.inf, np.nan])
def test_scales_that_would_overflow_are_refused(scale: float) -> None:
    fields = samples.candidate_set().model_dump()
    fields["scales"] = Array.of(np.array([1, scale, 1]), "f4").model_dump()
    with pytest.raises(WireError):
        decode_set(MAGIC + b"C" + bytes([VERSION]) + msgpack.packb(fields))


def test_an_info_that_is_no_json_is_none() -> None:
    for info in (b"[" * 16_000, b"\xff", b"", b"{", b"1" * 9000):
        fields = samples.candidate_set().model_dump() | {"infos": (info, b"1")}
        candidates = decode_set(MAGIC + b"C" + bytes([VERSION]) + msgpack.packb(fields))
        assert (candidates.info(0), candidates.info(1)) == (None, 1)


Place = tuple[str | int, ...]


def places(value: Any, place: Place = ()) -> list[Place]:
    """Every place in nested fields."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else ()
    return [place, *(deeper for key, part in inner for deeper in places(part, (*place, key)))]


def at(value: Any, place: Place) -> Any:
    for key in place:
        value = value[key]
    return value


def replaced(value: Any, place: Place, new: Any) -> Any:
    """A copy of nested fields with another value at one place."""
    if not place:
        return new
    if isinstance(value, dict):
        return value | {place[0]: replaced(value[place[0]], place[1:], new)}
    return [replaced(part, place[1:], new) if key == place[0] else part for key, part in enumerate(value)]
