"""Keeps a worker at work when the broker is gone at the very moment that it acknowledges a task.

kombu logs that the acknowledgement failed and goes on counting the message as in hand. With a prefetch of one the
worker then waits for ever, and takes no task again (kombu 5.7; a few restarts of a busy broker are enough to see it).
"""

from __future__ import annotations

from kombu.transport import redis, virtual


class LettingGo(redis.QoS):
    """Lets go of a message that cannot be acknowledged: the broker still has it, and hands it out once more."""

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message."""
        try:
            super().ack(delivery_tag)
        except Exception:
            virtual.QoS.ack(self, delivery_tag)
            raise

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back."""
        try:
            super().reject(delivery_tag, requeue)
        except Exception:
            virtual.QoS.ack(self, delivery_tag)
            raise


def let_go_of_lost_acks() -> None:
    """Use it in this process, from the next connection on.

    For workers alone: it changes kombu for everybody in the process, and a client may be part of another application.
    """
    redis.Channel.QoS = LettingGo
