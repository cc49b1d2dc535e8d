"""A Celery worker as a child process."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from broker.process import ChildProcess
from enfpire.errors import UnavailableError
from workers.ready import READY_FILE

START_SECONDS = 60.0
LOOK_SECONDS = 0.05
# Remote control is off in the app; these are the rest of what would talk to other workers through the broker.
QUIET = ("--pool", "prefork", "--without-gossip", "--without-mingle", "--without-heartbeat")
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class CeleryWorker(ChildProcess):
    """`celery -A MODULE worker` on some queues, with `concurrency` processes that do the tasks.

    `environment` holds all the settings that it sees. Each task process computes in `threads` threads.
    """

    def __init__(
        self,
        name: str,
        module: str,
        queues: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        concurrency: int = 1,
        threads: int = 1,
    ) -> None:
        self._ready_file = folder / f"{name}.ready"
        log = folder / f"{name}.log"
        # The host's name stays out of the worker's: brokers and logs show it.
        argv = [sys.executable, "-m", "celery", "-A", module, "worker", "--hostname", f"{name}@local", *QUIET]
        argv += [
            "-Q",
            ",".join(queues),
            "--concurrency",
            str(concurrency),
            "--loglevel",
            "WARNING",
            "-I",
            "workers.ready",
        ]
        own = {READY_FILE: str(self._ready_file), "PYTHONUNBUFFERED": "1"}
        super().__init__(name, argv, log, {**dict.fromkeys(THREAD_SETTINGS, str(threads)), **own, **environment})

    def launch(self) -> None:
        """Start the worker.

        Raises `UnavailableError` when it cannot be started.
        """
        with self._lock:
            self.stop(grace=0)
            self._ready_file.unlink(missing_ok=True)
            super().launch()

    def wait_until_ready(self, timeout: float = START_SECONDS) -> None:
        """Return as soon as the worker takes tasks.

        Raises `UnavailableError` after `timeout` seconds, or when the process ended.
        """
        deadline = time.monotonic() + timeout
        while not self._ready_file.exists():
            if not self.running:
                raise UnavailableError(f"{self.name} ended while it started; read {self.log}")
            if time.monotonic() > deadline:
                raise UnavailableError(f"{self.name} took no tasks within {timeout:g} s; read {self.log}")
            time.sleep(LOOK_SECONDS)
