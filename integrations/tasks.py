"""Celery's part: look whether there is work, work a slice, see to erased persons' tags. Each may run twice, late or
never without harm."""

from __future__ import annotations

import multiprocessing
from typing import Any

import structlog
from celery import shared_task
from celery.signals import worker_shutting_down
from django.db import transaction
from kombu.exceptions import OperationalError as BrokerError

from integrations.errors import LeaseLost
from integrations.lease import database_now
from integrations.models import DestinationApp
from integrations.removals import advance_removals
from integrations.schedule import start_due_syncs
from integrations.sync import apps_with_work, run_slice

logger = structlog.get_logger(__name__)

# Shared with the pool's processes, which Celery does not tell that the worker is going down: a slice then ends after
# its batch and another worker goes on.
_is_stopping = multiprocessing.get_context("fork").Event()


@worker_shutting_down.connect
def _stop_after_batch(**_: Any) -> None:
    _is_stopping.set()


@shared_task(name="integrations.dynamic_sync")
def dynamic_sync() -> None:
    """Start the syncs that are due, and a slice for every app with work that nobody is working on."""
    now = database_now()
    start_due_syncs(now=now)
    for app_id in apps_with_work(now=now):
        deliver_slice.delay(app_id=app_id)


@shared_task(name="integrations.deliver_slice")
def deliver_slice(*, app_id: int) -> None:
    """Work one slice of an app's pass, and ask for the next one while there is work."""
    try:
        run_slice(app_id=app_id, is_stopping=_is_stopping.is_set)
    except LeaseLost:
        logger.info("lease_lost", app_id=app_id)
    if app_id in apps_with_work(now=database_now()):
        request_slice(app_id)


@shared_task(name="integrations.remove_erased")
def remove_erased() -> None:
    """Have the tags of erased persons removed, and erase the values that no destination holds any more."""
    now = database_now()
    waiting = advance_removals(now=now)
    for app_id in set(waiting) & set(apps_with_work(now=now)):
        request_slice(app_id)


def request_removals() -> None:
    """Ask for it, once an erasure is committed. Without a broker nothing is lost: beat asks too."""
    try:
        remove_erased.apply_async(retry=False)
    except BrokerError:
        logger.warning("removals_not_enqueued")


def request_slice(app_id: int) -> None:
    """Ask for a slice of the app's pass. Without a broker nothing is lost: beat finds the work in the database."""
    try:
        deliver_slice.apply_async(kwargs={"app_id": app_id}, retry=False)
    except BrokerError:
        logger.warning("slice_not_enqueued", app_id=app_id)


def request_pass(app_id: int) -> None:
    """Wake the app's pass now, once the caller's transaction has committed.

    Not before: the caller may hold a sync's row, which a pass locks after the app's.
    """

    def wake() -> None:
        DestinationApp.objects.filter(pk=app_id).update(wake_at=None)
        request_slice(app_id)

    transaction.on_commit(wake)
