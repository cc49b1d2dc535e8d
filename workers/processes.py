"""Keeps child processes alive: one that ends without being asked to is started again."""

from __future__ import annotations

import signal
import threading
import time
from types import TracebackType
from typing import Self

from broker.process import ChildProcess
from enfpire.errors import UnavailableError

LOOK_SECONDS = 0.1
SHORTEST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
SETTLED_SECONDS = 10.0


class Supervised:
    """A child process under supervision.

    `restarts` counts how often it was started again. A process that ends over and over is started ever more rarely,
    at most every 10 seconds.
    """

    def __init__(self, child: ChildProcess) -> None:
        self.child = child
        self.restarts = 0
        self._wanted = False
        self._killed: int | None = None
        self._started = 0.0
        self._pause = SHORTEST_PAUSE
        self._lock = threading.RLock()

    @property
    def name(self) -> str:
        """What the process is called."""
        return self.child.name

    @property
    def pid(self) -> int | None:
        """Process id of the command; None before its first start."""
        return self.child.pid

    @property
    def running(self) -> bool:
        """Whether the command runs."""
        return self.child.running

    def start(self) -> None:
        """Start the process.

        Raises `UnavailableError` when it cannot be started.
        """
        with self._lock:
            self._launch()

    def keep(self) -> None:
        """Start the process again from now on when it ends: once it was ready, or a wrong setting would loop."""
        with self._lock:
            self._wanted = True

    def kill(self) -> None:
        """Crash the process (SIGKILL); its supervisor starts it again."""
        with self._lock:
            self._killed = self.pid
            self.child.kill()

    def wait_restarted(self, timeout: float = 30.0) -> None:
        """Return when the process that `kill` ended is back and ready.

        Raises `UnavailableError` after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while self.pid == self._killed or not self.running:
            if time.monotonic() > deadline:
                raise UnavailableError(f"{self.name} was not started again within {timeout:g} s; read {self.child.log}")
            time.sleep(LOOK_SECONDS / 4)
        self.child.wait_until_ready(max(0.0, deadline - time.monotonic()))

    def dismiss(self) -> None:
        """Ask the process to end (SIGTERM) without waiting; it is not started again."""
        with self._lock:
            self._wanted = False
            self.child.send(signal.SIGTERM)

    def stop(self, grace: float = 10.0) -> None:
        """End the process and all that it started; it is not started again."""
        with self._lock:
            self._wanted = False
            self.child.stop(grace)

    def look(self) -> None:
        """Start the process again if it should run and does not; what the supervisor does all the time."""
        with self._lock:
            now = time.monotonic()
            if not self._wanted or self.running or now < self._started + self._pause:
                return
            settled = now > self._started + SETTLED_SECONDS
            self._pause = SHORTEST_PAUSE if settled else min(2 * self._pause, LONGEST_PAUSE)
            self.restarts += 1
            self._launch()

    def _launch(self) -> None:
        self._started = time.monotonic()
        self.child.launch()


class Supervisor:
    """Looks after a set of processes in a thread of its own, as a context manager."""

    def __init__(self) -> None:
        self._cared_for: list[Supervised] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def add(self, child: ChildProcess) -> Supervised:
        """Take a child process into care; it is not started yet."""
        supervised = Supervised(child)
        self._cared_for.append(supervised)
        return supervised

    def begin(self) -> None:
        """Begin to look after the processes, those that are added later included."""
        if not self._thread.is_alive():
            self._thread.start()

    def end(self, grace: float = 10.0) -> None:
        """Stop the processes, the last that was added first, and wait until they are gone."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        for supervised in reversed(self._cared_for):
            supervised.stop(grace)

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _watch(self) -> None:
        while not self._ending.wait(LOOK_SECONDS):
            for supervised in list(self._cared_for):
                try:
                    supervised.look()
                except UnavailableError:
                    continue  # the machine may be short of memory for a moment; tried again after a longer pause
