"""The server part installs from the wheel, starts and answers without torch, an image library, or client code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.embedded import RedisServer
from broker.process import CHECKOUT
from enfpire.client.exchange_link import ExchangeLink
from enfpire.errors import Code
from enfpire.exchange.connection import connect
from enfpire.exchange.replies import take_reply
from enfpire.wire.arrays import Array
from enfpire.wire.query import Groups, Query, Request, seal
from enfpire.wire.reply import decode_response
from tests.acceptance.stage import within

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

CLIENT_ONLY = ("torch", "torchvision", "PIL", "skimage", "enfpire.client.extractor")


def source_in(folder: Path) -> Path:
    """A copy of what the wheel is built from: building leaves files behind."""
    source = folder / "source"
    shutil.copytree(CHECKOUT / "enfpire", source / "enfpire", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source / name)
    return source


@pytest.fixture(scope="module")
def server_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh virtual environment with `.[server]`, at the lock's versions."""
    folder = tmp_path_factory.mktemp("server")
    pins = re.findall(r"^([\w.-]+==\S+) \\$", (CHECKOUT / "requirements.lock").read_text(), re.MULTILINE)
    (folder / "pins.txt").write_text("\n".join(pins))
    python = folder / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "-c",
        str(folder / "pins.txt"),
        f"{source_in(folder)}[server]",
    ]
    subprocess.run(install, check=True, cwd=folder)
    return python


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer.start(tmp_path / "exchange") as server:
        yield server


def test_the_server_extra_brings_no_client_library(server_python: Path) -> None:
    look = f"import importlib.util as u; print([n for n in {CLIENT_ONLY[:4]} if u.find_spec(n)])"
    found = subprocess.run([server_python, "-c", look], check=True, capture_output=True, text=True, cwd="/")
    assert found.stdout.strip() == "[]"


def test_a_worker_of_the_server_extra_answers(server_python: Path, exchange: RedisServer, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "ENFPIRE_EXCHANGE_URL": exchange.url, "ENFPIRE_SERVER_GALLERIES": "toys"}
    argv = [str(server_python), "-m", "celery", "-A", "workers.candidates", "worker", "--concurrency", "1"]
    request = Request(
        client="stranger",
        id=bytes(range(16)),
        expires=2**40,
        query=Query(gallery="toys", bundle=bytes(32), protected=Groups(numbers=Array.of([3], "u4"))),  # type: ignore[arg-type]
    )
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(argv, cwd=CHECKOUT, env=environment, stdout=log, stderr=log)
        try:
            link = ExchangeLink(exchange.url, "stranger", "toys")
            link.push("toys", seal(request, b"no key"), bulk=False)
            replies: list[bytes] = []
            with connect(exchange.url) as connection:

                def answered() -> bool:
                    found = take_reply(connection, "stranger", [request.id], 1)
                    replies.extend([found[1]] if found else [])
                    return bool(replies)

                assert within(60, answered), (tmp_path / "worker.log").read_text()
            link.close()
        finally:
            worker.terminate()
            worker.wait(30)
    assert decode_response(replies[0]).refusal == Code.UNKNOWN_CLIENT
