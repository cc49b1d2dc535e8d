"""A real Milvus 2.3 behind one door: `unshare --net ... python milvus_in_namespace.py SOCKET_FD FOLDER`.

That Milvus listens on all interfaces on nine ports without a password, so it runs where there is no interface but
loopback. The one way in is a listening socket from outside: it stays in the namespace in which it was made, and what
arrives there is passed on to Milvus from in here. Prints "ready" when Milvus is.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress

from milvus import MilvusServer

PORT = 19530


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", PORT)
    await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))


async def door(listening: socket.socket) -> None:
    server = await asyncio.start_server(pass_on, sock=listening)
    print("ready", flush=True)
    await server.serve_forever()


def end_with_parent() -> None:
    """End when standard input does; as the namespace's first process this one takes all others with it."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    milvus = MilvusServer(data_dir=sys.argv[2], proxy_port=PORT)
    milvus.start()
    asyncio.run(door(socket.socket(fileno=int(sys.argv[1]))))
