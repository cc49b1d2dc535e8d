"""Everything on one machine, with real processes: each side's settings, crashes, and a clean end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from redis import Redis

from broker.embedded import RedisServer
from broker.health import answers
from broker.process import CHECKOUT, ChildProcess
from enfpire.errors import UnavailableError, UsageError
from workers.celery_process import CeleryWorker
from workers.local import LocalService
from workers.processes import Supervised, Supervisor

pytestmark = pytest.mark.acceptance

SERVER_SETTINGS = {"ENFPIRE_EXCHANGE_URL", "ENFPIRE_SERVER_MILVUS_URI", "ENFPIRE_SERVER_GALLERIES"}
CLIENT_SETTINGS = {"ENFPIRE_CLIENT_BROKER_URL", "ENFPIRE_CLIENT_STORE"}

NOTEBOOK = """
import os
from celery import Celery
app = Celery("notebook", broker=os.environ["ENFPIRE_EXCHANGE_URL"])
app.conf.update(task_default_queue="notes", task_ignore_result=True, task_acks_late=True)

@app.task(name="note")
def note(path, text):
    with open(path, "a") as file:
        file.write(text)
"""


def settings_of(pid: int) -> dict[str, str]:
    """The `ENFPIRE_*` variables that a process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_text(encoding="utf-8").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair.startswith("ENFPIRE_"))


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def descendants(pid: int) -> set[int]:
    """All processes that a process started, directly or not."""
    found = {
        int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()
    }
    return found.union(*(descendants(one) for one in found))


def within(seconds: float, met: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not met() and time.monotonic() < deadline:
        time.sleep(0.05)
    return met()


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[tuple[Supervised, RedisServer, Path]]:
    """A worker with one small task, under supervision, and its Redis."""
    (tmp_path / "notebook.py").write_text(NOTEBOOK, encoding="utf-8")
    with RedisServer.start(tmp_path / "redis") as redis, Supervisor() as supervisor:
        settings = {"ENFPIRE_EXCHANGE_URL": redis.url, "PYTHONPATH": str(tmp_path)}
        worker = supervisor.add(CeleryWorker("notebook-1", "notebook", ["notes"], tmp_path / "logs", settings))
        worker.start()
        worker.child.wait_until_ready(30)
        worker.keep()
        yield worker, redis, tmp_path / "notes.txt"


def write_note(redis: RedisServer, path: Path, text: str) -> None:
    with Celery("sender", broker=redis.url, set_as_current=False) as sender:
        sender.send_task("note", (str(path), text), queue="notes", ignore_result=True)


def test_a_killed_worker_is_started_again_and_works(notebook: tuple[Supervised, RedisServer, Path]) -> None:
    worker, redis, notes = notebook
    write_note(redis, notes, "one ")
    assert within(10, lambda: notes.exists() and notes.read_text(encoding="utf-8") == "one ")
    before = worker.pid
    worker.kill()
    write_note(redis, notes, "two")
    worker.wait_restarted()
    assert worker.pid != before
    assert worker.restarts == 1
    assert within(10, lambda: notes.read_text(encoding="utf-8") == "one two")


def test_a_worker_that_is_stopped_stays_down(notebook: tuple[Supervised, RedisServer, Path]) -> None:
    worker, _, _ = notebook
    pid = worker.pid or 0
    pool = descendants(pid)
    assert pool
    began = time.monotonic()
    worker.stop(grace=20)
    assert time.monotonic() - began < 15
    time.sleep(0.5)
    assert not worker.running
    assert not any(map(alive, pool | {pid}))


def test_a_worker_that_cannot_start_says_where_to_look(tmp_path: Path) -> None:
    worker = CeleryWorker("lost-1", "no_such_module", ["notes"], tmp_path, {})
    worker.launch()
    with pytest.raises(UnavailableError, match=r"lost-1 ended while it started.*lost-1\.log"):
        worker.wait_until_ready(30)
    worker.stop()
    assert "no_such_module" in worker.log.read_text(encoding="utf-8")


def test_a_process_that_ends_over_and_over_is_started_ever_more_rarely(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        restless = supervisor.add(ChildProcess("restless", ["true"], tmp_path / "log"))
        restless.start()
        restless.keep()
        time.sleep(3)
        assert 2 <= restless.restarts <= 4


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    os.environ["ENFPIRE_CLIENT_KEY"] = "of the shell that started it"
    try:
        with LocalService(tmp_path_factory.mktemp("service"), ["toys", "spots"]) as running:
            yield running
    finally:
        del os.environ["ENFPIRE_CLIENT_KEY"]


def test_no_side_is_given_the_other_sides_settings(service: LocalService) -> None:
    candidates = settings_of(service.processes["candidates-1"].pid or 0)
    resolution = settings_of(service.processes["resolution-1"].pid or 0)
    assert set(candidates) == SERVER_SETTINGS
    assert set(resolution) == CLIENT_SETTINGS
    assert candidates | resolution == service.environment()
    for backend in ("exchange", "client-broker", "milvus"):
        assert settings_of(service.processes[backend].pid or 0) == {}


def test_workers_read_the_queues_of_their_side_alone(service: LocalService) -> None:
    def readers(url: str) -> int:
        with Redis.from_url(url) as redis:
            return sum(client["cmd"] == "brpop" for client in redis.client_list())

    assert within(10, lambda: (readers(service.exchange_url), readers(service.client_broker_url)) == (1, 1))


@pytest.mark.parametrize("name", ["exchange", "client-broker", "milvus", "candidates-1", "resolution-1"])
def test_each_process_comes_back_after_a_crash(service: LocalService, name: str) -> None:
    process = service.processes[name]
    before = process.pid
    process.kill()
    process.wait_restarted()
    assert process.pid != before
    assert all(answers(url) for url in (service.exchange_url, service.client_broker_url, service.milvus_uri))


def test_a_folder_holds_one_service_at_a_time(service: LocalService) -> None:
    with pytest.raises(UsageError, match="another local service runs"):
        LocalService(service.folder, ["toys"])


def test_a_service_without_galleries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one gallery"):
        LocalService(tmp_path, [])


def test_the_next_run_in_a_folder_is_in_the_same_place(tmp_path: Path) -> None:
    first = LocalService(tmp_path, ["toys"])
    try:
        first.start_backends()
        with Redis.from_url(first.exchange_url) as redis:
            redis.set("kept", "yes")
    finally:
        first.stop()
    second = LocalService(tmp_path, ["toys"])
    try:
        second.start_backends()
        assert second.environment() == first.environment()
        with Redis.from_url(second.exchange_url) as redis:
            assert redis.get("kept") == b"yes"
    finally:
        second.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_however_the_command_ends(tmp_path: Path, number: signal.Signals) -> None:
    argv = [sys.executable, "-m", "workers.local", "--gallery", "toys", "--folder", str(tmp_path / "service")]
    with subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        exports = [command.stdout.readline() for _ in SERVER_SETTINGS | CLIENT_SETTINGS]
        assert {line.split("=")[0].removeprefix("export ") for line in exports} == SERVER_SETTINGS | CLIENT_SETTINGS
        started = descendants(command.pid)
        assert len(started) >= 12  # five leashes, five commands, and at least one task process for each worker
        command.send_signal(number)
        command.communicate(timeout=60)
    assert command.returncode == (-number if number == signal.SIGKILL else 0)
    assert within(10, lambda: not any(map(alive, started)))
