"""One Celery configuration for every broker of the system.

Delivery is at least once: a message is acknowledged after its task, a task of a worker that died comes back
after `visibility_timeout`, and every task may run twice without harm. Nothing is enabled that the pipeline
does not use: remote control, gossip, mingle and events need rights that no role here has.
"""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery
from kombu import Exchange, Queue

from enfpire.wire.names import KEY_PREFIX


def celery_app(name: str, url: str, queues: Sequence[str], task_seconds: int, include: Sequence[str] = ()) -> Celery:
    """A Celery app on the broker at `url` that knows `queues` and no others.

    `task_seconds` is the hard time limit of a task. Names in `include` are modules with its tasks.
    """
    app = Celery(name, broker=url, include=list(include), set_as_current=False)
    app.conf.update(
        task_queues=[direct_queue(queue) for queue in queues],
        task_default_queue=queues[0],
        task_create_missing_queues=False,
        task_serializer="msgpack",
        accept_content=["msgpack"],
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=True,
        task_time_limit=task_seconds,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "global_keyprefix": KEY_PREFIX,
            # above the hard limit, or a slow task would run twice; short, so that a dead worker's come back
            "visibility_timeout": task_seconds + 10,
            "unacked_restore_interval": 2,
            "unacked_restore_throttle": 1,
            "socket_keepalive": True,
            "socket_connect_timeout": 5,
            # the pipeline itself asks again: a publisher must not wait 6 seconds for a broker that is gone
            "max_retries": 2,
            "interval_start": 0.2,
            "interval_step": 0.2,
        },
    )
    return app


def direct_queue(name: str) -> Queue:
    """A queue that publishers do not declare: declaring writes kombu's binding keys, a right clients lack."""
    return Queue(name, Exchange(""), routing_key=name, no_declare=True)
