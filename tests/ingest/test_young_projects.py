"""A project younger than the last ANALYZE: the planner expects one row of it, and must not read all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connection

from cohorts.ingest import apply_profile_updates, ingest_events
from cohorts.messages import IncomingEvent, MergeIds, ProfileUpdate, Set
from cohorts.models import Project
from tests.cast import at, make_project

NOW = at("2026-11-20T10:00:00")
IDS = [f"u{number}" for number in range(2000)]


def bring(project: Project, ids: list[str], amount: int) -> None:
    events = [IncomingEvent("E", each, NOW, NOW, each, {"amount": amount}) for each in ids]
    ingest_events(project=project, events=events, now=NOW)


def enrol(project: Project, ids: list[str], suffix: str) -> None:
    updates = [
        ProfileUpdate(position, each, (Set({"$onesignal_user_id": each + suffix}),), NOW)
        for position, each in enumerate(ids)
    ]
    apply_profile_updates(project=project, updates=updates, now=NOW)


@contextmanager
def rows_read(at_most: int) -> Iterator[None]:
    """Check how many rows of all tables are read within."""

    def read() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_user_tables"
                " WHERE relname LIKE 'cohorts_%%'",
                [],
            )
            return int(cursor.fetchone()[0])

    before = read()
    yield
    assert read() - before <= at_most


@pytest.mark.parametrize(
    "request_",
    [lambda shop: bring(shop, IDS[:50], 2), lambda shop: enrol(shop, IDS[:50], "-changed")],
    ids=["events", "profiles"],
)
def test_a_request_reads_its_own_rows_only(db: None, request_: Callable[[Project], None]) -> None:
    old = make_project("Old", id_merge="simplified")
    bring(old, IDS, 1)
    enrol(old, IDS, "")
    with connection.cursor() as cursor:
        for table in ("event", "person", "distinctid", "matchkey", "personkey"):
            cursor.execute(f"ANALYZE cohorts_{table}")
    shop = make_project("Young", id_merge="simplified")
    bring(shop, IDS, 1)
    enrol(shop, IDS, "")
    # 50 ids, persons, keys and events, each looked at a few times.
    with rows_read(at_most=1000):
        request_(shop)


def redirect(project: Project, first_id: int) -> None:
    """Store a past of merges."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO cohorts_redirect (project_id, loser_id, winner_id, created_at, swept_at)"
            " SELECT %s, number, number + 1, now(), now() FROM generate_series(%s, %s) AS number",
            [project.pk, first_id, first_id + 20_000],
        )


def test_a_merge_reads_its_own_rows_only(db: None) -> None:
    old = make_project("Old")
    bring(old, IDS, 1)
    redirect(old, 1_000_000)
    with connection.cursor() as cursor:
        for table in ("event", "person", "distinctid", "redirect"):
            cursor.execute(f"ANALYZE cohorts_{table}")
    shop = make_project("Young")
    bring(shop, IDS, 1)
    redirect(shop, 2_000_000)
    merges = [
        IncomingEvent("$merge", one, NOW, NOW, one, {}, MergeIds(one, other, is_allowed=True))
        for one, other in zip(IDS[:50], IDS[50:100], strict=True)
    ]
    # 100 ids, persons and events, each looked at a few times.
    with rows_read(at_most=2000):
        ingest_events(project=shop, events=merges, now=NOW)
