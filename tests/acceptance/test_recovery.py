"""Whatever dies or gets lost in mid-job, each photo ends with exactly one recognition, and it is the right one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from enfpire.client import handover
from enfpire.client.job import Job
from enfpire.client.recognition import Recognition
from enfpire.client.recognizer import Recognizer
from enfpire.curation.publish import draft_version, make_bundle
from enfpire.curation.workspace import Workspace
from enfpire.errors import CandidateSetError
from enfpire.exchange.replies import post_reply
from enfpire.server.answer import answer
from enfpire.wire.bundle import SignedBundle, serving_of, sign_bundle
from enfpire.wire.names import KEY_PREFIX, candidates_queue
from enfpire.wire.query import Query, unseal
from enfpire.wire.reply import Reply, Response, encode_response
from tests.acceptance.recording import Monitor, task_argument
from tests.acceptance.stage import BULK_QUEUE, QUEUE, Stage, blocked_readers, memory_lookup, suspended, within

pytestmark = pytest.mark.acceptance

SLOWLY: dict[str, Any] = {"photos_per_query": 4, "window": 1}


def many(stage: Stage) -> list[str]:
    """Photos enough for a job that takes a while."""
    return stage.photos * 6


def check_complete(stage: Stage, found: Iterable[Recognition], photos: list[str]) -> None:
    expected = stage.expected()
    by_row = sorted(found, key=lambda one: one.row)
    assert [one.row for one in by_row] == list(range(len(photos)))
    assert [(one.photo, one.error, one.name) for one in by_row] == [
        (photo, None, expected[photo].name) for photo in photos
    ]


def begin(job: Job) -> None:
    """Return when a job has some recognitions, and by far not all."""
    assert within(20, lambda: job.progress.recognised > 0)
    assert job.progress.recognised < job.progress.total / 2


def test_a_killed_client_goes_on_where_it_stopped(stage: Stage, tmp_path: Path) -> None:
    photos = many(stage)
    with stage.client(tmp_path, photos, settings=SLOWLY) as client:
        assert client.stdout is not None
        job_id, first = client.stdout.readline().strip(), client.stdout.readline().strip()
        client.kill()
        assert first.isdigit(), client.stderr
        client.wait()
    with stage.recognizer(tmp_path) as recognizer:
        job = recognizer.resume(job_id)
        assert 0 < job.progress.recognised < len(photos)
        check_complete(stage, job.results(), photos)


@pytest.mark.parametrize("name", ["candidates-1", "exchange"])
def test_a_crash_on_the_operators_side_costs_time_only(stage: Stage, tmp_path: Path, name: str) -> None:
    photos = many(stage)
    with stage.recognizer(tmp_path, deadline_seconds=1, **SLOWLY) as recognizer:
        job = recognizer.submit(photos)
        begin(job)
        stage.service.processes[name].kill()
        check_complete(stage, job.results(), photos)
    stage.service.processes[name].wait_restarted()


def test_a_killed_resolution_worker_loses_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "AGAIN_SECONDS", 1.0)
    photos = many(stage)
    store, broker = stage.service.client_store, stage.service.client_broker_url
    with stage.recognizer(store, broker_url=broker, deadline_seconds=1, **SLOWLY) as recognizer:
        job = recognizer.submit(photos)
        begin(job)
        stage.service.processes["resolution-1"].kill()
        check_complete(stage, job.results(), photos)
    stage.service.processes["resolution-1"].wait_restarted()


def pushed(monitor: Monitor) -> list[bytes]:
    """Ids of the requests that were pushed onto the gallery's queues."""
    queues = (QUEUE.encode(), BULK_QUEUE.encode())
    messages = [command[2] for command in monitor.commands if command[0].upper() == b"LPUSH" and command[1] in queues]
    return [unseal(task_argument(message)).id for message in messages]


def test_a_lost_query_is_asked_again(stage: Stage, exchange: redis.Redis, tmp_path: Path) -> None:
    photos = stage.photos[:3]
    with (
        stage.recognizer(tmp_path, deadline_seconds=1) as recognizer,
        Monitor(stage.service.exchange_url) as monitor,
        suspended(stage, "candidates-1") as go_on,
    ):
        job = recognizer.submit(photos)
        assert within(5, lambda: exchange.llen(QUEUE))
        exchange.delete(QUEUE)
        go_on()
        check_complete(stage, job.results(), photos)
    first, second = pushed(monitor)
    assert first == second


def replies(exchange: redis.Redis) -> set[bytes | str]:
    """Names of the reply lists that are there."""
    return set(exchange.keys(f"{KEY_PREFIX}reply:*"))


def test_a_lost_reply_is_asked_for_again(stage: Stage, exchange: redis.Redis, tmp_path: Path) -> None:
    photos, earlier = stage.photos[:3], replies(exchange)
    with (
        Monitor(stage.service.exchange_url) as monitor,
        suspended(stage, "candidates-1") as go_on,
        stage.client(tmp_path, photos, settings={"deadline_seconds": 2}) as client,
    ):
        assert within(20, lambda: exchange.llen(QUEUE))
        client.send_signal(signal.SIGSTOP)
        assert within(5, lambda: not blocked_readers(stage.service.exchange_url))
        go_on()
        assert within(10, lambda: replies(exchange) - earlier)
        assert exchange.delete(*replies(exchange) - earlier) == 1
        client.send_signal(signal.SIGCONT)
        said, complaint = client.communicate(timeout=30)
        assert said.split()[-1] == "done", complaint
    assert len(set(pushed(monitor))) == 1
    assert len(pushed(monitor)) == 2
    with stage.recognizer(tmp_path) as recognizer:
        check_complete(stage, recognizer.resume(said.split()[0]).results(), photos)


# A gallery whose server is this test: it answers what a server must not.
Cheat = Callable[[Reply], Reply]
CHEATED_QUEUE = KEY_PREFIX + candidates_queue("cheated", bulk=False)


def another_body(reply: Reply) -> Reply:
    sets = tuple(sent.model_copy(update={"body": (sent.body or b"")[:-1] + b"\x01"}) for sent in reply.sets)
    return reply.model_copy(update={"sets": sets})


def another_group(reply: Reply) -> Reply:
    # a client with a memory asks again for the set that was withheld, and for that one alone
    stand_in = reply.sets[1] if len(reply.sets) > 1 else reply.sets[0].model_copy(update={"digest": bytes(32)})
    return reply.model_copy(update={"sets": (stand_in, *reply.sets[1:])})


def nothing_as_if_held(reply: Reply) -> Reply:
    return reply.model_copy(update={"sets": tuple(sent.model_copy(update={"body": None}) for sent in reply.sets)})


def as_it_should_be(reply: Reply) -> Reply:
    return reply


@pytest.fixture(scope="module")
def own_bundle(stage: Stage) -> SignedBundle:
    """The gallery's bundle under a name that no worker serves."""
    fitted = stage.published["cells"].fit.model_copy(update={"gallery": "cheated"})
    found = memory_lookup(fitted).by_group(range(stage.published["cells"].signed.bundle.transform.groups))  # type: ignore[union-attr]
    bundle = make_bundle(fitted, draft_version(fitted).version, b"".join(one.digest for one in found))
    with Workspace.open(stage.folder / "workspace") as workspace:
        return sign_bundle(bundle, workspace.operator_key())


@contextmanager
def served(stage: Stage, signed: SignedBundle, cheat: Cheat) -> Iterator[None]:
    """Answer the queries under a bundle, in the way of `cheat`."""
    over = threading.Event()
    thread = threading.Thread(target=_serve, args=(stage, signed, cheat, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _serve(stage: Stage, signed: SignedBundle, cheat: Cheat, over: threading.Event) -> None:
    lookup, serving = memory_lookup(stage.published["cells"].fit), serving_of(signed.bundle)
    with redis.Redis.from_url(stage.service.exchange_url) as exchange:
        while not over.is_set():
            taken = exchange.brpop([CHEATED_QUEUE], timeout=0.1)
            if taken is not None:
                request = unseal(task_argument(taken[1]))
                query: Query = request.query
                reply = cheat(answer(query, serving, lookup))
                data = encode_response(Response(id=request.id, reply=reply))
                post_reply(exchange, request.client, request.id, data, seconds=30)


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("cheat", [another_body, another_group, nothing_as_if_held])
def test_a_candidate_set_that_the_bundle_does_not_name_is_refused(
    stage: Stage, own_bundle: SignedBundle, tmp_path: Path, cheat: Cheat, memory: bool
) -> None:
    features = stage.features()[::9]
    with redis.Redis.from_url(stage.service.exchange_url) as exchange:
        exchange.delete(CHEATED_QUEUE)  # what an earlier client asked again and no longer waits for
    with Recognizer.open(
        own_bundle.data,
        exchange=stage.service.exchange_url,
        credential=stage.credential,
        store=str(tmp_path),
        memory=memory,
        settings=stage.settings(deadline_seconds=0.1),
    ) as recognizer:
        job = recognizer.submit(features)
        with served(stage, own_bundle, cheat), pytest.raises(CandidateSetError):
            job.wait(20)
        assert (job.progress.recognised, job.progress.failed) == (0, 0)
        with served(stage, own_bundle, as_it_should_be):
            found = {one.row: one.name for one in recognizer.resume(job.id).results()}
    expected = [match.name for match in stage.expected().values()][::9]
    assert [found[row] for row in range(len(expected))] == expected
