"""`sync run`: what a person at the shell sees, and the exit code a script sees."""

from __future__ import annotations

import io
from threading import Thread

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from integrations.models import Run, Sync
from tests.api.cast import make_connection, make_sync
from tests.cast import make_cohort, make_project


@pytest.fixture
def sync(db: None) -> Sync:
    project = make_project()
    return make_sync(make_cohort(project), make_connection(project))


def end_run(sync: Sync, **fields: object) -> Thread:
    """End the sync's queued run from another connection, as a worker would."""

    def work() -> None:
        try:
            while not Run.objects.filter(sync=sync, status="queued").update(finished_at=timezone.now(), **fields):
                pass
        finally:
            connections.close_all()

    thread = Thread(target=work)
    thread.start()
    return thread


@pytest.mark.django_db(transaction=True)
def test_it_waits_and_tells_what_the_run_came_to(sync: Sync) -> None:
    worker, stdout = end_run(sync, status="succeeded", to_add=2, added=2, requests=2), io.StringIO()

    call_command("sync", "run", str(sync.pk), stdout=stdout)
    worker.join()

    assert "2 added, 0 removed" in stdout.getvalue()
    assert stdout.getvalue().rstrip().endswith("succeeded.")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", ["failed", "partial", "cancelled", "held"])
def test_anything_but_success_is_an_error(sync: Sync, status: str) -> None:
    worker = end_run(sync, status=status, error="OneSignal said no.")

    with pytest.raises(CommandError, match=rf"ended as {status}. OneSignal said no\."):
        call_command("sync", "run", str(sync.pk), stdout=io.StringIO())
    worker.join()


def test_without_a_worker_it_gives_up_waiting_and_the_run_stays_queued(sync: Sync) -> None:
    with pytest.raises(CommandError, match=r"still queued after 0\.1 s"):
        call_command("sync", "run", str(sync.pk), "--wait", "0.1", stdout=io.StringIO())
    assert Run.objects.get(sync=sync).status == "queued"


def test_it_can_only_queue(sync: Sync) -> None:
    call_command("sync", "run", str(sync.pk), "--retry", "--wait", "0", stdout=io.StringIO())

    run = Run.objects.get(sync=sync)
    assert (run.status, run.trigger, run.is_retry) == ("queued", "manual", True)


def test_a_paused_sync_says_so(sync: Sync) -> None:
    Sync.objects.filter(pk=sync.pk).update(status="paused", pause_reason="Paused by ada@example.com.")

    with pytest.raises(CommandError, match=r"This sync is paused: Paused by ada@example\.com"):
        call_command("sync", "run", str(sync.pk))


@pytest.mark.django_db
def test_an_unknown_sync_says_so() -> None:
    with pytest.raises(CommandError, match="There is no sync 0"):
        call_command("sync", "run", "0")
