"""The embedded Redis and Milvus Lite: private, durable, and gone with whoever started them."""

from __future__ import annotations

import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymilvus import MilvusClient
from redis import Redis
from redis.exceptions import AuthenticationError, OutOfMemoryError

from broker.embedded import RedisServer
from broker.health import answers, shown, wait_until_ready
from broker.milvus_lite import MilvusLiteServer
from broker.process import CHECKOUT, PORTS, ChildProcess, free_port, is_free
from enfpire.errors import UnavailableError

ORPHAN = """
import sys, time
from pathlib import Path
from broker.embedded import RedisServer
server = RedisServer.start(Path(sys.argv[1]))
print(server.pid, flush=True)
time.sleep(60)
"""


def gone(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rsplit(")", 1)[1].split()[0] == "Z"  # ended; whoever inherited it has not looked yet


def wait_gone(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return gone(pid)


def reachable_from_outside(port: int) -> bool:
    """Whether the server took all interfaces: 127.0.0.2 is this machine under another address."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.2", port)) == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer.start(tmp_path_factory.mktemp("redis")) as running:
        yield running


def connection(server: RedisServer) -> Redis:
    return Redis.from_url(server.url, decode_responses=True)


def fill(redis: Redis) -> None:
    for number in range(100):
        redis.set(f"big:{number}", "x" * 100_000)


def test_redis_is_configured_as_a_queue_and_not_as_a_cache(server: RedisServer) -> None:
    with connection(server) as redis:
        found = {name: redis.config_get(name)[name] for name in ("maxmemory-policy", "appendonly", "save", "bind")}
    assert found == {"maxmemory-policy": "noeviction", "appendonly": "yes", "save": "", "bind": "127.0.0.1"}


def test_redis_wants_its_password(server: RedisServer) -> None:
    with Redis.from_url(f"redis://127.0.0.1:{server.port}") as stranger, pytest.raises(AuthenticationError):
        stranger.ping()


def test_redis_is_reachable_from_this_machine_alone(server: RedisServer) -> None:
    assert not reachable_from_outside(server.port)


def test_the_password_is_in_files_of_this_user_alone(server: RedisServer) -> None:
    assert server.pid is not None
    assert server.password not in Path(f"/proc/{server.pid}/cmdline").read_text(encoding="utf-8")
    assert stat.S_IMODE((server.folder / "server.conf").stat().st_mode) == 0o600
    assert stat.S_IMODE(server.log.stat().st_mode) == 0o600
    assert server.password not in repr(server)


def test_redis_comes_back_in_the_same_place_with_its_data(tmp_path: Path) -> None:
    folder = tmp_path / 'a folder with "quotes"'
    with RedisServer.start(folder) as server:
        url, first = server.url, server.pid
        with connection(server) as redis:
            redis.rpush("queue", *range(100))
        server.kill()
        assert not server.running
        assert not answers(url)
        server.restart()
        assert (server.url, server.running) == (url, True)
        assert server.pid != first
        with connection(server) as redis:
            assert redis.llen("queue") == 100


def test_a_full_redis_refuses_writes_and_forgets_nothing(tmp_path: Path) -> None:
    with RedisServer.start(tmp_path, config={"maxmemory": "4mb"}) as server, connection(server) as redis:
        redis.set("kept", "yes")
        with pytest.raises(OutOfMemoryError):
            fill(redis)
        assert redis.get("kept") == "yes"


def test_leaving_the_block_ends_the_server(tmp_path: Path) -> None:
    with RedisServer.start(tmp_path) as server:
        pid = server.pid
    assert pid is not None
    assert gone(pid)
    assert is_free(server.port)


def test_killing_the_starter_ends_the_server(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(tmp_path)], stdout=subprocess.PIPE, cwd=CHECKOUT
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert not gone(pid)
        starter.send_signal(signal.SIGKILL)
    assert wait_gone(pid)


def test_a_server_that_cannot_start_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"ended while it started.*server\.log") as raised:
        RedisServer.start(tmp_path, port=free_port(), password="open-sesame", config={"no-such-setting": "1"})
    assert "open-sesame" not in str(raised.value)


def test_a_port_that_is_taken_is_an_error(server: RedisServer, tmp_path: Path) -> None:
    assert not is_free(server.port)
    with pytest.raises(UnavailableError):
        RedisServer.start(tmp_path, port=server.port)


def test_free_ports_are_not_those_that_clients_get() -> None:
    assert max(PORTS) < int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    assert free_port() in PORTS


def test_waiting_for_nobody_ends_with_advice() -> None:
    url = f"redis://:open-sesame@127.0.0.1:{free_port()}/0"
    with pytest.raises(UnavailableError, match=r"did not answer within 0\.1 s") as raised:
        wait_until_ready(url, timeout=0.1)
    assert "open-sesame" not in str(raised.value)


def test_a_wrong_password_is_said_at_once(server: RedisServer) -> None:
    url = f"redis://:open-sesame@127.0.0.1:{server.port}/0"
    with pytest.raises(UnavailableError, match="refuses the user or the password") as raised:
        wait_until_ready(url, timeout=60)
    assert "open-sesame" not in str(raised.value)
    assert shown(url) == f"redis://127.0.0.1:{server.port}"


def test_a_child_sees_only_the_settings_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENFPIRE_CLIENT_KEY", "secret")
    argv = [sys.executable, "-c", "import os; print(sorted(name for name in os.environ if 'ENFPIRE' in name))"]
    with ChildProcess("show", argv, tmp_path / "log", {"ENFPIRE_EXCHANGE_URL": "redis://"}) as child:
        child.launch()
        assert wait_gone(child.pid or 0)
    assert child.log.read_text(encoding="utf-8") == "['ENFPIRE_EXCHANGE_URL']\n"


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    fork = "import subprocess; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    with ChildProcess("parent", [sys.executable, "-c", fork], tmp_path / "log") as child:
        child.launch()
        deadline = time.monotonic() + 10
        while not child.log.read_text(encoding="utf-8") and time.monotonic() < deadline:
            time.sleep(0.02)
        grandchild = int(child.log.read_text(encoding="utf-8"))
        assert not gone(grandchild)
    assert gone(grandchild)


def test_a_command_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    child = ChildProcess("nothing", [str(tmp_path / "nothing")], tmp_path / "log")
    with pytest.raises(UnavailableError, match="cannot start nothing"):
        child.launch()
    assert not child.running


def test_milvus_lite_comes_back_in_the_same_place_with_its_data(tmp_path: Path) -> None:
    with MilvusLiteServer.start(tmp_path) as server:
        assert not reachable_from_outside(server.port)
        client = MilvusClient(server.uri)
        client.create_collection("things", dimension=4)
        client.insert("things", [{"id": 7, "vector": [1.0, 0.0, 0.0, 0.0]}])
        client.close()
        uri, first = server.uri, server.pid
        server.kill()
        server.restart()
        assert (server.uri, server.running) == (uri, True)
        assert server.pid != first
        client = MilvusClient(server.uri)
        assert [row["id"] for row in client.get("things", [7])] == [7]
        client.close()


def test_milvus_lite_has_its_port_to_itself_and_ends_when_asked(tmp_path: Path) -> None:
    with MilvusLiteServer.start(tmp_path / "one") as server, MilvusLiteServer(tmp_path / "two", server.port) as other:
        other.launch()
        assert wait_gone(other.pid or 0)
        assert "is taken" in other.log.read_text(encoding="utf-8")
        server.send(signal.SIGTERM)
        assert wait_gone(server.pid or 0)
        assert server.log.read_text(encoding="utf-8") == ""
