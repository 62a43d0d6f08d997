"""Ingestion over HTTP into the indexed, partitioned table, beside raw `COPY` of the same rows into a table like it.

`/import` (2,000 a request, gzip), `/track` and `/engage` (50 a request), with gunicorn as `up` and production start it:
two workers. The database makes every commit durable, as it does there.
"""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import http.client
import io
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.parse import quote

import orjson
from django.db import connection as database
from django.utils import timezone

from cohorts.models import Event, Person, Project
from cohortsync.standalone import ports
from tests.cast import make_project

EVENTS = int(os.environ.get("EVENTS", "200000"))
TRACKED = EVENTS // 4
UPDATES = EVENTS // 8
IMPORT_BATCH = 2000
SDK_BATCH = 50
PERSONS = 20_000
CLIENTS = 4
_FIRST_PORT = 18_600


def measure_ingestion() -> dict[str, object]:
    """Return records per second of each route, of raw COPY, their ratio, and what the web workers' memory did."""
    project = make_project("Bench")
    events = _events(project)
    imports = [gzip.compress(orjson.dumps(batch), 1) for batch in _batches(events, IMPORT_BATCH)]
    tracked = [_form(batch) for batch in _batches(_recent(project), SDK_BATCH)]
    updates = [_form(batch) for batch in _batches(_updates(project), SDK_BATCH)]
    basic = base64.b64encode(f"{project.token}:".encode()).decode()
    import_headers = {"Authorization": f"Basic {basic}", "Content-Encoding": "gzip", "Content-Type": "application/json"}
    form_headers = {"Content-Type": "application/x-www-form-urlencoded"}
    figures: dict[str, object] = {}
    with _web() as (port, server):
        before = _memory(server)
        seconds = _send(port, "/import?strict=1", import_headers, imports)
        assert Event.objects.filter(project=project).count() == EVENTS
        copy_seconds = _raw_copy()
        figures["/import, events per second"] = round(EVENTS / seconds)
        figures["raw COPY, rows per second"] = round(EVENTS / copy_seconds)
        figures["/import, ratio to raw COPY"] = round(copy_seconds / seconds, 2)
        after_import = _memory(server)
        seconds = _send(port, "/import?strict=1", import_headers, imports)
        assert Event.objects.filter(project=project).count() == EVENTS
        figures["/import again (nothing new), events per second"] = round(EVENTS / seconds)
        seconds = _send(port, "/track", form_headers, tracked)
        assert Event.objects.filter(project=project).count() == EVENTS + TRACKED
        figures["/track, events per second"] = round(TRACKED / seconds)
        for label in ("/engage, new and known persons", "/engage again (nothing changes)"):
            seconds = _send(port, "/engage", form_headers, updates)
            figures[f"{label}, updates per second"] = round(UPDATES / seconds)
        assert Person.objects.filter(project=project, properties__has_key="plan").count() > 0
        figures["web workers, MB before, after the first import, at the end"] = [before, after_import, _memory(server)]
    return {"events": EVENTS, "clients": CLIENTS, **figures}


@contextmanager
def _web() -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run gunicorn on the benchmark's database and yield its port and process."""
    port = ports.first_free(_FIRST_PORT)
    settings = database.settings_dict
    address = f"{settings['HOST']}:{settings['PORT']}/{settings['NAME']}"
    environment = {
        **os.environ,
        "DATABASE_URL": f"postgres://{settings['USER']}:{quote(settings['PASSWORD'])}@{address}",
        "ALLOWED_HOSTS": "127.0.0.1",
    }
    command = [sys.executable, "-m", "gunicorn", "--config", "python:cohortsync.standalone.web"]
    server = subprocess.Popen(
        [*command, "--bind", f"127.0.0.1:{port}", "--log-level", "warning", "cohortsync.wsgi:application"],
        env=environment,
    )
    try:
        deadline = time.monotonic() + 30
        while ports.is_free(port) and time.monotonic() < deadline:
            time.sleep(0.05)
        # Every worker imports everything once before the clock runs.
        _send(port, "/track", {}, [b"data=[]"] * 40)
        yield port, server
    finally:
        server.terminate()
        server.wait(30)


def _send(port: int, path: str, headers: dict[str, str], bodies: Sequence[bytes]) -> float:
    """Send the bodies from a few clients at once, each on a connection it keeps; return the seconds it took."""
    queue: SimpleQueue[bytes] = SimpleQueue()
    for body in bodies:
        queue.put(body)

    def client() -> None:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while True:
            try:
                body = queue.get_nowait()
            except Empty:
                link.close()
                return
            link.request("POST", path, body, headers)
            answer = link.getresponse()
            content = answer.read()
            assert answer.status == 200, content

    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(client) for _ in range(CLIENTS)]:
            done.result()
    return time.monotonic() - began


def _events(project: Project) -> list[dict[str, object]]:
    chance = random.Random(1)
    now = timezone.now() - dt.timedelta(days=1)
    return [
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


def _recent(project: Project) -> list[dict[str, object]]:
    chance = random.Random(2)
    now = timezone.now().timestamp()
    return [
        {
            "event": "Page View",
            "properties": {
                "token": project.token,
                "time": now - chance.randrange(3600),
                "distinct_id": f"user-{chance.randrange(PERSONS)}",
                "$insert_id": f"track-{number}",
                "mp_lib": "web",
                "$current_url": f"https://shop.example.com/products/{chance.randrange(500)}",
            },
        }
        for number in range(TRACKED)
    ]


def _updates(project: Project) -> list[dict[str, object]]:
    chance = random.Random(3)
    return [
        {
            "$token": project.token,
            "$distinct_id": f"user-{chance.randrange(2 * PERSONS)}",
            "$set": {"plan": "pro", "visits": number},
        }
        for number in range(UPDATES)
    ]


def _batches(records: Sequence[dict[str, object]], size: int) -> Iterator[Sequence[dict[str, object]]]:
    return (records[start : start + size] for start in range(0, len(records), size))


def _form(batch: Sequence[dict[str, object]]) -> bytes:
    """Return the body of a browser's request."""
    return b"data=" + quote(base64.b64encode(orjson.dumps(batch))).encode()


def _memory(server: subprocess.Popen[bytes]) -> int:
    """Return what the workers hold in memory of their own, in MB."""
    kilobytes = 0
    for worker in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split():
        for line in Path(f"/proc/{worker}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Clean", "Private_Dirty")):
                kilobytes += int(line.split()[1])
    return kilobytes // 1024


def _raw_copy() -> float:
    """Return the seconds COPY takes for the rows as they are stored, into partitions and indexes like theirs."""
    rows = io.StringIO()
    with database.cursor() as cursor:
        cursor.copy_expert("COPY (SELECT * FROM cohorts_event) TO STDOUT", rows)
        cursor.execute("DROP TABLE IF EXISTS bench_event")
        cursor.execute("CREATE TABLE bench_event (LIKE cohorts_event INCLUDING ALL) PARTITION BY RANGE (dedup_at)")
        cursor.execute(
            "SELECT child.relname, pg_get_expr(child.relpartbound, child.oid) FROM pg_inherits"
            " JOIN pg_class AS child ON child.oid = inhrelid WHERE inhparent = 'cohorts_event'::regclass"
        )
        for name, bounds in cursor.fetchall():
            cursor.execute(f"CREATE TABLE bench_{name} PARTITION OF bench_event {bounds}")
        rows.seek(0)
        began = time.monotonic()
        cursor.copy_expert("COPY bench_event FROM STDIN", rows)
        seconds = time.monotonic() - began
        cursor.execute("DROP TABLE bench_event")
    return seconds
