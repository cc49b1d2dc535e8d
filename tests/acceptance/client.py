"""A client in a process of its own, to be watched, stopped and killed: its orders are JSON on standard input.

Prints the job's id, then the row of each recognition as it comes in, then "done". With `host`, the machine has that
name from before anything is imported.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def rename_machine(host: str) -> None:
    """Let everything in this process believe that the machine is called `host`."""
    machine = os.uname()
    renamed = os.uname_result((machine.sysname, host, *machine[2:]))
    replaced: dict[tuple[Any, str], Any] = {
        (socket, "gethostname"): lambda: host,
        (socket, "getfqdn"): lambda _name="": host,
        (os, "uname"): lambda: renamed,
    }
    for (module, name), value in replaced.items():
        setattr(module, name, value)
    assert {platform.node(), socket.gethostname()} == {host}


class Noting:
    """The bundle's extractor; what it extracts is kept in a file for the one who watches."""

    def __init__(self, bundle: Any, path: str) -> None:
        from enfpire.client.extractor import for_bundle

        self._extractor = for_bundle(bundle.extractor)
        self._whitening = bundle.whitening
        self._path = path
        self._names: list[str] = []
        self._raw: list[np.ndarray] = []
        self._features: list[np.ndarray] = []

    def stream(self, photos: Sequence[Any]) -> Iterator[Any]:
        from enfpire.client.features import whiten

        for extracted in self._extractor.stream(photos):
            self._names += [str(photos[place]) for place in extracted.places]
            self._raw.append(extracted.raw)
            self._features.append(whiten(extracted.raw, self._whitening))
            yield extracted

    def save(self) -> None:
        raw, features = np.concatenate(self._raw), np.concatenate(self._features)
        np.savez(self._path, names=np.array(self._names), raw=raw, features=features)


def main() -> None:
    orders = json.load(sys.stdin)
    if orders.get("host"):
        rename_machine(orders["host"])
    from enfpire.client.recognizer import Recognizer
    from enfpire.client.settings import ClientSettings
    from enfpire.exchange.clients import Credential
    from enfpire.wire.bundle import open_bundle
    from examples.demo.kept import KeptFeatures

    extractor: Any
    if "noted" in orders:
        extractor = Noting(open_bundle(Path(orders["bundle"]).read_bytes()).bundle, orders["noted"])
    else:
        known = np.load(orders["kept"])
        extractor = KeptFeatures(dict(zip(known["names"].tolist(), known["raw"], strict=True)), {}, 0.0)
    with Recognizer.open(
        orders["bundle"],
        exchange=orders["exchange"],
        credential=Credential(**orders["credential"]),
        store=orders["store"],
        memory=False,
        extractor=extractor,
        settings=ClientSettings().model_copy(update=orders["settings"]),
    ) as recognizer:
        job = recognizer.submit(orders["photos"], label=orders.get("label", ""))
        print(job.id, flush=True)
        for recognition in job.results():
            print(recognition.row, flush=True)
    if "noted" in orders:
        extractor.save()
    print("done", flush=True)


if __name__ == "__main__":
    main()
