"""The borders of DESIGN, as the linter and as the interpreter see them."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from enfpire import leakage, server, wire

ROOT = Path(__file__).parents[2]
CLIENT_ONLY = ("torch", "torchvision", "PIL", "efficientnet_lite_pytorch", "enfpire.client", "enfpire.curation")
NO_BROKER = ("redis", "celery", "kombu", "pymilvus", "pickle")


def modules_of(*packages: ModuleType) -> list[str]:
    return [f"{one.__name__}.{module.name}" for one in packages for module in pkgutil.iter_modules(one.__path__)]


def loaded_by(modules: list[str]) -> list[str]:
    """Everything that a fresh interpreter has loaded after these imports."""
    program = (
        "import importlib, json, sys\n"
        "for name in json.loads(sys.argv[1]): importlib.import_module(name)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    settings = {"ENFPIRE_EXCHANGE_URL": "redis://127.0.0.1:1/0", "ENFPIRE_SERVER_GALLERIES": '["groceries"]'}
    environment = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(modules)],
        check=False, capture_output=True, text=True, cwd=ROOT, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names: list[str] = json.loads(done.stdout.splitlines()[-1])
    return names


def of_packages(loaded: list[str], packages: tuple[str, ...]) -> list[str]:
    return [name for name in loaded for package in packages if name == package or name.startswith(f"{package}.")]


def test_import_contracts_are_kept() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_the_server_loads_neither_torch_nor_an_image_library() -> None:
    modules = [*modules_of(server), "workers.candidates"]
    loaded = loaded_by(modules)
    assert set(modules) <= set(loaded)
    assert of_packages(loaded, CLIENT_ONLY) == []


def test_what_travels_needs_no_broker() -> None:
    loaded = loaded_by([name for name in modules_of(wire, leakage) if not name.endswith(".schema")])
    plain = loaded_by(["numpy", "pydantic", "cryptography.hazmat.primitives.asymmetric.ed25519", "msgpack"])
    assert of_packages(loaded, (*CLIENT_ONLY, "enfpire.server", "enfpire.exchange")) == []
    # numpy itself loads pickle
    assert set(of_packages(loaded, NO_BROKER)) <= set(of_packages(plain, NO_BROKER))


@pytest.mark.parametrize("module", ["enfpire", "enfpire.client.protocol", "enfpire.client.recognizer"])
def test_the_sdk_loads_torch_only_for_photos(module: str) -> None:
    loaded = loaded_by([module])
    assert of_packages(loaded, ("torch", "torchvision", "pymilvus", "enfpire.server", "enfpire.curation")) == []
