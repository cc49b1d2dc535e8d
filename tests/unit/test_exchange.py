from __future__ import annotations

import base64
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
import redis

from enfpire.client.exchange_link import ExchangeLink
from enfpire.curation.fit import VectorOptions
from enfpire.errors import UnavailableError, UsageError
from enfpire.exchange.bundles import drop_bundle, fetch_bundle, fetch_serving, put_bundle
from enfpire.exchange.celery_app import celery_app
from enfpire.exchange.clients import add_client, client_secret, list_clients, revoke_client
from enfpire.exchange.connection import connect
from enfpire.exchange.publish import publish
from enfpire.exchange.replies import post_reply, take_reply
from enfpire.wire.bundle import open_bundle, serving_of
from enfpire.wire.names import CANDIDATES_TASK, serving_key
from tests.unit.synthetic import shop

NOBODY = "redis://127.0.0.1:1/0"
ONE, OTHER = b"1" * 16, b"2" * 16


@pytest.fixture
def exchange(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as client:
        yield client


def pushed(exchange: redis.Redis, queue: str) -> dict[str, Any]:
    """The one message in a queue, as it lies in Redis."""
    (raw,) = exchange.lrange(queue, 0, -1)
    message: dict[str, Any] = json.loads(raw)
    return message


# publish


def test_a_message_says_nothing_about_its_sender(redis_url: str, exchange: redis.Redis) -> None:
    payload = b"\x00\xffpayload-" + os.urandom(8)
    app = celery_app("client", redis_url, ["candidates.shop:"], task_seconds=20)
    publish(app, CANDIDATES_TASK, "candidates.shop:", payload)
    app.close()
    message = pushed(exchange, "enf:candidates.shop:")
    headers, properties = message["headers"], message["properties"]
    assert headers["origin"] == "enfpire"
    assert headers["argsrepr"] == headers["kwargsrepr"] == ""
    assert not properties.get("reply_to")
    assert headers["ignore_result"] is True
    assert headers["task"] == CANDIDATES_TASK
    # the body is msgpack, and holds the payload once
    assert message["content-type"] == "application/x-msgpack"
    body = base64.b64decode(message["body"])
    args, kwargs, embedded = msgpack.unpackb(body)
    assert (args, kwargs) == ([payload], {})
    assert not any(embedded.values())
    # nothing else in it names this machine, user or process
    (raw,) = exchange.lrange("enf:candidates.shop:", 0, -1)
    assert socket.gethostname().encode() not in raw
    assert f"{os.getpid()}@".encode() not in raw
    assert body.count(payload) == 1
    assert b"payload-" not in raw


def test_two_messages_of_a_process_have_nothing_in_common_but_constants(redis_url: str, exchange: redis.Redis) -> None:
    """What is the same in two messages of one process is the same in those of another process, too."""
    found = []
    for _ in range(2):
        app = celery_app("client", redis_url, ["candidates.shop:"], task_seconds=20)
        for _ in range(2):
            publish(app, CANDIDATES_TASK, "candidates.shop:", b"same")
            message = pushed(exchange, "enf:candidates.shop:")
            found.append(message["headers"] | message["properties"])
            exchange.delete("enf:candidates.shop:")
        app.close()
    first, second, third, _ = found
    within = {name for name in first if first[name] == second[name]}
    across = {name for name in first if first[name] == third[name]}
    assert within == across
    assert {name for name in first if name not in within} == {"id", "root_id", "correlation_id", "delivery_tag"}


def test_a_publisher_writes_its_queue_and_no_other_key(redis_url: str, exchange: redis.Redis) -> None:
    app = celery_app("client", redis_url, ["candidates.shop:", "candidates.shop.bulk:"], task_seconds=20)
    publish(app, CANDIDATES_TASK, "candidates.shop.bulk:", b"x")
    app.close()
    assert exchange.keys() == [b"enf:candidates.shop.bulk:"]


def test_a_client_needs_no_right_but_to_push_and_to_take_its_own(redis_url: str, exchange: redis.Redis) -> None:
    exchange.acl_setuser("c1", enabled=True, reset=True, passwords=["+secret"], commands=["-@all"])
    rights = ["+ping", "+hello", "+lpush", "+blpop", "%W~enf:candidates.shop:", "~enf:reply:c1:*"]
    exchange.execute_command("ACL", "SETUSER", "c1", *rights)  # type: ignore[no-untyped-call]
    try:
        link = ExchangeLink(redis_url.replace("redis://", "redis://c1:secret@"), "c1", "shop")
        link.check()
        link.push("shop", b"sealed", bulk=False)
        post_reply(exchange, "c1", ONE, b"answer", 30)
        assert link.take([ONE], 0.01) == (ONE, b"answer")
        with pytest.raises(UnavailableError):
            link.push("shop", b"sealed", bulk=True)  # not in its rights here
        link.close()
    finally:
        exchange.acl_deluser("c1")
    assert exchange.llen("enf:candidates.shop:") == 1


def test_a_broker_that_is_gone_is_said_so() -> None:
    app = celery_app("client", NOBODY, ["candidates.shop:"], task_seconds=20)
    with pytest.raises(UnavailableError, match="broker"):
        publish(app, CANDIDATES_TASK, "candidates.shop:", b"x")
    app.close()


# replies


def test_a_reply_is_taken_once(exchange: redis.Redis) -> None:
    post_reply(exchange, "c1", ONE, b"answer", 30)
    assert take_reply(exchange, "c1", [OTHER, ONE], 0.01) == (ONE, b"answer")
    assert take_reply(exchange, "c1", [OTHER, ONE], 0.01) is None
    assert exchange.keys() == []


def test_a_reply_that_nobody_takes_vanishes(exchange: redis.Redis) -> None:
    post_reply(exchange, "c1", ONE, b"answer", 30)
    key = f"enf:reply:c1:{ONE.hex()}:"
    assert exchange.keys() == [key.encode()]
    assert 28 <= exchange.ttl(key) <= 30
    post_reply(exchange, "c1", OTHER, b"answer", 1)
    time.sleep(1.1)
    assert take_reply(exchange, "c1", [OTHER], 0.01) is None


def test_a_second_answer_replaces_the_first(exchange: redis.Redis) -> None:
    post_reply(exchange, "c1", ONE, b"first", 1)
    post_reply(exchange, "c1", ONE, b"second", 30)
    assert exchange.ttl(f"enf:reply:c1:{ONE.hex()}:") > 20
    assert take_reply(exchange, "c1", [ONE], 0.01) == (ONE, b"second")
    assert take_reply(exchange, "c1", [ONE], 0.01) is None


def test_a_reply_goes_to_one_client(exchange: redis.Redis) -> None:
    post_reply(exchange, "c1", ONE, b"answer", 30)
    assert take_reply(exchange, "c10", [ONE], 0.01) is None
    assert take_reply(exchange, "c", [ONE], 0.01) is None
    assert take_reply(exchange, "c1", [ONE], 0.01) is not None


def test_taking_waits_for_a_reply(exchange: redis.Redis) -> None:
    later = threading.Timer(0.2, post_reply, (exchange, "c1", ONE, b"answer", 30))
    later.start()
    assert take_reply(exchange, "c1", [ONE], 4) == (ONE, b"answer")
    later.join()


def test_nothing_asked_is_nothing_to_wait_for() -> None:
    assert take_reply(connect(NOBODY), "c1", [], 100) is None


# clients


def test_clients_are_added_listed_and_revoked(exchange: redis.Redis) -> None:
    long, short, other = (add_client(exchange, name) for name in ("c10", "c1", "shop_app"))
    assert list_clients(exchange) == ["c1", "c10", "shop_app"]
    assert client_secret(exchange, "c10") == long.secret != short.secret
    assert len(other.secret) == 32
    assert revoke_client(exchange, "c1")
    assert not revoke_client(exchange, "c1")
    assert list_clients(exchange) == ["c10", "shop_app"]
    assert client_secret(exchange, "c1") is None
    assert client_secret(exchange, "c10") == long.secret


def test_a_client_is_added_once(exchange: redis.Redis) -> None:
    kept = add_client(exchange, "c1")
    with pytest.raises(UsageError, match="exists"):
        add_client(exchange, "c1")
    assert client_secret(exchange, "c1") == kept.secret
    revoke_client(exchange, "c1")
    assert add_client(exchange, "c1").secret != kept.secret


@pytest.mark.parametrize("name", ["", "C1", "1c", "c1:", "c*", "c 1", "c1\n", "a" * 41])
def test_names_that_could_reach_other_keys_are_refused(exchange: redis.Redis, name: str) -> None:
    for change in (add_client, revoke_client):
        with pytest.raises(UsageError):
            change(exchange, name)
    assert exchange.keys() == []


def test_a_key_stays_out_of_repr(exchange: redis.Redis) -> None:
    credential = add_client(exchange, "c1")
    assert credential.key not in repr(credential) + str(credential)


# bundles


@pytest.mark.parametrize("kind", ["cells", "projection"])
def test_a_bundle_is_fetched_as_it_was_put(exchange: redis.Redis, kind: str) -> None:
    signed = (shop() if kind == "cells" else shop(VectorOptions(kind="projection"))).signed
    assert fetch_bundle(exchange, signed.digest) is None
    assert fetch_serving(exchange, signed.digest) is None
    put_bundle(exchange, signed, 4321)
    data = fetch_bundle(exchange, signed.digest)
    assert data is not None
    assert open_bundle(data, signed.key) == signed
    assert fetch_serving(exchange, signed.digest) == serving_of(signed.bundle, 4321)
    drop_bundle(exchange, signed.digest)
    assert exchange.keys() == []


def test_a_damaged_serving_record_is_none(exchange: redis.Redis) -> None:
    put_bundle(exchange, shop().signed, 0)
    exchange.set(serving_key(shop().signed.digest), b"ENFV\x01junk")
    assert fetch_serving(exchange, shop().signed.digest) is None


# connections


def test_an_exchange_that_is_gone_is_said_so() -> None:
    gone = connect(NOBODY, timeout=1)
    for call in (list_clients, lambda one: client_secret(one, "c1"), lambda one: fetch_serving(one, bytes(32))):
        with pytest.raises(UnavailableError, match="exchange does not answer"):
            call(gone)


def test_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(UnavailableError, match="redis://"):
        connect("amqp://somewhere")


def test_a_link_pushes_takes_and_counts(redis_url: str, exchange: redis.Redis) -> None:
    link = ExchangeLink(redis_url, "c1", "shop")
    link.check()
    link.push("shop", b"sealed", bulk=False)
    link.push("shop", b"sealed too", bulk=True)
    assert pushed(exchange, "enf:candidates.shop:")["content-type"] == "application/x-msgpack"
    assert exchange.llen("enf:candidates.shop.bulk:") == 1
    post_reply(exchange, "c1", ONE, b"answer", 30)
    assert link.take([ONE], 0.01) == (ONE, b"answer")
    assert link.take([ONE], 0.01) is None
    assert (link.bytes_up, link.bytes_down) == (16, 6)
    link.close()
