"""What crosses the exchange, and what the operator's side keeps of it, tells nothing but groups.

Two clients run on machines, files and photos that are marked. Everything is recorded: what MONITOR says, every byte
that the clients send, the memory of every process of the operator's side, and all its files and logs. The second
client has other photos, one for one of the same groups.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from PIL import Image

from enfpire.client.store import open_store
from enfpire.wire.arrays import Array
from enfpire.wire.codec import encode
from enfpire.wire.names import reply_key
from enfpire.wire.query import MAC_BYTES, Groups, unseal
from tests.acceptance.process_memory import (
    NEEDLE,
    Search,
    found_in_files,
    found_in_processes,
    slices,
    with_descendants,
)
from tests.acceptance.recording import Command, Monitor, Tap, layers, task_argument
from tests.acceptance.stage import GALLERY, QUEUE, Stage, suspended, within

pytestmark = pytest.mark.acceptance

# Each is longer than a needle and like nothing else that a process may hold.
HOST = "grandmas-laptop-0c1f5e.example"
FILE = "holiday-with-aunt-7731"
EXIF = "Shutter Serial 55d08c91-aa"
LABEL = "what grandma photographed 4be2"
PHOTOS, A_QUERY = 24, 8
UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Run:
    """One client's run, and all that was recorded of it."""

    photos: list[str]
    monitored: list[Command]
    sent: list[list[Command]]
    raw_lines: bytes
    raw_sent: bytes
    features: np.ndarray
    extracted: np.ndarray
    found: dict[int, Any]

    @property
    def secrets(self) -> dict[str, list[bytes]]:
        """What must be nowhere, in pieces of 16 bytes."""
        return {
            "host name": [HOST.encode()],
            "file name": [FILE.encode()],
            "EXIF": [EXIF.encode()],
            "label": [LABEL.encode()],
            "feature": list(pieces(self.features)),
            "raw feature": list(pieces(self.extracted)),
            "photo": [piece for photo in self.photos for piece in slices(Path(photo).read_bytes()[-2048:])],
        }

    @property
    def crossed(self) -> bytes:
        """All that crossed the exchange, as it was and with everything unpacked."""
        seen = (layer for command in self.monitored for argument in command for layer in layers(argument))
        return b"\n".join([self.raw_lines, self.raw_sent, *seen])


def pieces(features: np.ndarray) -> Iterator[bytes]:
    for row in features:
        for dtype in ("<f4", "<f2"):
            yield from slices(row.astype(dtype).tobytes())


def mark(photo: str, target: Path) -> str:
    """Copy a photo and give it marked EXIF; its pixels stay the same."""
    exif = Image.Exif()
    exif[0x010E], exif[0x010F] = EXIF, EXIF
    block = exif.tobytes()
    data = Path(photo).read_bytes()
    target.write_bytes(data[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + data[2:])
    with Image.open(target) as opened:
        assert opened.getexif()[0x010E] == EXIF
    return str(target)


def pairs_of_one_group(stage: Stage) -> list[tuple[str, str]]:
    """Photos and, for each, another one of the same group that shows something else."""
    groups: dict[int, list[str]] = defaultdict(list)
    with stage.recognizer(stage.folder / "grouping") as recognizer:
        for one in recognizer.submit([photo for photo in stage.photos if photo not in stage.exposed]).results():
            assert one.group is not None
            groups[one.group].append(one.photo)
    pairs = []
    for photos in groups.values():
        shown = [list(each) for _, each in groupby(sorted(photos), key=lambda photo: stage.truth[photo])]
        for here, there in zip(shown, shown[1:] + shown[:1], strict=True):
            pairs += [(a, b) for a, b in zip(here, there, strict=False) if stage.truth[a] != stage.truth[b]]
    chosen = np.random.default_rng(1).permutation(len(pairs))[:PHOTOS]
    return [pairs[place] for place in chosen]


def run_client(stage: Stage, folder: Path, photos: Sequence[str]) -> Run:
    """Let a marked client recognise photos, and record it."""
    folder.mkdir()
    marked = [mark(photo, folder / f"{FILE}-{number}.jpg") for number, photo in enumerate(photos)]
    settings = {"photos_per_query": A_QUERY, "window": 1, "deadline_seconds": 60}
    orders = {"host": HOST, "noted": str(folder / "noted.npz"), "label": LABEL, "settings": settings}
    with Tap(stage.service.exchange_url) as tap, Monitor(stage.service.exchange_url) as monitor:
        orders["exchange"] = tap.url
        with stage.client(folder / "store", marked, **orders) as client:
            said, complaint = client.communicate(timeout=120)
            assert said.split()[-1:] == ["done"], complaint
    noted = np.load(folder / "noted.npz")
    assert noted["names"].tolist() == marked
    store = open_store(str(folder / "store"))
    found = dict(
        enumerate(sorted((one for _, one in store.recognitions(said.split()[0], 0, 1000)), key=lambda o: o.row))
    )
    store.close()
    return Run(
        photos=marked,
        monitored=monitor.commands,
        sent=tap.connections,
        raw_lines=b"".join(monitor.lines),
        raw_sent=b"\n".join(bytes(sent) for sent in tap.sent),
        features=noted["features"],
        extracted=noted["raw"],
        found=found,
    )


@pytest.fixture(scope="module")
def runs(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    folder = tmp_path_factory.mktemp("runs")
    pairs = pairs_of_one_group(stage)
    assert len(pairs) == PHOTOS
    first, second = zip(*pairs, strict=True)
    return run_client(stage, folder / "first", first), run_client(stage, folder / "second", second)


def operators_processes(stage: Stage) -> dict[str, set[int]]:
    """All processes of the operator's side, by the service that they belong to."""
    processes = stage.service.processes
    return {name: with_descendants(processes[name].pid or 0) for name in ("exchange", "milvus", "candidates-1")}


def needles(runs: tuple[Run, Run]) -> set[bytes]:
    return {secret[:NEEDLE] for run in runs for secrets in run.secrets.values() for secret in secrets}


def test_the_marks_are_there_to_be_found(runs: tuple[Run, Run]) -> None:
    for run in runs:
        assert {kind: len(found) > 0 for kind, found in run.secrets.items()} == dict.fromkeys(run.secrets, True)
        assert len(run.secrets["feature"]) > PHOTOS * 60
        assert len(run.found) == PHOTOS
        assert all(one.error is None for one in run.found.values())


def test_no_mark_crosses_the_exchange(stage: Stage, runs: tuple[Run, Run]) -> None:
    digest = stage.published["cells"].signed.digest
    for run in runs:
        search = Search(needles(runs) | {digest[:NEEDLE], b"enfpire.candidates"[:NEEDLE]})
        # the bundle's digest lies in base64 and msgpack: it shows that the search looks that deep
        assert search.found(run.crossed) == {digest[:NEEDLE], b"enfpire.candidates"[:NEEDLE]}
        assert stage.credential.client.encode() in run.crossed
        assert stage.credential.key.encode() not in run.raw_sent


def test_the_client_sends_no_name_of_a_class(stage: Stage, runs: tuple[Run, Run]) -> None:
    names = [name.encode() for name in stage.published["cells"].fit.names]
    for run in runs:
        sent = [layer for commands in run.sent for command in commands for each in command for layer in layers(each)]
        said = b"\n".join([run.raw_sent, *sent])
        assert [name for name in names if name in said] == []
        # what comes back names every class of the group, whichever of them the photo shows
        answered = b"\n".join(layer for command in run.monitored for each in command for layer in layers(each))
        asked = {name.encode() for one in run.found.values() for name in one.candidates}
        assert all(name in answered for name in asked)


def test_everything_sent_was_monitored(runs: tuple[Run, Run]) -> None:
    # MONITOR keeps passwords to itself, and what the server does not know
    unheard = {(b"AUTH",), (b"HELLO",), (b"CLIENT", b"MAINT_NOTIFICATIONS")}
    for run in runs:
        heard = set(run.monitored)
        said = [command for commands in run.sent for command in commands]
        sent = [command for command in said if not {command[:1], command[:2]} & unheard]
        assert len(sent) > 10
        assert [command for command in sent if command not in heard] == []


def test_no_mark_is_in_the_memory_of_a_server(stage: Stage, runs: tuple[Run, Run]) -> None:
    secrets = needles(runs)
    version = stage.published["cells"].signed.bundle.version
    controls = {
        "exchange": stage.published["cells"].signed.digest.hex().encode(),
        "milvus": f"enf_{GALLERY}_{version}".encode(),
        "candidates-1": stage.published["cells"].signed.digest,
    }
    for name, pids in operators_processes(stage).items():
        control = controls[name][:NEEDLE]
        assert found_in_processes(pids, Search(secrets | {control})) == {control}, name


def test_no_mark_is_in_a_file_or_a_log_of_the_operator(stage: Stage, runs: tuple[Run, Run]) -> None:
    service = stage.service.folder
    logs = [service / "candidates-1.log", service / "exchange" / "server.log", service / "milvus" / "server.log"]
    assert all(log.exists() for log in logs)
    assert found_in_files([service / "exchange", service / "milvus"], Search(needles(runs))) == set()
    control = stage.published["cells"].signed.digest.hex().encode()
    assert found_in_files([service / "exchange"], Search([control])) == {control[:NEEDLE]}
    names = stage.published["cells"].fit.names
    for log in logs:
        written = log.read_bytes()
        assert Search(needles(runs)).found(written) == set()
        assert [name for name in names if name.encode() in written] == []


def test_the_search_finds_what_a_process_holds() -> None:
    """Were something there, it would be found: at any offset, and in what a child process holds alone."""
    secret = np.random.default_rng(7).bytes(512)
    hold = "import sys; held = sys.stdin.buffer.read(512); print('held', flush=True); sys.stdin.buffer.read()"
    parent = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {hold!r}]))"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(secret)
        process.stdin.flush()
        assert process.stdout.readline() == b"held\n"
        wanted = {secret[start : start + NEEDLE] for start in (0, 1, 2, 3, 130, 255, 496)}
        assert found_in_processes(with_descendants(process.pid), Search(wanted)) == wanted
        assert found_in_processes({process.pid}, Search(wanted)) == set()
        process.stdin.close()


def normalised(run: Run, client: str) -> list[list[Command]]:
    """What a client sent on each connection, with ids, expiry and HMAC replaced, and repeated polls once."""
    requests = [unseal(task_argument(command[2])) for commands in run.sent for command in commands if is_push(command)]
    numbered = {reply_key(client, request.id).encode(): b"reply-%d" % n for n, request in enumerate(requests)}

    def one(command: Command) -> Command:
        if is_push(command):
            number = numbered[reply_key(client, unseal(task_argument(command[2])).id).encode()]
            return command[0], command[1], number, *pushed_content(command[2])
        return tuple(numbered.get(argument, argument) for argument in command)

    return sorted([key for key, _ in groupby(map(one, commands))] for commands in run.sent)


def is_push(command: Command) -> bool:
    return command[0].upper() == b"LPUSH"


def pushed_content(message: bytes) -> tuple[bytes, bytes]:
    """A pushed message without its ids, and the request in it without id, expiry and HMAC; nothing else is left out."""
    sealed = task_argument(message)
    request = unseal(sealed)
    assert encode(request, b"Q") == sealed[MAC_BYTES:]
    blank = encode(request.model_copy(update={"id": bytes(16), "expires": 0}), b"Q")
    envelope = json.loads(message)
    body_bytes = len(envelope.pop("body"))
    ids: dict[bytes, bytes] = {}
    rest = UUID.sub(lambda found: ids.setdefault(found[0], b"id-%d" % len(ids)), json.dumps(envelope).encode())
    return rest + b" %d" % body_bytes, blank


def test_other_photos_of_the_same_groups_make_the_same_bytes(stage: Stage, runs: tuple[Run, Run]) -> None:
    first, second = runs
    assert [one.group for one in first.found.values()] == [one.group for one in second.found.values()]
    shown = [[one.name for one in run.found.values()] for run in runs]
    assert sum(a != b for a, b in zip(*shown, strict=True)) > PHOTOS * 0.8
    here, there = (normalised(run, stage.credential.client) for run in runs)
    assert sum(is_push(command) for commands in here for command in commands) == PHOTOS / A_QUERY
    assert here == there


def test_groups_are_all_that_a_query_holds(runs: tuple[Run, Run]) -> None:
    """The comparison above would notice other groups: they make other bytes."""
    run = runs[0]
    pushes = [command[2] for commands in run.sent for command in commands if is_push(command)]
    batches = [range(start, start + A_QUERY) for start in range(0, PHOTOS, A_QUERY)]
    asked = [sorted({run.found[row].group for row in batch}) for batch in batches]
    queries = [unseal(task_argument(message)).query for message in pushes]
    protected = [query.protected for query in queries]
    assert [one.numbers.values.tolist() for one in protected if isinstance(one, Groups)] == asked
    fewer = queries[0].model_copy(update={"protected": Groups(numbers=Array.of(np.array(asked[0][:-1]), "u4"))})
    assert len(asked[0]) > 1
    assert encode(fewer, b"q") != encode(queries[0], b"q")


def test_a_task_message_carries_its_request_and_nothing_else(
    stage: Stage, exchange: redis.Redis, tmp_path: Path
) -> None:
    with suspended(stage, "candidates-1"), stage.recognizer(tmp_path, deadline_seconds=60) as recognizer:
        recognizer.submit(stage.photos[:2])
        assert within(5, lambda: exchange.llen(QUEUE))
        (message,) = exchange.lrange(QUEUE, 0, -1)
        exchange.delete(QUEUE)
    envelope = json.loads(message)
    headers, properties = envelope["headers"], envelope["properties"]
    assert (headers["origin"], headers["argsrepr"], headers["kwargsrepr"]) == ("enfpire", "", "")
    assert properties["reply_to"] == ""
    ids = [headers["id"], properties["correlation_id"], properties["delivery_tag"]]
    said = {key: value for key, value in headers.items() if value and value not in ids}
    known = {"task": "enfpire.candidates", "lang": "py", "origin": "enfpire", "ignore_result": True}
    assert said == known | {"timelimit": [None, None]}
