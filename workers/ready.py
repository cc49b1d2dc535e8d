"""Tells whoever started a Celery worker that it takes tasks now: `celery ... worker -I workers.ready`.

The process id is written to the file that the variable READY_FILE names. Counting a broker's readers would take a
right that no worker needs, and the log line that says so exists at level INFO alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery.signals import worker_ready

READY_FILE = "WORKER_READY_FILE"


@worker_ready.connect
def announce(**_: Any) -> None:  # noqa: ANN401 - Celery's signal
    """Write the file, if there is to be one."""
    if READY_FILE in os.environ:
        Path(os.environ[READY_FILE]).write_text(str(os.getpid()), encoding="ascii")
