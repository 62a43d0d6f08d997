"""Dynamic syncs are due on their connection's grid, and a late or doubled beat does no harm."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from typing import Any

import pytest
from django.db import connection as database
from hypothesis import given
from hypothesis import strategies as st

from integrations.models import Connection, DestinationApp, Run, Sync
from integrations.schedule import next_due, start_due_syncs
from integrations.sync import apps_with_work
from integrations.syncs import export_cohort, pause_sync
from tests.cast import at, make_cohort, make_connection, make_project

NOW = at("2026-11-23T12:00:00")
INTERVAL = dt.timedelta(minutes=15)


def make_sync(mode: str = "dynamic") -> Sync:
    project = make_project()
    connection = make_connection(project)
    return export_cohort(cohort=make_cohort(project), connection=connection, mode=mode, by=None, now=NOW)[0]


def end_runs(sync: Sync) -> None:
    sync.runs.update(status=Run.Status.SUCCEEDED)


@given(seconds=st.integers(0, 10_000_000), identity=st.uuids())
def test_the_next_moment_lies_within_one_interval_and_on_the_grid(seconds: int, identity: uuid.UUID) -> None:
    connection = Connection(uuid=identity)
    now = NOW + dt.timedelta(seconds=seconds)
    due = next_due(connection=connection, now=now)
    assert now < due <= now + INTERVAL
    assert next_due(connection=connection, now=due) == due + INTERVAL
    assert next_due(connection=connection, now=due - dt.timedelta(seconds=1)) == due


@pytest.mark.django_db
def test_a_due_sync_starts_once_and_is_due_again_an_interval_later() -> None:
    sync = make_sync()
    end_runs(sync)
    assert sync.next_run_at is not None
    due = sync.next_run_at
    assert start_due_syncs(now=due - dt.timedelta(seconds=1)) == []
    (run,) = start_due_syncs(now=due)
    assert run.trigger == Run.Trigger.SCHEDULE
    assert start_due_syncs(now=due) == []
    sync.refresh_from_db()
    assert sync.next_run_at == due + INTERVAL


@pytest.mark.django_db
def test_a_beat_that_was_away_for_hours_starts_each_sync_once() -> None:
    sync = make_sync()
    end_runs(sync)
    later = NOW + dt.timedelta(hours=7)
    assert len(start_due_syncs(now=later)) == 1
    sync.refresh_from_db()
    assert sync.next_run_at is not None
    assert later < sync.next_run_at <= later + INTERVAL


@pytest.mark.django_db
def test_a_run_that_takes_longer_than_the_interval_is_not_joined_by_another() -> None:
    sync = make_sync()
    sync.runs.update(status=Run.Status.RUNNING)
    assert start_due_syncs(now=NOW + INTERVAL) == []
    assert sync.runs.count() == 1


@pytest.mark.django_db
def test_paused_finished_and_one_time_syncs_are_never_due() -> None:
    paused, finished, once = make_sync(), make_sync(), make_sync("one_time")
    end_runs(paused)
    pause_sync(sync=paused, now=NOW)
    Sync.objects.filter(pk=finished.pk).update(status=Sync.Status.FINISHED)
    end_runs(once)
    assert start_due_syncs(now=NOW + INTERVAL) == []


@pytest.mark.django_db(transaction=True)
def test_two_beats_at_once_start_one_run() -> None:
    sync = make_sync()
    end_runs(sync)
    started: list[Any] = []
    gate = threading.Barrier(4)

    def beat() -> None:
        gate.wait(5)
        started.extend(start_due_syncs(now=NOW + INTERVAL))
        database.close()

    beats = [threading.Thread(target=beat) for _ in range(4)]
    for each in beats:
        each.start()
    for each in beats:
        each.join()
    assert len(started) == 1


@pytest.mark.django_db
def test_an_app_with_work_is_found_unless_it_waits_or_somebody_works_on_it() -> None:
    sync = make_sync()
    app = sync.connection.app
    assert apps_with_work(now=NOW) == [app.pk]
    DestinationApp.objects.filter(pk=app.pk).update(wake_at=NOW + INTERVAL)
    assert apps_with_work(now=NOW) == []
    assert apps_with_work(now=NOW + INTERVAL) == [app.pk]
    DestinationApp.objects.filter(pk=app.pk).update(wake_at=None, lease_expires_at=NOW + INTERVAL)
    assert apps_with_work(now=NOW) == []
    DestinationApp.objects.filter(pk=app.pk).update(lease_expires_at=None)
    end_runs(sync)
    assert apps_with_work(now=NOW) == []
