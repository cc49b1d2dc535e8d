"""The client's two background threads: photos to parcels, and parcels to recognitions.

Both work on what the store holds, so a pipeline that starts again goes on where the last one stopped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from enfpire.client.asking import Asker
from enfpire.client.courier import Courier
from enfpire.client.intake import Intake
from enfpire.client.store import JobRecord, PendingStore
from enfpire.errors import NoAnswerError, UnavailableError

logger = logging.getLogger(__name__)

IDLE_SECONDS = 0.05


class Pipeline:
    """Runs intake and courier for the open jobs of this process."""

    def __init__(self, store: PendingStore, asker: Asker, courier: Courier, intake: Intake, patience: float) -> None:
        self.asker = asker
        self._store = store
        self._rounds: list[Callable[[list[JobRecord]], bool]] = [
            lambda jobs: courier.round(jobs, IDLE_SECONDS),
            intake.round,
        ]
        self._patience = patience
        self._jobs: dict[str, JobRecord] = {}
        self._lock = threading.Lock()
        self._news = threading.Condition()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._threads: list[threading.Thread] = []

    def follow(self, record: JobRecord) -> None:
        """Work on a job from now on."""
        with self._lock:
            self._failure = None
            self._jobs[record.id] = record
            if not self._threads:
                self._start()

    def forget(self, job: str) -> None:
        """Work on a job no longer."""
        with self._lock:
            self._jobs.pop(job, None)

    def wait_for_news(self, seconds: float = 0.1) -> None:
        """Wait until something was done, at most `seconds`; raises what stopped the pipeline."""
        with self._news:
            self._news.wait(seconds)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End both threads after the round in hand."""
        self._stopping.set()
        for thread in self._threads:
            # Ctrl-C may come between the making of the threads and their start
            if thread.ident is not None:
                thread.join()

    def _start(self) -> None:
        names = ("courier", "intake")
        self._threads = [
            threading.Thread(target=self._loop, args=(work,), name=f"enfpire-{name}", daemon=True)
            for name, work in zip(names, self._rounds, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def _loop(self, work: Callable[[list[JobRecord]], bool]) -> None:
        gone_since: float | None = None
        while not self._stopping.is_set():
            with self._lock:
                jobs = list(self._jobs.values()) if self._failure is None else []
            try:
                done = work(jobs)
                gone_since = None
            except NoAnswerError as error:
                self._fail(error)
                done = False
            except UnavailableError as error:
                gone_since = gone_since or time.monotonic()
                done = self._endure(error, gone_since)
            except Exception as error:
                self._fail(error)
                done = False
            if done:
                with self._news:
                    self._news.notify_all()
            else:
                self._stopping.wait(IDLE_SECONDS)

    def _endure(self, error: UnavailableError, since: float) -> bool:
        """Wait for a broker that is gone, until patience ends."""
        if time.monotonic() - since > self._patience:
            self._fail(error)
        else:
            logger.warning("%s; trying again", error)
            self._stopping.wait(0.5)
        return False

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        with self._news:
            self._news.notify_all()
