"""The images and the compose file, as far as they can be checked without a Docker engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
DOCKER = CHECKOUT / "docker"
IMAGES = sorted(DOCKER.glob("*.Dockerfile"))
COMPOSE_TEXT = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def settings(service: str) -> set[str]:
    return set(SERVICES[service].get("environment", {}))


def copied(image: Path) -> list[str]:
    lines = re.findall(r"^COPY (.+)$", image.read_text(encoding="utf-8"), re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_there_is_an_image_for_each_trust_domain() -> None:
    assert [image.stem for image in IMAGES] == ["client", "operator", "server"]


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.stem)
def test_everything_that_an_image_copies_exists_and_is_sent_to_the_build(image: Path) -> None:
    allowed = re.findall(r"^!(.+)$", (CHECKOUT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert copied(image)
    for source in copied(image):
        assert (CHECKOUT / source).exists(), source
        assert source.split("/")[0] in allowed, source


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.stem)
def test_images_do_not_run_as_root_and_install_an_extra_that_exists(image: Path) -> None:
    text = image.read_text(encoding="utf-8")
    (extra,) = re.findall(r'pip install "\.\[(\w+)\]"', text)
    assert re.search(rf"^{extra} = \[", (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert "USER enfpire" in text


@pytest.mark.parametrize(("image", "module"), [("server", "workers.candidates"), ("client", "workers.resolution")])
def test_a_worker_image_holds_the_worker_that_it_starts_and_no_other(image: str, module: str) -> None:
    path = DOCKER / f"{image}.Dockerfile"
    assert f'"-A", "{module}"' in path.read_text(encoding="utf-8")
    source = module.replace(".", "/") + ".py"
    assert [one for one in copied(path) if one.startswith("workers/")] == ["workers/__init__.py", source]
    # What it imports of the application must be in the image too.
    assert not re.search(r"^from (broker|workers)\b", (CHECKOUT / source).read_text(encoding="utf-8"), re.MULTILINE)


def test_everything_that_compose_builds_or_mounts_from_the_checkout_exists() -> None:
    for service in SERVICES.values():
        if "build" in service:
            assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).is_file(), source
            elif not source.startswith("${"):
                assert source in COMPOSE["volumes"], source


def test_no_side_is_given_the_other_sides_settings_or_network() -> None:
    assert not {name for name in settings("candidates") | settings("operator") if "CLIENT" in name}
    assert not {name for name in settings("resolution") if "SERVER" in name or "EXCHANGE" in name}
    assert not {name for name in settings("client") if "SERVER" in name or "OPERATOR" in name}
    assert SERVICES["milvus"]["networks"] == SERVICES["candidates"]["networks"] == ["operator"]
    assert SERVICES["client-broker"]["networks"] == SERVICES["resolution"]["networks"] == ["client"]


def test_only_the_exchange_is_published_and_to_this_machine_alone() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"exchange": ["127.0.0.1:6379:6379"]}


def test_the_example_names_every_variable_that_compose_reads() -> None:
    example = (DOCKER / "example.env").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT)) == set(re.findall(r"^(\w+)=", example, re.MULTILINE))


def test_both_redis_run_with_our_configuration() -> None:
    for name in ("exchange", "client-broker"):
        assert SERVICES[name]["command"][:2] == ["valkey-server", "/etc/enfpire/redis.conf"]
        assert "../broker/redis.conf:/etc/enfpire/redis.conf:ro" in SERVICES[name]["volumes"]
