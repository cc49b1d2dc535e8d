"""The README's examples, run as they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from broker.process import CHECKOUT
from examples.demo.shots import shoot, spots
from workers.local import LocalService

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
CLASSES = 24


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def console_lines(text: str) -> list[str]:
    """Commands of the fenced console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, LocalService]]:
    """A folder with the photos that the README speaks of, and a service."""
    folder = tmp_path_factory.mktemp("desk")
    random = np.random.default_rng(1)
    (folder / "holiday").mkdir()
    infos = ["class,title"]
    for number, (name, spot) in enumerate(islice(spots(), 0, 2 * CLASSES, 2)):
        shelf = folder / "shop/gallery" / name
        shelf.mkdir(parents=True)
        for shot in range(3):
            (shelf / f"{shot}.jpg").write_bytes(shoot(spot, random))
        (folder / "holiday" / f"{number}.jpg").write_bytes(shoot(spot, random))
        infos.append(f"{name},The {name}")
    (folder / "groceries.csv").write_text("\n".join(infos) + "\n")
    for number, name in enumerate(("milk", "bread", "apple")):
        (folder / f"{name}.jpg").write_bytes((folder / f"holiday/{number}.jpg").read_bytes())
    with LocalService(folder / "service", ["groceries"]) as service:
        yield folder, service


def in_the_shell(argv: list[str], folder: Path, service: LocalService) -> subprocess.CompletedProcess[str]:
    """Run a program as a user who has exported what `python -m workers.local` printed."""
    own = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(
        argv, cwd=folder, env=own | service.environment(), capture_output=True, text=True, timeout=120, check=False
    )


def test_your_own_photos_then_from_an_app(desk: tuple[Path, LocalService]) -> None:
    folder, service = desk
    commands = console_lines(section("Your own photos"))
    assert [line.split()[1] for line in commands] == ["enroll", "fit", "publish", "clients", "recognize"]
    for line in commands:
        argv = [sys.executable, "-m", "enfpire.cli.main", *shlex.split(line)[1:]]
        run = in_the_shell(argv, folder, service)
        assert run.returncode == 0, f"{line}\n{run.stdout}{run.stderr}"
    assert len((folder / "found.jsonl").read_text().splitlines()) == CLASSES

    (program,) = re.findall(r"```python\n(.*?)```", section("From an app"), re.DOTALL)
    code = program.replace("redis://...", service.exchange_url)
    run = in_the_shell([sys.executable, "-c", code], folder, service)
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == 3


def test_the_two_commands_and_the_settings_exist() -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    assert "\ndemo:" in makefile
    assert "\ntest:" in makefile
    named = set(re.findall(r"ENFPIRE_[A-Z_]+", README))
    code = "".join(path.read_text() for folder in ("enfpire", "workers") for path in (CHECKOUT / folder).rglob("*.py"))
    prefixes = ("ENFPIRE_EXCHANGE_", "ENFPIRE_SERVER_", "ENFPIRE_CLIENT_")
    for name in named - {"ENFPIRE_"}:
        settled = any(name.startswith(prefix) and f"    {name[len(prefix) :].lower()}:" in code for prefix in prefixes)
        assert settled or f'"{name}"' in code, name
