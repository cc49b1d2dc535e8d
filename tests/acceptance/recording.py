"""Records what crosses the exchange: MONITOR's own words, and every byte that a client sends."""

from __future__ import annotations

import base64
import binascii
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import msgpack
import redis

Command = tuple[bytes, ...]

_ARGUMENT = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|.)", re.DOTALL)
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}


class Monitor:
    """What MONITOR says while the block runs; `lines` are complete afterwards."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.lines: list[bytes] = []

    def __enter__(self) -> Self:
        parts = urlsplit(self._url)
        self._socket = socket.create_connection((str(parts.hostname), int(parts.port or 0)))
        self._socket.sendall(f"AUTH {parts.password}\r\nMONITOR\r\n".encode())
        self._file = self._socket.makefile("rb")
        assert [self._file.readline(), self._file.readline()] == [b"+OK\r\n", b"+OK\r\n"]
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with redis.Redis.from_url(self._url) as connection:
            connection.echo("end of the recording")
        self._thread.join(30)
        self._file.close()
        self._socket.close()
        assert not self._thread.is_alive()

    def _read(self) -> None:
        for line in self._file:
            if b"end of the recording" in line:
                return
            self.lines.append(line)

    @property
    def commands(self) -> list[Command]:
        """Name and arguments of every command, as they were before MONITOR escaped them."""
        return [tuple(unescaped(found) for found in _ARGUMENT.findall(line)) for line in self.lines]


def unescaped(text: bytes) -> bytes:
    """The bytes that MONITOR wrote as this text."""

    def one(match: re.Match[bytes]) -> bytes:
        found = match[1]
        return bytes([int(found[1:], 16)]) if len(found) == 3 else _LETTERS.get(found, found)

    return _ESCAPE.sub(one, text)


class Tap:
    """Passes connections on to the exchange, and keeps what goes there; `url` is the exchange's, through the tap."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (str(parts.hostname), int(parts.port or 0))
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=f":{parts.password}@127.0.0.1:{port}"))
        self.sent: list[bytearray] = []
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                record = bytearray()
                self.sent.append(record)
                threading.Thread(target=_pump, args=(near, far, record), daemon=True).start()
                threading.Thread(target=_pump, args=(far, near, bytearray()), daemon=True).start()

    @property
    def connections(self) -> list[list[Command]]:
        """The commands of each connection."""
        return [list(commands_of(bytes(sent))) for sent in self.sent]


def _pump(source: socket.socket, target: socket.socket, record: bytearray) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            record += data
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def commands_of(sent: bytes) -> Iterator[Command]:
    """The commands in a stream that a Redis client sent; every byte is part of one."""
    place = 0

    def number(mark: bytes) -> int:
        nonlocal place
        assert sent[place : place + 1] == mark
        end = sent.index(b"\r\n", place)
        value, place = int(sent[place + 1 : end]), end + 2
        return value

    while place < len(sent):
        arguments = []
        for _ in range(number(b"*")):
            length = number(b"$")
            arguments.append(sent[place : place + length])
            place += length + 2
        yield tuple(arguments)


def layers(argument: bytes) -> Iterator[bytes]:
    """An argument of a command, and everything that is packed in it: Celery's JSON, base64 in it, msgpack in that."""
    yield argument
    try:
        envelope = json.loads(argument)
    except ValueError:
        return
    for text in _strings(envelope):
        yield text.encode()
        with suppress(binascii.Error, ValueError):
            body = base64.b64decode(text, validate=True)
            yield body
            with suppress(ValueError, msgpack.UnpackException):
                yield from _packed(msgpack.unpackb(body, raw=True, strict_map_key=False))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for pair in value.items() for part in pair for text in _strings(part))
    elif isinstance(value, list):
        yield from (text for each in value for text in _strings(each))


def _packed(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        yield from (data for pair in value.items() for part in pair for data in _packed(part))
    elif isinstance(value, list | tuple):
        yield from (data for each in value for data in _packed(each))


def task_argument(message: bytes) -> bytes:
    """The one argument of a Celery task, from its message as it lies in the queue."""
    body = base64.b64decode(json.loads(message)["body"])
    arguments, keywords, _ = msgpack.unpackb(body, raw=False)
    assert not keywords
    (argument,) = arguments
    return bytes(argument)
