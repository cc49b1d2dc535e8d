"""The one place where a task message is made and pushed.

Celery's defaults put the client's host name and process id (`origin`), the payload once more in clear
(`argsrepr`, `kwargsrepr`) and a `reply_to` that is the same for all messages of a process into the headers.
None of them leaves from here.
"""

from __future__ import annotations

from uuid import uuid4

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from enfpire.errors import UnavailableError
from enfpire.exchange.celery_app import direct_queue

ORIGIN = "enfpire"


def publish(app: Celery, task: str, queue: str, argument: bytes) -> None:
    """Push one task with one argument.

    Raises `UnavailableError` when the broker does not take it.
    """
    message = app.amqp.as_task_v2(
        str(uuid4()), task, args=(argument,), argsrepr="", kwargsrepr="", origin=ORIGIN, ignore_result=True
    )
    try:
        with app.producer_or_acquire() as producer:
            app.amqp.send_task_message(producer, task, message, queue=direct_queue(queue), retry=False)
    except (OperationalError, RedisError, OSError) as error:
        raise UnavailableError("the broker does not take messages: is it running, and is its URL right?") from error
