"""A job: a batch of photos on its way to recognitions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from enfpire.client.recognition import Recognition
from enfpire.client.store import JobRecord, JobState, PendingStore, Progress
from enfpire.errors import StoreError

if TYPE_CHECKING:
    from enfpire.client.pipeline import Pipeline

PAGE = 1000


class Job:
    """A submitted batch; it survives the process, and `Recognizer.resume` picks it up again."""

    def __init__(self, record: JobRecord, store: PendingStore, pipeline: Pipeline) -> None:
        self.id = record.id
        self._store = store
        self._pipeline = pipeline

    def __repr__(self) -> str:
        return f"Job({self.id})"

    @property
    def progress(self) -> Progress:
        """How many photos are recognised, failed, and on their way."""
        return self._store.progress(self.id)

    def results(self, wait: bool = True) -> Iterator[Recognition]:
        """Recognitions as they come in, each once, in no promised order, until every photo has one.

        Without `wait` only those that are there. Raises what interrupted the pipeline, such as
        `UnavailableError`; the job can be resumed then.
        """
        after = 0
        while True:
            # read before the page: a commit between the two is seen in the next round, never missed
            finished = self.progress.done or self._state() is not JobState.OPEN
            page = self._store.recognitions(self.id, after, PAGE)
            for after, recognition in page:  # noqa: B007 - the last sequence number of the page counts
                yield recognition
            if len(page) == PAGE:
                continue
            if finished:
                self._finish()
                return
            if not wait:
                return
            self._pipeline.wait_for_news()

    def wait(self, timeout: float | None = None, report: Callable[[Progress], None] | None = None) -> Progress:
        """Wait until every photo has its recognition, or for `timeout` seconds.

        `report` is called with the progress now and then.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not (progress := self.progress).done and self._state() is JobState.OPEN:
            if report is not None:
                report(progress)
            if end is not None and time.monotonic() >= end:
                return progress
            self._pipeline.wait_for_news()
        self._finish()
        if report is not None:
            report(progress)
        return progress

    def cancel(self) -> None:
        """Ask no more and forget the features on their way; recognitions that are there stay."""
        self._pipeline.forget(self.id)
        self._store.set_state(self.id, JobState.CANCELLED)

    def _state(self) -> JobState:
        record = self._store.job(self.id)
        if record is None:
            raise StoreError("the store no longer has this job; submit the photos again")
        return record.state

    def _finish(self) -> None:
        self._pipeline.forget(self.id)
        if self._state() is JobState.OPEN:
            self._store.set_state(self.id, JobState.DONE)
