"""The vector stores that must answer alike: Milvus Lite, and the real Milvus 2.3 of the PyPI package `milvus`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from broker.milvus_lite import MilvusLiteServer
from enfpire.server.gallery import MilvusClient, connect

INNER = Path(__file__).with_name("milvus_in_namespace.py")
# a user who is not root gets a namespace in which it may raise loopback
NAMESPACE = ["unshare", "--net", "--pid", "--mount-proc", "--fork", "--kill-child"]
NAMESPACE += [] if os.geteuid() == 0 else ["--user", "--map-root-user"]


@pytest.fixture(scope="session", params=["milvus lite", "milvus 2.3"])
def store_uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("milvus")
    if request.param == "milvus lite":
        with MilvusLiteServer.start(folder) as server:
            yield server.uri
        return
    if reason := why_not():
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with real_milvus(folder) as uri:
        yield uri


@pytest.fixture(scope="session")
def client(store_uri: str) -> Iterator[MilvusClient]:
    opened = connect(store_uri, timeout=60)
    yield opened
    opened.close()


def why_not() -> str | None:
    """Why no real Milvus can run here."""
    if find_spec("milvus") is None:
        return "the package `milvus` is not installed"
    missing = [tool for tool in ("unshare", "ip") if shutil.which(tool) is None]
    if missing:
        return f"no network namespace for Milvus: {', '.join(missing)} missing"
    tried = subprocess.run([*NAMESPACE, "ip", "link", "set", "lo", "up"], capture_output=True, text=True, check=False)
    return f"no network namespace for Milvus: {tried.stderr.strip()}" if tried.returncode else None


@contextmanager
def real_milvus(folder: Path) -> Iterator[str]:
    """Start a Milvus in a network namespace of its own; its address on this side."""
    with socket.create_server(("127.0.0.1", 0)) as door, (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*NAMESPACE, sys.executable, str(INNER), str(door.fileno()), str(folder / "milvus")],
            pass_fds=[door.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, process_group=0,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert process.stdout.readline() == b"ready\n", (folder / "log").read_text()
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            # SIGTERM does not stop it
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdin.close()
            process.stdout.close()
