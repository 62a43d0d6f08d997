"""The life sign: beat queues it, a worker runs it, /healthz (`cohortsync.health`) reads when both last did."""

import time
from typing import Any

from celery import Task, shared_task
from celery.signals import beat_init, worker_process_init

from cohortsync import health
from cohortsync.standalone.lifetime import die_with_parent


class StampedTask(Task):  # type: ignore[type-arg]
    """Carries the time at which it was queued: that is beat's life sign, the execution is the worker's."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:  # type: ignore[override]
        return super().apply_async(args, {"queued_at": time.time(), **(kwargs or {})}, **options)


@shared_task(name="cohortsync.heartbeat", base=StampedTask)
def heartbeat(*, queued_at: float) -> None:
    """Record that beat was alive at `queued_at` (seconds since 1970) and that a worker is now."""
    health.record_life_signs(beat_at=queued_at, worker_at=time.time())


@beat_init.connect
def send_first_heartbeat(**_: Any) -> None:
    """Beat's first tick of an entry comes one interval after its start; health need not wait for it."""
    heartbeat.apply_async(expires=30)


@worker_process_init.connect
def tie_to_worker(**_: Any) -> None:
    """End a pool process with its worker, even when that is killed; its tasks are taken up from their leases."""
    die_with_parent()
