"""The operator's commands that need no photos, in this process and against a real exchange and Milvus."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner, Result

from broker.milvus_lite import MilvusLiteServer
from enfpire.cli import main
from enfpire.curation.entries import PhotoEntry
from enfpire.curation.fit import VectorOptions
from enfpire.curation.publish import publish
from enfpire.curation.workspace import Workspace
from enfpire.errors import UnavailableError, UsageError
from enfpire.exchange.bundles import fetch_bundle, fetch_serving
from enfpire.exchange.connection import connect as connect_exchange
from enfpire.exchange.settings import ExchangeSettings
from enfpire.server.gallery import MilvusClient, connect, versions
from enfpire.wire.bundle import Extractor, SignedBundle
from tests.unit.synthetic import shop

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, MilvusClient]]:
    with MilvusLiteServer.start(tmp_path_factory.mktemp("milvus")) as server:
        client = connect(server.uri, timeout=60)
        yield server.uri, client
        client.close()


@pytest.fixture
def exchange(redis_url: str) -> Iterator[redis.Redis]:
    with connect_exchange(redis_url) as client:
        yield client


@pytest.fixture
def bundles(milvus: tuple[str, MilvusClient], exchange: redis.Redis) -> list[SignedBundle]:
    """An old bundle and the current one."""
    fits = [shop(VectorOptions(kind="projection", dimensions=d, candidates=10)).fit for d in (3, 4)]
    return [publish(fitted, milvus[1], exchange, KEY, lambda *_: None) for fitted in fits]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main.app, [str(one) for one in arguments])


def test_a_withdrawn_bundle_is_gone_with_its_version(
    bundles: list[SignedBundle], milvus: tuple[str, MilvusClient], exchange: redis.Redis, redis_url: str
) -> None:
    old, new = bundles
    done = call("withdraw", old.digest.hex(), "--exchange", redis_url, "--milvus", milvus[0])
    assert done.exit_code == 0, done.output
    assert fetch_bundle(exchange, old.digest) is None
    assert fetch_serving(exchange, old.digest) is None
    assert versions(milvus[1], "shop") == [new.bundle.version]
    assert fetch_bundle(exchange, new.digest) == new.data
    # once more: nothing is served under that digest
    again = call("withdraw", old.digest.hex(), "--exchange", redis_url)
    assert isinstance(again.exception, UsageError)
    assert "not served" in str(again.exception)


def test_the_current_version_stays_in_milvus(
    bundles: list[SignedBundle],
    milvus: tuple[str, MilvusClient],
    exchange: redis.Redis,
    redis_url: str,
    tmp_path: Path,
) -> None:
    new = bundles[1]
    path = tmp_path / "shop.enfpire"
    path.write_bytes(new.data)
    done = call("withdraw", path, "--exchange", redis_url, "--milvus", milvus[0])
    assert done.exit_code == 0, done.output
    assert "kept" in done.output
    assert fetch_bundle(exchange, new.digest) is None
    assert new.bundle.version in versions(milvus[1], "shop")


def test_without_milvus_only_the_exchange_forgets(
    bundles: list[SignedBundle],
    milvus: tuple[str, MilvusClient],
    exchange: redis.Redis,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENFPIRE_SERVER_MILVUS_URI", milvus[0])
    assert call("withdraw", bundles[0].digest.hex(), "--exchange", redis_url).exit_code == 0
    assert fetch_serving(exchange, bundles[0].digest) is None
    assert bundles[0].bundle.version in versions(milvus[1], "shop")


def test_a_milvus_that_is_gone_leaves_a_withdrawal_that_can_be_finished(
    bundles: list[SignedBundle], milvus: tuple[str, MilvusClient], redis_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "shop.enfpire"
    path.write_bytes(bundles[0].data)
    failed = call("withdraw", path, "--exchange", redis_url, "--milvus", "http://127.0.0.1:1")
    assert isinstance(failed.exception, UnavailableError)
    assert "the same command drops it" in str(failed.exception)
    assert call("withdraw", path, "--exchange", redis_url, "--milvus", milvus[0]).exit_code == 0
    assert bundles[0].bundle.version not in versions(milvus[1], "shop")


@pytest.mark.parametrize("name", ["nowhere.enfpire", "12ab", "0" * 63])
def test_what_names_no_bundle_is_said_so(name: str) -> None:
    failed = call("withdraw", name, "--exchange", NOBODY)
    assert isinstance(failed.exception, UsageError)
    assert "neither a bundle's file nor a digest" in str(failed.exception)


def test_an_exchange_that_is_gone_withdraws_nothing() -> None:
    assert isinstance(call("withdraw", "0" * 64, "--exchange", NOBODY).exception, UnavailableError)


def test_enroll_with_nothing_to_do_is_an_error(tmp_path: Path) -> None:
    failed = call("enroll", "--gallery", "toys", "--workspace", tmp_path)
    assert isinstance(failed.exception, UsageError)
    assert "--info" in str(failed.exception)


@pytest.mark.parametrize("as_json", [False, True])
def test_infos_without_photos_name_what_fits_no_class(tmp_path: Path, as_json: bool) -> None:
    spec = Extractor(name="histogram", weights=bytes(32), dimensions=3)
    with Workspace.open(tmp_path) as workspace:
        workspace.add("toys", spec, [PhotoEntry("bear", bytes(32), "bear.jpg", np.ones(3, np.float32))])
    infos = tmp_path / "infos.jsonl"
    infos.write_text('{"class": "bear", "info": 1}\n{"class": "beer", "info": 2}\n', encoding="utf-8")
    options = ["--json"] if as_json else []
    done = call("enroll", "--gallery", "toys", "--info", infos, "--workspace", tmp_path, *options)
    assert done.exit_code == 0, done.output
    if as_json:
        assert json.loads(done.stdout) == {"unused": ["beer"]}
    else:
        assert "no class: beer" in done.output
        assert "bear" not in done.output
    with Workspace.open(tmp_path) as workspace:
        assert workspace.load("toys").infos == (1,)


def test_a_bad_setting_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENFPIRE_EXCHANGE_REPLY_SECONDS", "Marker")
    monkeypatch.setattr(main, "app", ExchangeSettings)
    with pytest.raises(SystemExit) as end:
        main.run()
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert "ENFPIRE_EXCHANGE_REPLY_SECONDS" in error
    assert error.count("\n") == 1
    assert "Marker" not in error
