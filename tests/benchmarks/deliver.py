"""A first export and an unchanged one against the sandbox, beside the same requests from bare `requests` threads."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from django.conf import settings
from django.utils import timezone

from integrations.connections import connect
from integrations.models import Run
from integrations.sync import run_slice
from integrations.syncs import export_cohort
from tests.cast import make_cohort, make_people, make_project, shoppers
from tests.sandbox_app import SandboxApp, sandbox_process

MEMBERS = int(os.environ.get("MEMBERS", "5000"))
LATENCY_MS = 20
THREADS = 24


def measure_delivery() -> dict[str, object]:
    """Return requests per second of both, and their ratio."""
    with sandbox_process() as url:
        settings.SANDBOX_URL = url
        settings.DELIVERY_START_REQUESTS_PER_SECOND = settings.DELIVERY_MAX_REQUESTS_PER_SECOND = 1000
        settings.DELIVERY_THREADS = THREADS
        people = [f"user {number}" for number in range(MEMBERS)]
        floor_app, app = SandboxApp(url), SandboxApp(url)
        for each in (floor_app, app):
            each.add_users(*people)
            each.set_faults(latency_ms=LATENCY_MS, limit_per_second=100_000)
        floor_seconds = _bare_requests(floor_app, people)
        project = make_project()
        make_people(project, shoppers(people, plan="pro"))
        connection = connect(
            project=project,
            destination="onesignal",
            name="Bench",
            config={"app_id": app.app_id, "sandbox": True},
            credentials={"api_key": app.api_key},
            user_id_property=None,
            segment_prefix=None,
            max_requests_per_second=1000,
            by=None,
            now=timezone.now(),
        )
        cohort = make_cohort(project)
        figures: dict[str, Any] = {"members": MEMBERS, "latency at the sandbox, ms": LATENCY_MS}
        for label in ("first export", "unchanged export"):
            app.reset_stats()
            sync, _ = export_cohort(cohort=cohort, connection=connection, mode="dynamic", by=None, now=timezone.now())
            began = time.monotonic()
            while not run_slice(app_id=connection.app_id).is_finished:
                pass
            seconds = time.monotonic() - began
            assert Run.objects.filter(sync=sync).latest("id").status == Run.Status.SUCCEEDED
            figures[f"{label}, seconds"] = round(seconds, 1)
            figures[f"{label}, user requests"] = app.user_requests()
            if label == "first export":
                assert app.segment_users(sync.ledger.segment_id) == set(people)
                figures["requests per second"] = round(MEMBERS / seconds)
                figures["bare requests threads, per second"] = round(MEMBERS / floor_seconds)
                figures["ratio to bare requests"] = round(floor_seconds / seconds, 2)
        return figures


def _bare_requests(app: SandboxApp, people: list[str]) -> float:
    local = threading.local()
    body = b'{"properties":{"tags":{"cs_1":"1"}}}'

    def patch(person: str) -> None:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        url = f"{app.url}/apps/{app.app_id}/users/by/external_id/{person.replace(' ', '%20')}"
        local.session.patch(url, data=body, headers={"Content-Type": "application/json"}, timeout=30).raise_for_status()

    began = time.monotonic()
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(patch, people))
    return time.monotonic() - began
