"""Step 4, resolve: a cohort's definition -> the bitmap of its members' match keys, and the counts that explain it.

One SQL query (`cohorts/compile/`) as of one moment. `integrations/sync.py` calls it for every sync that is due, all in
one snapshot; the API for previews and counts.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.db import OperationalError, connections, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Q
from pyroaring import BitMap

from cohorts.compile import (
    Plan,
    Sql,
    coverage_statement,
    folding_of,
    member_ids_statement,
    persons_statement,
    plan_members,
)
from cohorts.definition import Definition
from cohorts.identity.redirects import has_redirects
from cohorts.models import Cohort, MatchProperty, Project

# For hashing persons; a server set to more keeps that.
WORK_MEMORY_BYTES = 64 * 1024 * 1024
_QUERY_CANCELLED = "57014"


class ResolveTimeout(Exception):
    """The cohort could not be resolved in the time given; the message is one sentence."""


@dataclass(frozen=True)
class Coverage:
    """How many are members, and how many of them a destination can be told about.

    members = anonymous + without_match_property + invalid_id + matched_profiles; profiles that share a value are one of
    the matched keys. `seconds` is what resolving took.
    """

    as_of: dt.datetime
    members: int
    anonymous: int
    without_match_property: int
    invalid_id: int
    matched_profiles: int
    matched_keys: int
    seconds: float

    @property
    def not_exported(self) -> int:
        """How many members no destination can be told about."""
        return self.members - self.matched_profiles


@dataclass(frozen=True)
class Resolution:
    """The coverage, and the ids of the matched keys."""

    coverage: Coverage
    keys: BitMap


@dataclass(frozen=True)
class Member:
    """A person the cohort selects: the canonical id, all known ones, the profile, and the match key's value if any."""

    person_id: int
    distinct_id: str
    distinct_ids: Sequence[str]
    properties: Mapping[str, object]
    match_key: str | None

    @property
    def name(self) -> str:
        """What the profile calls the person; empty if it does not say."""
        return str(self.properties.get("$name") or "")

    @property
    def email(self) -> str:
        """The profile's e-mail address; empty if there is none."""
        return str(self.properties.get("$email") or "")


@dataclass(frozen=True)
class MemberPage:
    """Some members by person id, and the id to go on after; None when these were the last."""

    members: Sequence[Member]
    next: int | None


@contextmanager
def snapshot(*, using: str = "default") -> Iterator[dt.datetime]:
    """Hold one unchanging view of the database and yield the moment of it, the `as_of` of all that is resolved inside.

    It reads only, and must be the outermost transaction (RuntimeError otherwise, from Django's `durable`): the
    isolation of a transaction cannot change once it has begun. Django lets a TestCase's own transaction pass; inside
    one this is an ordinary block that sees what the test wrote.
    """
    database = connections[using]
    is_outermost = not database.in_atomic_block
    with transaction.atomic(using=using, durable=True):
        with database.cursor() as cursor:
            if is_outermost:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            # The first query fixes the view, and the clock is read while it runs, hence after.
            cursor.execute("SELECT clock_timestamp()")
            as_of: dt.datetime = _only_row(cursor)[0]
        yield as_of


def resolve(
    *,
    project: Project,
    definition: Definition,
    match_property: MatchProperty,
    as_of: dt.datetime,
    timeout_seconds: float | None = None,
    using: str = "default",
) -> Resolution:
    """Return whom the definition selects as of a moment, in the caller's transaction.

    Events after `as_of` do not count; profiles are those the transaction sees, which must be a `snapshot`: whether
    persons were merged is asked first. The match property's keys must be complete. Raises ResolveTimeout, after which
    the caller's transaction goes on.
    """
    started = time.monotonic()
    plan = _plan(project, definition, as_of, using)
    statement = coverage_statement(plan, match_property_id=match_property.pk, folding=folding_of(connections[using]))
    with _query(statement, timeout_seconds, using) as cursor:
        members, anonymous, without_match_property, invalid_id, matched_profiles, ids = _only_row(cursor)
    keys = _bitmap(ids)
    coverage = Coverage(
        as_of=as_of,
        members=members,
        anonymous=anonymous,
        without_match_property=without_match_property,
        invalid_id=invalid_id,
        matched_profiles=matched_profiles,
        matched_keys=len(keys),
        seconds=round(time.monotonic() - started, 3),
    )
    return Resolution(coverage, keys)


def member_page(
    *,
    project: Project,
    definition: Definition,
    as_of: dt.datetime,
    match_property: MatchProperty,
    after: int | None,
    limit: int,
    timeout_seconds: float | None = None,
    using: str = "default",
) -> MemberPage:
    """Return the first `limit` members whose person id is above `after`, by that id. Raises ResolveTimeout."""
    plan = _plan(project, definition, as_of, using)
    # One more tells whether there is a next page.
    ids = member_ids_statement(plan, after=after, limit=limit + 1, folding=folding_of(connections[using]))
    with _query(ids, timeout_seconds, using) as cursor:
        found = [row[0] for row in cursor.fetchall()]
    page = found[:limit]
    persons = persons_statement(project_id=project.pk, person_ids=page, match_property_id=match_property.pk)
    with connections[using].cursor() as cursor:
        cursor.execute(persons.text, persons.parameters)
        members = [
            Member(person_id, distinct_id, tuple(distinct_ids), json.loads(properties), match_key)
            for person_id, distinct_id, properties, distinct_ids, match_key in cursor.fetchall()
        ]
    return MemberPage(members, page[-1] if len(found) > limit else None)


def record_count(*, cohort: Cohort, coverage: Coverage) -> None:
    """Keep the count on the cohort, unless a later one is there or the definition has changed meanwhile."""
    Cohort.objects.filter(
        Q(counted_at__isnull=True) | Q(counted_at__lt=coverage.as_of), pk=cohort.pk, version=cohort.version
    ).update(count=coverage.members, counted_at=coverage.as_of)


def _plan(project: Project, definition: Definition, as_of: dt.datetime, using: str) -> Plan:
    with connections[using].cursor() as cursor:
        is_redirecting = has_redirects(cursor, project_id=project.pk)
    return plan_members(
        definition,
        project_id=project.pk,
        zone=ZoneInfo(project.timezone),
        as_of=as_of,
        is_redirecting=is_redirecting,
    )


@contextmanager
def _query(statement: Sql, timeout_seconds: float | None, using: str) -> Iterator[CursorWrapper]:
    """Run the statement with settings of its own and yield the cursor with its rows."""
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            set_up(cursor, timeout_seconds)
            cursor.execute(statement.text, statement.parameters)
            yield cursor
            # Nothing was written; rolled back, the settings end here instead of with the caller's transaction.
            transaction.set_rollback(True, using=using)
    except OperationalError as error:
        if timeout_seconds is None or getattr(error.__cause__, "pgcode", None) != _QUERY_CANCELLED:
            raise
        raise ResolveTimeout(
            f"Resolving the cohort was stopped after {timeout_seconds:g} seconds: use shorter windows or fewer "
            "conditions, or try again when the database has less to do."
        ) from error


def set_up(cursor: CursorWrapper, timeout_seconds: float | None) -> None:
    """Set what such queries run best with, until the block ends.

    Without nested loops: right after a load, before the tables were analyzed, PostgreSQL expects a row or two where
    there are thousands, and asks the one set for each row of the other. With parallel workers each one repeats the
    grouping of events, and the core is better used by the next cohort's worker. Compiling to machine code costs more
    than it saves. Dates without a zone are read in UTC.
    """
    cursor.execute(
        "SELECT set_config('enable_nestloop', 'off', true), set_config('jit', 'off', true),"
        " set_config('max_parallel_workers_per_gather', '0', true),"
        " set_config('TimeZone', 'UTC', true),"
        " set_config('work_mem', GREATEST(pg_size_bytes(current_setting('work_mem')), %s) / 1024 || 'kB', true),"
        " CASE WHEN %s::bigint IS NOT NULL THEN set_config('statement_timeout', %s::text, true) END",
        [WORK_MEMORY_BYTES, *[timeout_seconds and max(1, round(timeout_seconds * 1000))] * 2],
    )


def _only_row(cursor: CursorWrapper) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = cursor.fetchone()
    assert row is not None
    return row


def _bitmap(ids: memoryview[int] | None) -> BitMap:
    """Return the set of ids that PostgreSQL's int4send wrote one after another."""
    numbers = array("I")
    if ids is not None:
        numbers.frombytes(ids)
        if sys.byteorder == "little":
            numbers.byteswap()
    return BitMap(numbers)
