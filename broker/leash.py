"""Ends its process group when the process that started it is gone; run as a script, needs nothing installed.

Standard input is a pipe whose other end the starter holds: it closes however the starter ends, kill -9 included.
That works without a hook between fork and exec, and wherever the starter's threads come and go.
"""

import os
import signal
import sys
import time

GRACE_SECONDS = 3.0


def main() -> None:
    """Wait for the end of standard input, then end the group: first politely, then for certain."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
