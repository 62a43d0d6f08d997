"""The steps of the sync engine's stories: connect, export, work the pass, stop it midway, meddle with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import requests
from django.db import connection as database
from django.utils import timezone

from cohorts.models import Cohort, Project
from integrations.connections import connect
from integrations.models import Connection, Run, Sync
from integrations.sync import run_slice
from integrations.syncs import export_cohort
from tests.sandbox_app import SandboxApp

REACHABLE = {
    "match": "all",
    "groups": [
        {
            "match": "all",
            "conditions": [
                {"kind": "property", "property": "$onesignal_user_id", "type": "string", "operator": "is_set"}
            ],
        }
    ],
}
ANN, BOB, CAT = "ann@example.com", "bob/../1", "cät 🐈"


def connect_to(onesignal: SandboxApp, project: Project, **fields: Any) -> Connection:
    return connect(
        project=project,
        destination="onesignal",
        name="CRM",
        config={"app_id": onesignal.app_id, "sandbox": True},
        credentials={"api_key": fields.pop("api_key", onesignal.api_key)},
        user_id_property=None,
        segment_prefix=None,
        max_requests_per_second=None,
        by=None,
        now=timezone.now(),
        **fields,
    )


def work(connection: Connection, *, seconds: float = 20) -> None:
    """Work slices until the app's pass is over."""
    ends_at = time.monotonic() + seconds
    while not (end := run_slice(app_id=connection.app_id)).is_finished:
        assert time.monotonic() < ends_at, "the pass does not come to an end"
        if end.wake_at:
            time.sleep(max((end.wake_at - timezone.now()).total_seconds(), 0))


def export(cohort: Cohort, connection: Connection, mode: str = "one_time") -> tuple[Sync, Run]:
    sync, _ = export_cohort(cohort=cohort, connection=connection, mode=mode, by=None, now=timezone.now())
    work(connection)
    sync.refresh_from_db()
    return sync, sync.runs.latest("id")


def counts(run: Run) -> dict[str, int]:
    names = ["to_add", "to_remove", "unchanged", "added", "removed", "unmatched", "rejected"]
    return {name: getattr(run, name) for name in names if getattr(run, name)}


def start_export(cohort: Cohort, connection: Connection, mode: str = "dynamic") -> Sync:
    """Export without working on it."""
    return export_cohort(cohort=cohort, connection=connection, mode=mode, by=None, now=timezone.now())[0]


def work_steps(connection: Connection, count: int) -> None:
    """Work a slice that is told to stop after so many steps: a batch each, while there is something to write."""
    answers = iter([False] * count)
    run_slice(app_id=connection.app_id, is_stopping=lambda: next(answers, True))


def delete_over_there(onesignal: SandboxApp, sync: Sync) -> None:
    """Delete a sync's segment as somebody at OneSignal would."""
    requests.delete(
        f"{onesignal.url}/apps/{onesignal.app_id}/segments/{sync.ledger.segment_id}",
        headers={"Authorization": f"Key {onesignal.api_key}"},
        timeout=5,
    ).raise_for_status()


def in_a_thread(call: Callable[[], object]) -> tuple[threading.Thread, list[Exception]]:
    """Start a call in a thread with a database connection of its own; its error, if any, ends up in the list."""
    errors: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - a thread's error is the test's to judge
            errors.append(error)
        finally:
            database.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


class Meanwhile:
    """As an execute wrapper: lets somebody else act right after the first statement that holds these words."""

    def __init__(self, words: str, call: Callable[[], object]) -> None:
        self.words, self.call, self.is_done = words, call, False

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        answer = execute(sql, params, many, context)
        if not self.is_done and self.words in f"{sql} {params}":
            self.is_done = True
            thread, errors = in_a_thread(self.call)
            thread.join(5)
            assert not thread.is_alive(), "the pass holds a lock that this call needs"
            assert errors == []
        return answer
