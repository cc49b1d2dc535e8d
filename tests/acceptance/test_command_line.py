"""The command line, in processes of its own: the whole way from photos to recognitions, and every bad input."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from broker.process import CHECKOUT, free_port
from enfpire.client.store import JobState, open_store
from enfpire.curation.workspace import Workspace
from enfpire.wire.bundle import open_bundle, sign_bundle
from tests.acceptance.stage import GALLERY, Stage, suspended, within

pytestmark = pytest.mark.acceptance

Run = subprocess.CompletedProcess[str]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "enfpire.cli.main", *map(str, arguments)]


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with these settings of EnfPire, and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ENFPIRE_")}
    # wide enough that no line of a message is broken
    return kept | {"COLUMNS": "200"} | dict(changes or {})


def run(*arguments: object, settings: Mapping[str, str] | None = None) -> Run:
    return subprocess.run(
        command(*arguments),
        cwd=CHECKOUT,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def good(*arguments: object, settings: Mapping[str, str] | None = None) -> str:
    done = run(*arguments, settings=settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def credential(stage: Stage, tmp_path: Path) -> Path:
    path = tmp_path / "credential.json"
    path.write_text(stage.credential.model_dump_json(), encoding="utf-8")
    return path


@pytest.fixture
def settings(stage: Stage, tmp_path: Path) -> dict[str, str]:
    """What operator and client would export."""
    return {
        "ENFPIRE_EXCHANGE_URL": stage.service.exchange_url,
        "ENFPIRE_SERVER_MILVUS_URI": stage.service.milvus_uri,
        "ENFPIRE_OPERATOR_WORKSPACE": str(tmp_path / "workspace"),
        "ENFPIRE_CLIENT_STORE": str(tmp_path / "store"),
    }


def test_the_operators_whole_way(stage: Stage, tmp_path: Path, settings: dict[str, str]) -> None:
    """enroll, fit, publish, clients add: and a client that was added recognises photos with the bundle."""
    photos, names = tmp_path / "photos", sorted(set(stage.truth.values()))[:12]
    for name in names:
        shutil.copytree(stage.folder / "photos" / "gallery" / name, photos / name)
    (photos / names[0] / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    infos = tmp_path / "infos.csv"
    infos.write_text("class,title\n" + "".join(f"{name},The {name}\n" for name in names), encoding="utf-8")
    say = run("enroll", photos, "-g", GALLERY, "--info", infos, "--json", settings=settings)
    assert say.returncode == 0, say.stderr
    assert "broken.jpg" in say.stdout + say.stderr
    good("fit", "-g", GALLERY, "--classes-per-group", 6, settings=settings)
    bundle, given = tmp_path / "small.enfpire", tmp_path / "newcomer.json"
    published = json.loads(good("publish", "-g", GALLERY, "--out", bundle, "--json", settings=settings))
    assert open_bundle(bundle.read_bytes()).digest.hex() == published["digest"]
    good("clients", "add", "newcomer", "--out", given, settings=settings)
    assert given.stat().st_mode & 0o777 == 0o600
    assert "newcomer" in good("clients", "list", settings=settings).split()
    out = tmp_path / "out.jsonl"
    query = stage.folder / "photos" / "query" / names[3]
    good("recognize", query, "--bundle", bundle, "--credential", given, "--out", out, settings=settings)
    found = read_lines(out)
    assert len(found) == 3
    assert {one["class"] for one in found} <= {*names, None}
    assert any(one["class"] == names[3] and one["info"] == {"title": f"The {names[3]}"} for one in found)
    good("clients", "revoke", "newcomer", settings=settings)
    refused = run(
        "recognize", query, "--bundle", bundle, "--credential", given, "--out", out, "--no-memory", settings=settings
    )
    assert (refused.returncode, "unknown-client" in refused.stderr) == (7, True)


def test_bulk_that_was_killed_goes_on_when_it_is_started_again(
    stage: Stage, tmp_path: Path, settings: dict[str, str], credential: Path
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out.jsonl"
    shutil.copytree(stage.folder / "photos" / "query", photos)
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    settings |= {"ENFPIRE_CLIENT_PHOTOS_PER_QUERY": "4", "ENFPIRE_CLIENT_DEADLINE_SECONDS": "2"}
    bundle = stage.published["cells"].path
    arguments = ["recognize", photos, "--bundle", bundle, "--credential", credential, "--out", out, "--no-memory"]
    with subprocess.Popen(
        command(*arguments), cwd=CHECKOUT, env=environment(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as first:
        try:
            store = open_store(settings["ENFPIRE_CLIENT_STORE"])
            assert within(60, lambda: any(store.progress(job.id).recognised for job in store.jobs()))
        finally:
            first.kill()
    (job,) = store.jobs()
    before = store.progress(job.id).recognised
    assert 0 < before < 72
    assert not out.exists()
    jobs = json.loads(good("jobs", "list", "--json", settings=settings))
    assert [(one["job"], one["state"], one["photos"]) for one in jobs] == [(job.id, "open", 73)]
    again = run(*arguments, "--json", settings=settings)
    assert again.returncode == 0, again.stderr
    assert f"going on with job {job.id}" in again.stderr
    assert [one.id for one in store.jobs()] == [job.id]
    store.close()
    found = {one["photo"]: one for one in read_lines(out)}
    assert len(read_lines(out)) == len(found) == 73
    assert found.pop(str(photos / "broken.jpg"))["error"]
    expected = stage.expected()
    by_name = {Path(photo).name: match for photo, match in expected.items()}
    assert {photo: one["class"] for photo, one in found.items()} == {
        photo: by_name[Path(photo).name].name for photo in found
    }


def test_jobs_are_listed_resumed_cancelled_and_purged(
    stage: Stage, tmp_path: Path, settings: dict[str, str], credential: Path
) -> None:
    store = settings["ENFPIRE_CLIENT_STORE"]
    with suspended(stage, "candidates-1"), stage.recognizer(store, deadline_seconds=60) as recognizer:
        kept, dropped = (recognizer.submit(stage.photos[:20], label=label).id for label in ("kept", "dropped"))
        assert within(10, lambda: not open_store(store).waiting(dropped, 1))
    out = tmp_path / "out.csv"
    good("jobs", "cancel", dropped, settings=settings)
    good("jobs", "resume", kept, "--credential", credential, "--out", out, settings=settings)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = stage.expected()
    assert {row["photo"]: row["class"] or None for row in rows} == {
        photo: expected[photo].name for photo in stage.photos[:20]
    }
    jobs = {one["job"]: one["state"] for one in json.loads(good("jobs", "list", "--json", settings=settings))}
    assert jobs == {kept: "done", dropped: "cancelled"}
    good("purge", "--yes", settings=settings)
    assert json.loads(good("jobs", "list", "--json", settings=settings)) == []


def test_a_bundle_is_shown_and_verified(stage: Stage) -> None:
    signed, path = stage.published["cells"].signed, stage.published["cells"].path
    shown = json.loads(good("bundle", "show", path, "--json"))
    promised = {"classes": 24, "groups": 4, "classes_per_group": 6, "bits_per_message": 2.0, "bound": 4 / 24}
    assert {name: shown[name] for name in promised} == pytest.approx(promised)
    assert (shown["digest"], shown["operator_key"]) == (signed.digest.hex(), signed.key.hex())
    assert signed.digest.hex() in good("bundle", "verify", path, "--operator-key", signed.key.hex())


# Bad input: what is asked, the exit code, and what the message must say.


@dataclass(frozen=True)
class Bad:
    exit_code: int
    says: str
    arguments: Callable[[Props], list[object]]
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Props:
    """Files and folders that go wrong, and some that do not."""

    stage: Stage
    folder: Path
    credential: Path

    def recognize(self, bundle: Path | None = None, **options: object) -> list[object]:
        usual: dict[str, object] = {
            "--bundle": bundle or self.stage.published["cells"].path,
            "--credential": self.credential,
            "--exchange": self.stage.service.exchange_url,
            "--store": self.folder / f"store-{len(list(self.folder.iterdir()))}-{os.urandom(4).hex()}",
            "--out": self.folder / "out.jsonl",
        }
        usual |= {f"--{name.replace('_', '-')}": value for name, value in options.items()}
        return ["recognize", self.stage.photos[0], *(part for pair in usual.items() for part in pair)]

    def enroll(self, photos: Path, gallery: str = GALLERY) -> list[object]:
        return ["enroll", photos, "--gallery", gallery, "--workspace", self.folder / "enrolled"]

    def fit(self, classes: int, *options: object, gallery: str = GALLERY) -> list[object]:
        return ["fit", "--gallery", gallery, *options, "--workspace", self.gallery(classes)]

    def publish(self, gallery: str) -> list[object]:
        """Publish to a Milvus that is not there."""
        servers = ("--exchange", self.stage.service.exchange_url, "--milvus", f"http://127.0.0.1:{CLOSED}")
        workspace = self.stage.folder / "workspace"
        return ["publish", "-g", gallery, "--out", self.folder / "out.enfpire", *servers, "--workspace", workspace]

    def verify(self, key: str) -> list[object]:
        return ["bundle", "verify", self.stage.published["cells"].path, "--operator-key", key]

    def add_client(self, client: str) -> list[object]:
        url = self.stage.service.exchange_url
        return ["clients", "add", client, "--out", self.folder / "added.json", "--exchange", url]

    def locked(self) -> str:
        return self.stage.service.exchange_url.replace("redis://:", "redis://:no")

    def gallery(self, classes: int) -> Path:
        """A workspace with so many classes."""
        folder = self.folder / f"workspace-{classes}"
        if not folder.exists():
            shutil.copytree(self.stage.folder / "workspace", folder)
            with Workspace.open(folder) as workspace:
                workspace.remove_classes(GALLERY, workspace.classes(GALLERY)[classes:])
        return folder

    def file(self, name: str, data: bytes) -> Path:
        (self.folder / name).write_bytes(data)
        return self.folder / name

    def empty(self) -> Path:
        (self.folder / "empty").mkdir(exist_ok=True)
        return self.folder / "empty"

    def damaged(self) -> Path:
        data = bytearray(self.stage.published["cells"].signed.data)
        data[len(data) // 2] ^= 1
        return self.file("damaged.enfpire", bytes(data))

    def stale(self) -> Path:
        """A good bundle of the operator's that is no longer served."""
        bundle = self.stage.published["cells"].signed.bundle.model_copy(update={"figures": {"age": 9.0}})
        with Workspace.open(self.stage.folder / "workspace") as workspace:
            return self.file("stale.enfpire", sign_bundle(bundle, workspace.operator_key()).data)

    def wrong_key(self) -> Path:
        wrong = self.stage.credential.model_copy(update={"key": "0" * 64})
        return self.file("wrong.json", wrong.model_dump_json().encode())


CLOSED = free_port()
NOBODY = f"redis://127.0.0.1:{CLOSED}/0"
K = "--classes-per-group"
BAD = {
    "an empty folder to enrol": Bad(8, "make a folder a class", lambda p: p.enroll(p.empty())),
    "a folder that is not there": Bad(2, "nowhere", lambda p: p.enroll(p.folder / "nowhere")),
    "a name that cannot be one": Bad(2, "lower-case", lambda p: p.enroll(p.empty(), "Milk & Tea")),
    "an empty folder to recognise": Bad(2, "no photo", lambda p: ["recognize", p.empty(), *p.recognize()[2:]]),
    "an output of no known kind": Bad(2, ".jsonl", lambda p: p.recognize(out=p.folder / "out.txt")),
    "an output in no folder": Bad(2, "make it first", lambda p: p.recognize(out=p.folder / "none" / "out.csv")),
    "one class": Bad(8, "enrol more", lambda p: p.fit(1, K, 2)),
    "fewer classes than k": Bad(8, "enrol more", lambda p: p.fit(5, K, 6)),
    "no k": Bad(2, K, lambda p: p.fit(5)),
    "a gallery that nobody enrolled": Bad(8, "enfpire enroll", lambda p: p.fit(5, K, 2, gallery="other")),
    "a gallery that was not fitted": Bad(8, "enfpire fit", lambda p: p.publish("other")),
    "noise without its amount": Bad(2, "--epsilon", lambda p: p.fit(5, "--transform", "noise")),
    "no such transform": Bad(2, "choose cells", lambda p: p.fit(5, "--transform", "rot13")),
    "identity without --insecure": Bad(2, "--insecure", lambda p: p.fit(5, "--transform", "identity")),
    "a damaged bundle": Bad(5, "fetch", lambda p: p.recognize(p.damaged())),
    "a damaged bundle to look at": Bad(5, "fetch", lambda p: ["bundle", "show", p.damaged()]),
    "something else than a bundle": Bad(5, "fetch", lambda p: ["bundle", "show", p.stage.photos[0]]),
    "a bundle that is not there": Bad(5, "cannot be read", lambda p: ["bundle", "show", p.folder / "[none]"]),
    "a stale bundle": Bad(7, "fetch the current one", lambda p: p.recognize(p.stale())),
    "another operator's key": Bad(5, "operator", lambda p: p.recognize(operator_key="ab" * 32)),
    "another operator's key to verify": Bad(5, "operator", lambda p: p.verify("ab" * 32)),
    "a key that is none": Bad(2, "64 hexadecimal", lambda p: p.recognize(operator_key="key")),
    "a client's key that is wrong": Bad(7, "ask for a new", lambda p: p.recognize(credential=p.wrong_key())),
    "a credential that is none": Bad(2, "clients add", lambda p: p.recognize(credential=p.damaged())),
    "a client that exists": Bad(2, "exists", lambda p: p.add_client(p.stage.credential.client)),
    "an exchange that is not there": Bad(10, "is it running", lambda p: p.recognize(exchange=NOBODY)),
    "an exchange with another password": Bad(10, "credential", lambda p: p.recognize(exchange=p.locked())),
    "an exchange that is no URL": Bad(10, "redis://", lambda p: p.recognize(exchange="127.0.0.1")),
    "a Milvus that is not there": Bad(10, "no Milvus", lambda p: p.publish(GALLERY)),
    "less than the floor of classes": Bad(5, "--min-classes", lambda p: p.recognize(min_classes_per_group=7)),
    "more than the floor of bits": Bad(5, "--max-leak-bits", lambda p: p.recognize(max_leak_bits=1.5)),
    "an unproved bundle": Bad(5, "--accept-unproved", lambda p: p.recognize(p.stage.published["projection"].path)),
    "an insecure bundle": Bad(5, "--insecure", lambda p: p.recognize(p.stage.published["identity"].path)),
    "a job that is not there": Bad(2, "jobs list", lambda p: ["jobs", "cancel", "0" * 16, "--store", p.folder / "s"]),
}


@pytest.fixture(scope="module")
def outcomes(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Every bad call, all of them at once."""
    folder = tmp_path_factory.mktemp("bad")
    credential = folder / "credential.json"
    credential.write_text(stage.credential.model_dump_json(), encoding="utf-8")
    props = Props(stage, folder, credential)
    calls = {name: bad.arguments(props) for name, bad in BAD.items()}
    with ThreadPoolExecutor(3) as pool:
        return dict(zip(calls, pool.map(lambda call: run(*call), calls.values()), strict=True))


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_a_clear_line_and_an_exit_code(outcomes: dict[str, Run], name: str) -> None:
    done, bad = outcomes[name], BAD[name]
    assert "Traceback" not in done.stderr + done.stdout
    said = [line for line in done.stderr.splitlines() if line.startswith("enfpire: ")]
    assert len(said) == 1, done.stderr
    assert bad.says in said[0]
    assert done.returncode == bad.exit_code, said


def test_a_refused_job_is_not_lost(stage: Stage, tmp_path: Path, settings: dict[str, str]) -> None:
    """With the right key the job that a wrong one could not ask for goes on."""
    good_one, wrong = tmp_path / "good.json", tmp_path / "wrong.json"
    good_one.write_text(stage.credential.model_dump_json(), encoding="utf-8")
    wrong.write_text(stage.credential.model_copy(update={"key": "0" * 64}).model_dump_json(), encoding="utf-8")
    out, bundle = tmp_path / "out.jsonl", stage.published["cells"].path
    arguments = ["recognize", stage.photos[0], "--bundle", bundle, "--out", out, "--credential"]
    assert run(*arguments, wrong, settings=settings).returncode == 7
    assert "going on with job" in run(*arguments, good_one, settings=settings).stderr
    assert [one["class"] for one in read_lines(out)] == [stage.expected()[stage.photos[0]].name]


def test_ctrl_c_keeps_the_job(stage: Stage, tmp_path: Path, settings: dict[str, str], credential: Path) -> None:
    arguments = ["recognize", stage.photos[0], "--bundle", stage.published["cells"].path, "--credential", credential]
    arguments += ["--out", tmp_path / "out.jsonl"]
    store = open_store(settings["ENFPIRE_CLIENT_STORE"])
    with (
        suspended(stage, "candidates-1"),
        subprocess.Popen(
            command(*arguments), cwd=CHECKOUT, env=environment(settings), stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        assert within(60, store.outstanding)
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "what was done is kept" in said
    assert [job.state for job in store.jobs()] == [JobState.OPEN]
    store.close()
