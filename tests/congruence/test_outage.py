"""A Milvus that dies is reported in time, and serves again once it is back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from broker.milvus_lite import MilvusLiteServer
from enfpire.errors import UnavailableError
from enfpire.server.answer import EncodedSet
from enfpire.server.gallery import MilvusLookup, connect, create_version
from enfpire.server.memory_gallery import MemoryLookup
from enfpire.wire.bundle import Serving
from tests.galleries import random_version


def test_a_lookup_outlives_its_milvus(tmp_path: Path) -> None:
    version = random_version(1, groups=3)
    with MilvusLiteServer.start(tmp_path) as server:
        client = connect(server.uri, timeout=2)
        create_version(client, version)
        lookup = MilvusLookup(client, Serving(gallery="shop", version=version.version, kind="cells", groups=3))
        before = lookup.by_group([0, 2])
        server.kill()
        begin = time.monotonic()
        while time.monotonic() - begin < 4:  # long enough for gRPC to lose patience
            with pytest.raises(UnavailableError, match="check that it runs"):
                lookup.by_group([0, 2])
            time.sleep(0.2)
        assert time.monotonic() - begin < 12
        server.restart()
        assert asked_again(lookup, seconds=5) == before == MemoryLookup(version).by_group([0, 2])
        client.close()


def asked_again(lookup: MilvusLookup, seconds: float) -> list[EncodedSet]:
    """What the lookup finds as soon as it has its Milvus back; asks as a client would."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return lookup.by_group([0, 2])
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_a_version_that_is_not_there_is_named(tmp_path: Path) -> None:
    with MilvusLiteServer.start(tmp_path) as server:
        client = connect(server.uri)
        lookup = MilvusLookup(client, Serving(gallery="shop", version="0" * 12, kind="cells", groups=3))
        with pytest.raises(UnavailableError, match="enf_shop_000000000000 is not in Milvus; publish"):
            lookup.by_group([0])
        client.close()
