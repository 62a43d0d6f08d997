"""Celery's tasks of the core: the backfill of match keys (laws.md, L6), the sweeps of redirects (L2) and of the events
of erased persons (L8), and what is kept for a time only.

The rows say how far each got, so a task that is lost, late or run twice costs time only.
"""

from __future__ import annotations

import time

import structlog
from celery import shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from cohorts.data_health import sweep_refusals as sweep_refusals_of_all
from cohorts.erasing.events import sweep_events
from cohorts.expiry import expire_events
from cohorts.identity.redirects import sweep_redirects
from cohorts.match_keys import backfill
from cohorts.models import MatchProperty
from cohorts.people_sessions import forget_expired_sessions

_PERSONS_PER_BATCH = 2000
_REDIRECTS_PER_BATCH = 1000
_EVENTS_PER_BATCH = 5000
_SLICE_SECONDS = 60.0
_EXPIRY_SLICE_SECONDS = 300.0

logger = structlog.get_logger(__name__)


@shared_task(name="cohorts.backfill_match_property")
def backfill_match_property(*, match_property_id: int) -> None:
    """Write the match keys of all persons, in slices of about a minute."""
    match_property = MatchProperty.objects.filter(pk=match_property_id).first()
    if match_property is None:
        # Its project was deleted meanwhile.
        return
    started = time.monotonic()
    while time.monotonic() - started < _SLICE_SECONDS:
        if backfill(match_property=match_property, batch_size=_PERSONS_PER_BATCH, now=timezone.now()):
            logger.info("match_property_completed", match_property_id=match_property_id)
            return
    request_backfill(match_property_id)


@shared_task(name="cohorts.resume_backfills")
def resume_backfills() -> None:
    """Enqueue the backfill of every match property that is not complete: beat's answer to a lost message."""
    for match_property_id in MatchProperty.objects.filter(completed_at=None).values_list("pk", flat=True):
        request_backfill(match_property_id)


@shared_task(name="cohorts.sweep_redirects")
def sweep() -> None:
    """Move the events of persons who were merged away, in batches, for about a minute."""
    started = time.monotonic()
    while sweep_redirects(now=timezone.now(), max_redirects=_REDIRECTS_PER_BATCH, max_events=_EVENTS_PER_BATCH):
        if time.monotonic() - started > _SLICE_SECONDS:
            return


@shared_task(name="cohorts.sweep_refusals")
def sweep_refusals() -> None:
    """Delete what was refused on days that are no longer kept."""
    if rows := sweep_refusals_of_all(now=timezone.now()):
        logger.info("refusals_swept", rows=rows)


def request_backfill(match_property_id: int) -> None:
    """Ask for a backfill, once its property is committed. Without a broker nothing is lost: `resume_backfills` asks."""
    try:
        backfill_match_property.apply_async(kwargs={"match_property_id": match_property_id}, retry=False)
    except BrokerError:
        logger.warning("backfill_not_enqueued", match_property_id=match_property_id)


@shared_task(name="cohorts.sweep_erased_events")
def sweep_erased_events() -> None:
    """Delete the events of erased persons, for about a minute; beat asks again, which finds nothing or goes on."""
    started = time.monotonic()
    events = 0
    while time.monotonic() - started < _SLICE_SECONDS:
        swept = sweep_events(batch_size=_EVENTS_PER_BATCH)
        events += swept.events
        if not swept.events and not swept.persons:
            break
    if events:
        logger.info("erased_events_swept", events=events)


def request_sweep() -> None:
    """Ask for a sweep, once an erasure is committed. Without a broker nothing is lost: beat asks too."""
    try:
        sweep_erased_events.apply_async(retry=False)
    except BrokerError:
        logger.warning("sweep_not_enqueued")


@shared_task(name="cohorts.forget_people_sessions")
def forget_people_sessions() -> None:
    """Delete the frozen answers that have expired."""
    if count := forget_expired_sessions(now=timezone.now()):
        logger.info("people_sessions_forgotten", count=count)


@shared_task(name="cohorts.expire_events")
def expire_events_daily() -> None:
    """Delete the events that are past their retention; what a slice leaves is for the next one."""
    if not expire_events(now=timezone.now(), max_seconds=_EXPIRY_SLICE_SECONDS):
        try:
            expire_events_daily.apply_async(countdown=_SLICE_SECONDS, retry=False)
        except BrokerError:
            # Beat asks again tomorrow.
            logger.warning("expiry_not_enqueued")
