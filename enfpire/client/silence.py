"""How long nobody has answered: first a warning, then an error."""

from __future__ import annotations

import logging
import time

from enfpire.errors import NoAnswerError

logger = logging.getLogger(__name__)


class Silence:
    """Watches whether questions are answered; `warn` and `patience` in seconds."""

    def __init__(self, warn: float, patience: float) -> None:
        self._warn = min(warn, patience / 2)
        self._patience = patience
        self._since = time.monotonic()
        self._warned = False

    def check(self, *, waiting: bool, heard: bool) -> None:
        """Say whether something is asked, and whether an answer came; raises `NoAnswerError` after `patience`."""
        now = time.monotonic()
        if heard or not waiting:
            self._since, self._warned = now, False
        elif now - self._since > self._patience:
            self._since = now
            raise NoAnswerError(
                f"nobody has answered for {self._patience:g} s: ask the operator whether workers and Milvus run; "
                "the job is kept, and can be resumed"
            )
        elif now - self._since > self._warn and not self._warned:
            self._warned = True
            logger.warning("no answer for %d s; waiting on: do the operator's workers and Milvus run?", self._warn)
