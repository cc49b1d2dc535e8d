"""The whole service on one machine: `python -m workers.local --gallery NAME`, or `LocalService` from Python.

Exchange, client broker, Milvus Lite, candidate and resolution workers run on free ports of 127.0.0.1, with all their
files in one folder. What ends is started again; everything ends with the process that started it. Each worker's
environment holds its own party's settings alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Annotated, Any, NoReturn, Self

import typer

from broker.embedded import RedisServer
from broker.milvus_lite import MilvusLiteServer
from broker.process import ChildProcess, is_free, open_private, private_folder
from enfpire.errors import EnfPireError, UsageError
from enfpire.wire.names import RESOLVE_QUEUE, candidates_queue, check_name
from workers.celery_process import CeleryWorker
from workers.processes import Supervised, Supervisor

START_SECONDS = 60.0


class LocalService:
    """Everything that EnfPire needs, on this machine.

    As a context manager it starts the backends and the workers, and stops all of them. `processes` holds each by
    name: "exchange", "client-broker", "milvus", "candidates-1", ..., "resolution-1", .... `concurrency` is the
    number of task processes a worker. Ports, passwords and data of an earlier run in the same folder are used
    again. Raises `UsageError` when another service runs in this folder.
    """

    def __init__(
        self,
        folder: Path,
        galleries: Sequence[str],
        candidate_workers: int = 1,
        resolution_workers: int = 1,
        concurrency: int = 1,
    ) -> None:
        if not galleries:
            raise UsageError("name at least one gallery to serve")
        self.galleries = [check_name(gallery, "gallery") for gallery in galleries]
        self.folder = private_folder(folder)
        self.processes: dict[str, Supervised] = {}
        self._counts = {"candidates": candidate_workers, "resolution": resolution_workers}
        self._concurrency = concurrency
        self._supervisor = Supervisor()
        self._hold: IO[Any] = _only_one(self.folder)
        places = _earlier_places(self.folder)
        self._exchange = RedisServer(self.folder / "exchange", *places["exchange"], name="exchange")
        self._client_broker = RedisServer(self.folder / "client-broker", *places["client-broker"], name="client-broker")
        self._milvus = MilvusLiteServer(self.folder / "milvus", places["milvus"][0])

    @property
    def exchange_url(self) -> str:
        """The exchange, with the password of its operator."""
        return self._exchange.url

    @property
    def client_broker_url(self) -> str:
        """The client's own Redis, with its password."""
        return self._client_broker.url

    @property
    def milvus_uri(self) -> str:
        """The operator's vector store."""
        return self._milvus.uri

    @property
    def client_store(self) -> str:
        """Folder of the client's pending store."""
        return str(self.folder / "client-store")

    def server_environment(self) -> dict[str, str]:
        """Settings of the operator's side."""
        return {
            "ENFPIRE_EXCHANGE_URL": self.exchange_url,
            "ENFPIRE_SERVER_MILVUS_URI": self.milvus_uri,
            "ENFPIRE_SERVER_GALLERIES": json.dumps(self.galleries),
        }

    def client_environment(self) -> dict[str, str]:
        """Settings of the client's own side; its resolution workers have no use for the exchange."""
        return {"ENFPIRE_CLIENT_BROKER_URL": self.client_broker_url, "ENFPIRE_CLIENT_STORE": self.client_store}

    def environment(self) -> dict[str, str]:
        """All settings, for one who plays both parties."""
        return self.server_environment() | self.client_environment()

    def start_backends(self) -> None:
        """Start exchange, client broker and Milvus, and wait until they answer.

        Raises `UnavailableError` when one does not come up.
        """
        _remember_places(self.folder, self._exchange, self._client_broker, self._milvus)
        self._start([self._milvus, self._client_broker, self._exchange])

    def start_workers(self) -> None:
        """Start the workers of both parties, and wait until they take tasks.

        Raises `UnavailableError` when one does not come up.
        """
        self._start([*self._candidate_workers(), *self._resolution_workers()])

    def stop(self, grace: float = 10.0) -> None:
        """Stop everything: the workers first, after the task in hand, at most `grace` seconds a process."""
        for supervised in self.processes.values():
            if isinstance(supervised.child, CeleryWorker):
                supervised.dismiss()
        self._supervisor.end(grace)
        self._hold.close()

    def __enter__(self) -> Self:
        try:
            self.start_backends()
            self.start_workers()
        except BaseException:
            self.stop(grace=1)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, children: Sequence[ChildProcess]) -> None:
        started = [self._supervisor.add(child) for child in children]
        for supervised in started:
            self.processes[supervised.name] = supervised
            supervised.start()
        for supervised in started:
            supervised.child.wait_until_ready(START_SECONDS)
            supervised.keep()
        self._supervisor.begin()

    def _candidate_workers(self) -> list[CeleryWorker]:
        queues = [candidates_queue(gallery, bulk=bulk) for gallery in self.galleries for bulk in (False, True)]
        # A look-up and a copy: one thread is enough, and Milvus needs the others.
        return [
            CeleryWorker(name, "workers.candidates", queues, self.folder, self.server_environment(), self._concurrency)
            for name in self._names("candidates")
        ]

    def _resolution_workers(self) -> list[CeleryWorker]:
        tasks = max(1, self._counts["resolution"] * self._concurrency)
        threads = max(1, (os.cpu_count() or 1) // tasks)
        settings = self.client_environment()
        return [
            CeleryWorker(name, "workers.resolution", [RESOLVE_QUEUE], self.folder, settings, self._concurrency, threads)
            for name in self._names("resolution")
        ]

    def _names(self, kind: str) -> list[str]:
        return [f"{kind}-{number}" for number in range(1, self._counts[kind] + 1)]


def _only_one(folder: Path) -> IO[Any]:
    hold = open_private(folder / "lock", "a")
    try:
        fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        hold.close()
        raise UsageError(f"another local service runs in {folder}; stop it, or choose another folder") from error
    return hold


def _earlier_places(folder: Path) -> dict[str, tuple[int | None, str | None]]:
    """Port and password of each backend in an earlier run, where the port is still free."""
    known: dict[str, tuple[int, str | None]] = {}
    if (folder / "places.json").exists():
        known = json.loads((folder / "places.json").read_text(encoding="ascii"))
    blank: dict[str, tuple[int | None, str | None]] = dict.fromkeys(
        ("exchange", "client-broker", "milvus"), (None, None)
    )
    return blank | {name: (port if is_free(port) else None, secret) for name, (port, secret) in known.items()}


def _remember_places(folder: Path, exchange: RedisServer, client_broker: RedisServer, milvus: MilvusLiteServer) -> None:
    places: dict[str, tuple[int, str | None]] = {
        server.name: (server.port, server.password) for server in (exchange, client_broker)
    }
    with open_private(folder / "places.json", "w") as file:
        json.dump(places | {milvus.name: (milvus.port, None)}, file)


def main(
    gallery: Annotated[list[str], typer.Option(help="A gallery to serve; may be given more than once.")],
    folder: Annotated[Path, typer.Option(help="Where all files go.")] = Path("~/.enfpire/local"),
    candidate_workers: Annotated[int, typer.Option(min=0, help="Candidate workers, the operator's.")] = 1,
    resolution_workers: Annotated[int, typer.Option(min=0, help="Resolution workers, the client's.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, help="Task processes a worker.")] = 1,
) -> None:
    """Run exchange, client broker, Milvus Lite and all workers on this machine, until Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with LocalService(folder, gallery, candidate_workers, resolution_workers, concurrency) as service:
            typer.echo(f"Everything runs; logs are in {service.folder}. Ctrl-C stops it. In another shell:\n", err=True)
            for name, value in service.environment().items():
                typer.echo(f"export {name}='{value}'")
            threading.Event().wait()
    except KeyboardInterrupt:
        typer.echo("\nStopped.", err=True)
    except EnfPireError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    typer.run(main)
