from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enfpire.client.exchange_link import ExchangeLink
from enfpire.client.floor import Floor
from enfpire.client.lazy_extractor import LazyExtractor
from enfpire.client.opening import find_credential
from enfpire.client.recognizer import Recognizer, Traffic
from enfpire.client.settings import ClientSettings
from enfpire.client.store import JobState, open_store
from enfpire.curation.fit import VectorOptions
from enfpire.errors import (
    BundleError,
    EnfPireError,
    FeatureError,
    FloorError,
    SignatureError,
    UnavailableError,
    UsageError,
)
from enfpire.exchange.clients import Credential
from enfpire.wire.bundle import sign_bundle
from tests.unit.local_exchange import CREDENTIAL, LocalExchange
from tests.unit.synthetic import shop

SHOP = shop()
PROJECTED = shop(VectorOptions(kind="projection", dimensions=4, candidates=10))
STRANGER = Ed25519PrivateKey.from_private_bytes(b"x" * 32)


@pytest.fixture
def exchange() -> LocalExchange:
    return LocalExchange(SHOP)


def recognizer_on(folder: Path, exchange: LocalExchange, **settings: Any) -> Recognizer:
    chosen = ClientSettings(deadline_seconds=0.3, **settings)
    extractor = LazyExtractor(SHOP.signed.bundle.extractor)
    link = cast("ExchangeLink", exchange)
    return Recognizer(SHOP.signed, open_store(str(folder)), link, CREDENTIAL, chosen, extractor)


@pytest.fixture
def recognizer(tmp_path: Path, exchange: LocalExchange) -> Iterator[Recognizer]:
    with recognizer_on(tmp_path, exchange, photos_per_query=50) as opened:
        yield opened


def test_features_become_recognitions(recognizer: Recognizer, exchange: LocalExchange) -> None:
    job = recognizer.submit(SHOP.features, label="all of them")
    found = {one.row: one for one in job.results()}
    assert np.mean([found[row].name == SHOP.fit.names[label] for row, label in enumerate(SHOP.labels)]) > 0.9
    assert found[3].photo == "#3"
    assert found[3].info == {"title": f"Title {SHOP.labels[3]}"}
    assert recognizer.traffic == Traffic(exchange.bytes_up, exchange.bytes_down)
    assert recognizer.traffic.up > 0
    assert [(one.label, one.state, one.total) for one in recognizer.jobs()] == [("all of them", JobState.DONE, 240)]


@pytest.mark.parametrize("shape", [(3, 23), (24,), (2, 24, 1)])
def test_features_of_another_shape_are_refused_before_a_job_is_made(
    recognizer: Recognizer, shape: tuple[int, ...]
) -> None:
    with pytest.raises(FeatureError, match="24"):
        recognizer.submit(np.zeros(shape, dtype=np.float32))
    assert recognizer.jobs() == []


def test_features_need_not_be_normalised(recognizer: Recognizer) -> None:
    plain = {one.row: one for one in recognizer.submit(SHOP.features).results()}
    scaled = {one.row: one for one in recognizer.submit(SHOP.features * np.float32(0.3)).results()}
    assert [plain[row].name for row in range(240)] == [scaled[row].name for row in range(240)]


@pytest.mark.parametrize("photo", ["milk.jpg", Path("milk.jpg")])
def test_a_single_path_is_no_list_of_photos(recognizer: Recognizer, photo: Any) -> None:
    with pytest.raises(UsageError, match="recognize"):
        recognizer.submit(photo)


def test_a_submission_that_fails_leaves_no_open_job(recognizer: Recognizer, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    with pytest.raises(EnfPireError):  # the bundle's network is not to be had
        recognizer.submit([tmp_path / "a.jpg"])
    assert [job.state for job in recognizer.jobs()] == [JobState.CANCELLED]


def test_no_photo_is_no_job(recognizer: Recognizer) -> None:
    with pytest.raises(UsageError, match="no photo"):
        recognizer.submit([])
    with pytest.raises(UsageError, match="no photo"):
        recognizer.submit(np.zeros((0, 24), dtype=np.float32))
    assert recognizer.jobs() == []


def test_a_job_outlives_its_process(tmp_path: Path, exchange: LocalExchange) -> None:
    exchange.lost = 1000
    with recognizer_on(tmp_path, exchange) as first:
        job = first.submit(SHOP.features[:30])
        assert not job.wait(timeout=0.1).done
    assert exchange.closed
    exchange.lost = 0
    with recognizer_on(tmp_path, exchange) as second:
        resumed = second.resume(job.id)
        assert resumed.wait(timeout=10).recognised == 30
        # and once it is done it can be read again
        assert len(list(second.resume(job.id).results())) == 30


def test_only_open_jobs_of_this_bundle_are_resumed(recognizer: Recognizer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="jobs list"):
        recognizer.resume("0" * 16)
    job = recognizer.submit(SHOP.features[:2])
    job.cancel()
    with pytest.raises(UsageError, match="no open job"):
        recognizer.resume(job.id)
    other = recognizer.submit(SHOP.features[:2])
    link = cast("ExchangeLink", LocalExchange(PROJECTED))
    extractor = LazyExtractor(PROJECTED.signed.bundle.extractor)
    store = open_store(str(tmp_path))
    with Recognizer(PROJECTED.signed, store, link, CREDENTIAL, ClientSettings(), extractor) as second:
        with pytest.raises(UsageError, match="another bundle"):
            second.resume(other.id)
        assert not any(second.knows(record) for record in second.jobs())


# open


def opened(redis_url: str, folder: Path, data: bytes = SHOP.signed.data, **options: Any) -> Recognizer:
    return Recognizer.open(data, exchange=redis_url, credential=CREDENTIAL, store=str(folder), **options)


def test_a_bundle_is_opened_from_a_file(redis_url: str, tmp_path: Path) -> None:
    path = tmp_path / "shop.enfpire"
    path.write_bytes(SHOP.signed.data)
    with Recognizer.open(path, exchange=redis_url, credential=CREDENTIAL, store=str(tmp_path)) as recognizer:
        assert recognizer.bundle == SHOP.signed.bundle


def test_the_first_bundle_pins_its_operator(redis_url: str, tmp_path: Path) -> None:
    opened(redis_url, tmp_path).close()
    stranger = sign_bundle(SHOP.signed.bundle, STRANGER)
    with pytest.raises(SignatureError, match="pinned"):
        opened(redis_url, tmp_path, stranger.data)
    # unless the user says so
    opened(redis_url, tmp_path, stranger.data, operator_key=stranger.key).close()
    with pytest.raises(SignatureError):
        opened(redis_url, tmp_path)


def test_a_named_key_counts_from_the_start(redis_url: str, tmp_path: Path) -> None:
    with pytest.raises(SignatureError):
        opened(redis_url, tmp_path, operator_key=STRANGER.public_key().public_bytes_raw())
    assert open_store(str(tmp_path)).pinned("shop") is None


@pytest.mark.parametrize(
    ("data", "options", "error"),
    [
        (SHOP.signed.data[:-1], {}, SignatureError),
        (b"no bundle", {}, BundleError),
        (SHOP.signed.data, {"floor": Floor(min_classes_per_group=13)}, FloorError),
        (PROJECTED.signed.data, {}, FloorError),
    ],
)
def test_a_bundle_that_is_not_good_enough_is_refused(
    redis_url: str, tmp_path: Path, data: bytes, options: dict[str, Any], error: type[EnfPireError]
) -> None:
    with pytest.raises(error):
        opened(redis_url, tmp_path, data, **options)


def test_a_bundle_that_is_refused_pins_nobody(redis_url: str, tmp_path: Path) -> None:
    with pytest.raises(FloorError):
        opened(redis_url, tmp_path, floor=Floor(min_classes_per_group=13))
    assert open_store(str(tmp_path)).pinned("shop") is None


def test_a_missing_bundle_is_said_so(redis_url: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        Recognizer.open(tmp_path / "nowhere", exchange=redis_url, credential=CREDENTIAL, store=str(tmp_path))


def test_an_exchange_that_is_gone_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="exchange"):
        opened("redis://127.0.0.1:1/0", tmp_path)


def test_a_credential_is_given_read_or_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "c1.json"
    path.write_text(CREDENTIAL.model_dump_json())
    settings = ClientSettings(id="c2", key="cd" * 32)
    assert find_credential(CREDENTIAL, settings) == CREDENTIAL
    assert find_credential(path, settings) == find_credential(str(path), settings) == CREDENTIAL
    assert find_credential(None, settings) == Credential(client="c2", key="cd" * 32)


@pytest.mark.parametrize("content", ["", "{}", json.dumps({"client": "c1", "key": "short"}), "\x00"])
def test_a_bad_credential_is_said_so_and_not_quoted(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c1.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="clients add") as caught:
        find_credential(path, ClientSettings())
    assert "short" not in str(caught.value)
    with pytest.raises(UsageError):
        find_credential(tmp_path / "nowhere", ClientSettings())
    with pytest.raises(UsageError):
        find_credential(None, ClientSettings(id="", key=""))
