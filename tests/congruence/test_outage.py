"""A Milvus that dies is reported in time, and serves again once it is back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from broker.milvus_lite import MilvusLiteServer
from enfpire.errors import UnavailableError
from enfpire.server import gallery_reader
from enfpire.server.gallery import MilvusLookup, connect, create_version
from enfpire.server.memory_gallery import MemoryLookup
from enfpire.wire.bundle import Serving
from tests.galleries import random_version


def test_a_lookup_outlives_its_milvus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery_reader, "READ_SECONDS", 1.0)
    version = random_version(1, groups=3)
    expected = MemoryLookup(version).by_group([0, 2])
    with MilvusLiteServer.start(tmp_path) as server:
        client = connect(server.uri, timeout=1)
        create_version(client, version)
        lookup = MilvusLookup(client, Serving(gallery="shop", version=version.version, kind="cells", groups=3))
        assert lookup.by_group([0, 2]) == expected
        server.kill()
        begin = time.monotonic()
        with pytest.raises(UnavailableError, match="check that it runs"):
            lookup.by_group([0, 2])
        assert time.monotonic() - begin < 5
        server.restart()
        monkeypatch.setattr(gallery_reader, "READ_SECONDS", 10.0)
        assert lookup.by_group([0, 2]) == expected
        client.close()


def test_a_version_that_is_not_there_is_named(tmp_path: Path) -> None:
    with MilvusLiteServer.start(tmp_path) as server:
        client = connect(server.uri)
        lookup = MilvusLookup(client, Serving(gallery="shop", version="0" * 12, kind="cells", groups=3))
        with pytest.raises(UnavailableError, match="enf_shop_000000000000 is not in Milvus; publish"):
            lookup.by_group([0])
        client.close()
