"""A private Milvus Lite server on this machine, so that several workers can share one vector store.

with MilvusLiteServer.start(folder) as server:
    MilvusClient(server.uri)

Run as `python -m broker.milvus_lite FOLDER PORT` it is that server's process: the package's own command listens on
all interfaces by default, does not end cleanly on SIGTERM, and comes back with all its collections released.
"""

from __future__ import annotations

import signal
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from broker.health import wait_until_ready
from broker.process import ChildProcess, free_port, is_free, private_folder
from enfpire.errors import UnavailableError

START_SECONDS = 60.0


class MilvusLiteServer(ChildProcess):
    """A Milvus Lite on 127.0.0.1 with its collections in `folder`.

    `uri` is `http://127.0.0.1:PORT`. It has no password: whoever can log in to this machine can use it. `kill()` and
    `restart()` keep port and collections.
    """

    def __init__(self, folder: Path, port: int | None = None, name: str = "milvus") -> None:
        if find_spec("milvus_lite") is None:
            raise UnavailableError(
                "no Milvus here: install enfpire[local], or set ENFPIRE_SERVER_MILVUS_URI to a real one"
            )
        self.folder = private_folder(folder)
        self.port = port if port is not None else free_port()
        argv = [sys.executable, "-m", "broker.milvus_lite", str(self.folder / "collections"), str(self.port)]
        super().__init__(name, argv, self.folder / "server.log", {"PYTHONUNBUFFERED": "1"})

    @classmethod
    def start(cls, folder: Path, port: int | None = None) -> Self:
        """Start a server and wait until it takes connections.

        Without a port a free one is taken. Raises `UnavailableError` when the server does not come up.
        """
        server = cls(folder, port)
        try:
            server.restart(START_SECONDS)
        except BaseException:
            server.stop(grace=0)
            raise
        return server

    @property
    def uri(self) -> str:
        """Where to connect."""
        return f"http://127.0.0.1:{self.port}"

    def wait_until_ready(self, timeout: float = START_SECONDS) -> None:
        """Return as soon as the server takes connections.

        Raises `UnavailableError` after `timeout` seconds, or when the process ended.
        """
        try:
            wait_until_ready(self.uri, timeout, lambda: self.running)
        except UnavailableError as error:
            raise UnavailableError(f"{error} ({self.log})") from error


def serve(folder: str, port: int) -> None:
    """Serve the collections in `folder` on 127.0.0.1 until SIGTERM; the server's own process."""
    from milvus_lite.adapter.grpc.server import DEFAULT_MAX_WORKERS, _build_server
    from milvus_lite.db import MilvusLite

    if not is_free(port):
        # gRPC would share the port without a word, and each server would get some of the calls.
        raise SystemExit(f"port {port} of 127.0.0.1 is taken; choose another one")
    collections = MilvusLite(folder)
    try:
        _load_all(collections)
        # Built here and not by `run_server`, which would open the port before the collections are loaded.
        server = _build_server(collections, DEFAULT_MAX_WORKERS)
        server.add_insecure_port(f"127.0.0.1:{port}")
        ending = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: ending.set())
        server.start()
        ending.wait()
        server.stop(grace=2).wait()
    finally:
        collections.close()


def _load_all(collections: Any) -> None:  # noqa: ANN401 - the package has no types
    """Load what has an index, as a real Milvus does after a restart; Milvus Lite leaves it to its clients."""
    for name in collections.list_collections():
        collection = collections.get_collection(name)
        if collection.load_state == "released":
            collection.load()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
