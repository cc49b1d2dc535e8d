"""The candidate worker's desk, and what a worker does to the process that it starts in."""

from __future__ import annotations

import base64
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from broker.milvus_lite import MilvusLiteServer
from enfpire.curation.fit import VectorOptions
from enfpire.errors import UnavailableError
from enfpire.exchange.bundles import drop_bundle, put_bundle
from enfpire.server.gallery import MilvusLookup, connect, create_version
from enfpire.wire.bundle import Serving
from enfpire.wire.names import collection_name, sets_collection_name
from tests.galleries import random_version
from tests.unit.synthetic import shop

ROOT = Path(__file__).parents[2]
SHOP = shop()
PROJECTED = shop(VectorOptions(kind="projection", dimensions=4, candidates=10))


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with MilvusLiteServer.start(tmp_path_factory.mktemp("milvus")) as server:
        yield server.uri


@pytest.fixture
def worker(redis_url: str, milvus: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    from kombu.transport import redis

    monkeypatch.setattr(redis.Channel, "QoS", redis.Channel.QoS)  # puts back what the worker changes
    monkeypatch.setenv("ENFPIRE_EXCHANGE_URL", redis_url)
    monkeypatch.setenv("ENFPIRE_SERVER_MILVUS_URI", milvus)
    monkeypatch.setenv("ENFPIRE_SERVER_GALLERIES", "shop")
    sys.modules.pop("workers.candidates", None)
    yield importlib.import_module("workers.candidates")
    sys.modules.pop("workers.candidates", None)


def test_a_withdrawn_bundle_is_forgotten(worker: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "REMEMBERED_SECONDS", 0.5)
    desk = worker.Desk()
    put_bundle(desk.exchange, SHOP.signed, SHOP.largest_set)
    assert desk.serving(SHOP.signed.digest) == SHOP.serving
    drop_bundle(desk.exchange, SHOP.signed.digest)
    assert desk.serving(SHOP.signed.digest) == SHOP.serving
    time.sleep(0.6)
    assert desk.serving(SHOP.signed.digest) is None
    put_bundle(desk.exchange, SHOP.signed, SHOP.largest_set)
    assert desk.serving(SHOP.signed.digest) == SHOP.serving


def test_all_lookups_share_one_connection(worker: ModuleType) -> None:
    desk = worker.Desk()
    first, second = desk.lookup(SHOP.serving), desk.lookup(PROJECTED.serving)
    assert first is not second
    assert first._client is second._client
    assert desk.lookup(SHOP.serving) is first


@pytest.mark.parametrize("damage", ["card", "members"])
def test_a_damaged_row_is_the_operators_concern(milvus: str, damage: str) -> None:
    version = random_version(7, groups=3)
    client = connect(milvus)
    create_version(client, version)
    classes, sets = (name(version.gallery, version.version) for name in (collection_name, sets_collection_name))
    name, key = (classes, "row") if damage == "card" else (sets, "group")
    (row,) = client.get(name, ids=[0], output_fields=["*"])
    text = base64.b64encode(b"\xc1" + base64.b64decode(row[damage])[1:]).decode()
    client.upsert(name, [{key: 0, "vector": row["vector"], damage: text}])
    lookup = MilvusLookup(client, Serving(gallery="shop", version=version.version, kind="cells", groups=3))
    try:
        with pytest.raises(UnavailableError, match=f"{name} in Milvus holds damaged rows; restore a backup"):
            lookup.by_group([0, 1, 2])
    finally:
        for each in (classes, sets):
            client.drop_collection(each)
        client.close()


def python(program: str, **settings: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ENFPIRE_")}
    return subprocess.run(
        [sys.executable, "-c", program],
        check=False, capture_output=True, text=True, cwd=ROOT, env={**kept, "PYTHONPATH": str(ROOT), **settings},
    )  # fmt: skip


@pytest.mark.parametrize("module", ["workers.candidates", "workers.resolution"])
def test_only_a_worker_changes_kombu(module: str) -> None:
    program = (
        "from kombu.transport import redis\n"
        "from enfpire.exchange.celery_app import celery_app\n"
        "celery_app('client', 'redis://127.0.0.1:1/0', ['resolve:'], 20)\n"
        "before = redis.Channel.QoS.__name__\n"
        f"import {module}\n"
        "print(before, redis.Channel.QoS.__name__)"
    )
    done = python(program, ENFPIRE_SERVER_GALLERIES="shop", ENFPIRE_CLIENT_BROKER_URL="redis://127.0.0.1:1/0")
    assert done.stdout.split() == ["QoS", "LettingGo"], done.stderr


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("workers.candidates", "ENFPIRE_EXCHANGE_TASK_SECONDS"),
        ("workers.candidates", "ENFPIRE_SERVER_GALLERIES"),
        ("workers.resolution", "ENFPIRE_CLIENT_WINDOW"),
    ],
)
def test_a_bad_setting_ends_a_worker_with_a_line_that_names_it(module: str, name: str) -> None:
    done = python(f"import {module}", **{name: "[Marker"})
    assert done.returncode == 2
    assert done.stderr.startswith("enfpire: ")
    assert done.stderr.count("\n") == 1
    assert name in done.stderr
    assert "Marker" not in done.stderr
