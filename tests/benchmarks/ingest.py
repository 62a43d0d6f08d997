"""Events through `/import` (2,000 a request, gzip) into the partitioned table, beside raw `COPY` of the same rows."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import io
import os
import random
import time

import orjson
from django.db import connection as database
from django.test import Client
from django.utils import timezone

from cohorts.models import Event
from tests.cast import make_project

EVENTS = int(os.environ.get("EVENTS", "40000"))
BATCH = 2000
PERSONS = 5000


def measure_ingestion() -> dict[str, object]:
    """Return events per second in one process without HTTP in between, of raw COPY, and their ratio."""
    project = make_project("Bench")
    bodies = [gzip.compress(orjson.dumps(batch), 1) for batch in _batches()]
    client = Client(SERVER_NAME="127.0.0.1")
    basic = base64.b64encode(f"{project.token}:".encode()).decode()
    began = time.monotonic()
    for body in bodies:
        answer = client.post(
            "/import?strict=1",
            data=body,
            content_type="application/json",
            headers={"Authorization": f"Basic {basic}", "Content-Encoding": "gzip"},
        )
        assert answer.status_code == 200, answer.content
    seconds = time.monotonic() - began
    assert Event.objects.filter(project=project).count() == EVENTS
    copy_seconds = _raw_copy()
    return {
        "events": EVENTS,
        "/import, events per second": round(EVENTS / seconds),
        "raw COPY, rows per second": round(EVENTS / copy_seconds),
        "ratio to raw COPY": round(copy_seconds / seconds, 2),
    }


def _batches() -> list[list[dict[str, object]]]:
    chance = random.Random(1)
    now = timezone.now() - dt.timedelta(days=1)
    events: list[dict[str, object]] = [
        {
            "event": chance.choice(["Purchase", "Page View", "Sign Up"]),
            "properties": {
                "time": int((now - dt.timedelta(seconds=chance.randrange(20 * 86400))).timestamp()),
                "distinct_id": f"user-{chance.randrange(PERSONS)}",
                "$insert_id": f"bench-{number}",
                "dollars": chance.randrange(1000) / 10,
                "plan": chance.choice(["free", "pro"]),
            },
        }
        for number in range(EVENTS)
    ]
    return [events[start : start + BATCH] for start in range(0, EVENTS, BATCH)]


def _raw_copy() -> float:
    rows = io.StringIO()
    with database.cursor() as cursor:
        cursor.copy_expert("COPY (SELECT * FROM cohorts_event) TO STDOUT", rows)
        cursor.execute("DROP TABLE IF EXISTS bench_event")
        cursor.execute("CREATE TABLE bench_event (LIKE cohorts_event INCLUDING ALL)")
        rows.seek(0)
        began = time.monotonic()
        cursor.copy_expert("COPY bench_event FROM STDIN", rows)
        seconds = time.monotonic() - began
        cursor.execute("DROP TABLE bench_event")
    return seconds
