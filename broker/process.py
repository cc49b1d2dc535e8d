"""Child processes that end with the process that started them."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from enfpire.errors import UnavailableError

CHECKOUT = Path(__file__).resolve().parents[1]
LEASH = Path(__file__).with_name("leash.py")
SETTINGS_PREFIX = "ENFPIRE_"

# Below Linux' ephemeral range (32768 up): a client that dials a dead server again and again there is sooner or
# later given that very port as its own, connects to itself, and the server cannot come back.
PORTS = range(15000, 32000)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on.

    Raises `UnavailableError` when there is none.
    """
    for port in random.SystemRandom().sample(PORTS, 200):
        if is_free(port):
            return port
    raise UnavailableError("no free port on 127.0.0.1; stop some servers on this machine")


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        # Servers set it too; without it a port stays taken for a minute after its server was killed.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def private_folder(folder: Path) -> Path:
    """Create the folder for this user alone, and return its absolute path."""
    folder = folder.expanduser().absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def open_private(path: Path, mode: str) -> IO[Any]:
    """Open a file that, when this creates it, this user alone can read."""
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))


class ChildProcess:
    """One command that runs as one process at a time, in a process group of its own.

    The group's leader is a leash (`broker/leash.py`): whatever the command starts ends with the process that called
    `launch`, even when that one is killed. Settings (`ENFPIRE_*`) of this process are not passed on: the child sees
    those in `environment` alone. Output is appended to `log`, readable by this user alone.
    """

    def __init__(self, name: str, argv: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        self._argv = list(argv)
        self._environment = dict(environment or {})
        self._main: subprocess.Popen[bytes] | None = None
        self._leash: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def pid(self) -> int | None:
        """Process id of the command, or of its last run; None before the first."""
        return self._main.pid if self._main else None

    @property
    def running(self) -> bool:
        """Whether the command runs."""
        return self._main is not None and self._main.poll() is None

    def launch(self) -> None:
        """Start the command; what a former run left behind is ended first.

        Raises `UnavailableError` when it cannot be started.
        """
        with self._lock:
            self.stop(grace=0)
            try:
                self._spawn()
            except OSError as error:
                self.stop(grace=0)
                raise UnavailableError(
                    f"cannot start {self.name}: {error.strerror or 'unknown reason'}; check the installation"
                ) from error

    def wait_until_ready(self, timeout: float) -> None:
        """Return when the process does its work; one that has no such moment is ready at once."""

    def send(self, number: signal.Signals) -> None:
        """Send the command's process a signal, if it runs."""
        with self._lock, suppress(ProcessLookupError):
            if self._main is not None and self.running:
                self._main.send_signal(number)

    def kill(self) -> None:
        """End the command as a crash would: SIGKILL to its main process, and nothing else is told."""
        with self._lock:
            self.send(signal.SIGKILL)
            if self._main is not None:
                self._main.wait()

    def restart(self, timeout: float = 30.0) -> None:
        """Start the command again, in the same place, and wait until it is ready."""
        self.launch()
        self.wait_until_ready(timeout)

    def stop(self, grace: float = 10.0) -> None:
        """End the command: SIGTERM, `grace` seconds, then SIGKILL to all that it started."""
        with self._lock:
            if self._main is not None and grace > 0:
                self.send(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    self._main.wait(grace)
            self._end_group()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self) -> None:
        self._leash = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LEASH)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0,
        )  # fmt: skip
        private_folder(self.log.parent)
        with open_private(self.log, "ab") as log:
            self._main = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=CHECKOUT, env=_inherited() | self._environment, process_group=self._leash.pid,
            )  # fmt: skip

    def _end_group(self) -> None:
        if self._leash is None:
            return
        # The leash is not waited for before the signal, so its id still names this group and no other.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._leash.pid, signal.SIGKILL)
        if self._main is not None:
            self._main.wait()
        if self._leash.stdin is not None:
            self._leash.stdin.close()
        self._leash.wait()
        self._leash = None


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS_PREFIX)}
