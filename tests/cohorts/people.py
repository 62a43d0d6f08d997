"""Persons and events put directly into the tables, in bulk, and who a definition then selects."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection as database
from psycopg2.extras import execute_values

from cohorts.definition import parse_definition
from cohorts.models import MatchProperty, Project
from cohorts.partitions import ensure_partitions
from cohorts.resolve import Coverage, member_page, resolve
from tests.reference_evaluator import Deed, Human

Json = Any


def make_partitions() -> None:
    """Make the partitions of 2026, and those for everything long before and long after."""
    months = [dt.datetime(2026, month, 1, tzinfo=dt.UTC) for month in range(1, 13)]
    ensure_partitions(moments=months, now=months[-1])


def store(
    project: Project,
    humans: Iterable[Human],
    deeds: Iterable[Deed] = (),
    *,
    sent_at: Mapping[int, dt.datetime] | None = None,
) -> dict[str, int]:
    """Store persons and what they did; return the persons' ids by name.

    `sent_at` gives, by position, the `dedup_at` of deeds where it differs from when they occurred.
    """
    humans, deeds = list(humans), list(deeds)
    with database.cursor() as cursor:
        rows = execute_values(
            cursor.cursor,
            "INSERT INTO cohorts_person (project_id, distinct_id, properties) VALUES %s RETURNING distinct_id, id",
            [(project.pk, human.name, json.dumps(dict(human.properties))) for human in humans],
            page_size=1000,
            fetch=True,
        )
        ids: dict[str, int] = dict(rows) if humans else {}
        if humans:
            execute_values(
                cursor.cursor,
                "INSERT INTO cohorts_distinctid (project_id, distinct_id, person_id) VALUES %s",
                [(project.pk, name, person) for name, person in ids.items()],
                page_size=1000,
            )
        if deeds:
            execute_values(
                cursor.cursor,
                "INSERT INTO cohorts_event (project_id, dedup_at, dedup_hash, occurred_at, received_at, person_id,"
                " content_hash, name, distinct_id, properties) VALUES %s",
                [
                    (
                        project.pk,
                        (sent_at or {}).get(position, deed.at),
                        str(uuid.uuid4()),
                        deed.at,
                        deed.at,
                        ids[deed.who] if deed.who is not None else None,
                        0,
                        deed.event,
                        deed.who or "",
                        json.dumps(dict(deed.properties)),
                    )
                    for position, deed in enumerate(deeds)
                ],
                page_size=1000,
            )
    return ids


def selected(project: Project, definition: Json, *, as_of: dt.datetime) -> set[str]:
    """Return the distinct_ids of the members, after making sure that resolving counts as many."""
    parsed = parse_definition(definition)
    match_property = MatchProperty.objects.get(project=project)
    page = member_page(
        project=project, definition=parsed, as_of=as_of, match_property=match_property, after=None, limit=10_000
    )
    assert page.next is None
    coverage = coverage_of(project, definition, as_of=as_of)
    assert coverage.members == len(page.members)
    return {member.distinct_id for member in page.members}


def coverage_of(project: Project, definition: Json, *, as_of: dt.datetime) -> Coverage:
    """Return the coverage of a definition."""
    return resolve(
        project=project,
        definition=parse_definition(definition),
        match_property=MatchProperty.objects.get(project=project),
        as_of=as_of,
    ).coverage


def define(*conditions: Json, match: str = "all", base: str = "all_users") -> Json:
    """Return a definition of one group."""
    return {"base": base, "groups": [{"match": match, "conditions": list(conditions)}]}


def where(name: str, kind: str, operator: str, *values: Json) -> Json:
    """Return a condition on a property."""
    condition = {"kind": "property", "property": name, "type": kind, "operator": operator}
    return {**condition, "values": list(values)} if values else condition


def did(event: str, window: Json = None, **fields: Json) -> Json:
    """Return a condition on an event, of all time if no window is given."""
    return {"kind": "event", "event": event, "window": window or {"type": "all_time"}, **fields}


def last(value: int, unit: str = "day", **fields: Json) -> Json:
    """Return the window of the last so many units."""
    return {"type": "last", "unit": unit, "value": value, **fields}
