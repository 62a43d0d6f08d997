"""Queries for people, page by page: who was selected is frozen at the first page, and the others go on from there.

The set is made by one statement inside PostgreSQL and never travels: a million persons are 8 MB in one row, of which a
page reads 8 kB (`cohorts/compile/people.py`). Profiles are those of the moment a page is read; whoever was deleted or
merged away since is left out of its page, and the total stays. Called by `integrations/mixpanel/query/`.
"""

from __future__ import annotations

import datetime as dt
import secrets
from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from sys import byteorder
from zoneinfo import ZoneInfo

import orjson
from django.db import OperationalError, connection, transaction

from cohorts.compile import (
    PeopleSelection,
    Sql,
    folding_of,
    frozen_statement,
    plan_members,
    profiles_statement,
)
from cohorts.definition import Definition
from cohorts.expressions import Expression
from cohorts.identity import find_persons
from cohorts.models import PeopleSession, Project, ServiceAccount
from cohorts.resolve import set_up

PAGE_PEOPLE = 1000
_QUERY_CANCELLED = "57014"
_BYTES_PER_ID = 8
_EXPIRED = (
    "There is no such session_id for this service account, or it has expired: ask without session_id and page to start "
    "anew."
)


class SessionUnknown(Exception):
    """There is no such session for this account, or it has expired; the message is one sentence."""


class QueryTimeout(Exception):
    """The people could not be found in the time given; the message is one sentence."""


@dataclass(frozen=True)
class PeopleQuestion:
    """Whom a program asks for: all of what is given must hold. `as_of` is the moment a cohort is resolved at."""

    definition: Definition | None = None
    distinct_ids: Collection[str] | None = None
    where: Expression | None = None
    has_profile: bool = False


@dataclass(frozen=True)
class Profile:
    """A person as a query shows them; `properties` is a JSON object, `$last_seen` among them."""

    distinct_id: str
    properties: orjson.Fragment


@dataclass(frozen=True)
class PeoplePage:
    """One page of a session, and how many people the session has on all of them."""

    session: str
    number: int
    total: int
    profiles: Sequence[Profile]


def freeze_people(
    *,
    project: Project,
    account: ServiceAccount,
    question: PeopleQuestion,
    question_hash: str,
    as_of: dt.datetime,
    now: dt.datetime,
    keep: dt.timedelta,
    timeout_seconds: float,
) -> PeopleSession:
    """Find the people asked for and keep who they are; the session has everything but its ids.

    Raises ExpressionError, and QueryTimeout after `timeout_seconds`.
    """
    session = PeopleSession(
        project=project,
        service_account=account,
        name=f"{int(now.timestamp())}-{secrets.token_hex(8).upper()}",
        question_hash=question_hash,
        created_at=now,
        expires_at=now + keep,
    )
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            person_ids = None
            if question.distinct_ids is not None:
                found = find_persons(cursor, project_id=project.pk, distinct_ids=question.distinct_ids)
                person_ids = sorted(set(found.values()))
            plan = None
            if question.definition is not None:
                plan = plan_members(
                    question.definition,
                    project_id=project.pk,
                    zone=ZoneInfo(project.timezone),
                    as_of=as_of,
                    # No snapshot holds from here to the statement, in which persons may have been merged.
                    is_redirecting=True,
                )
            statement = frozen_statement(
                PeopleSelection(project.pk, plan, person_ids, question.where, question.has_profile),
                folding=folding_of(connection),
            )
            # Its settings end with the transaction.
            set_up(cursor, timeout_seconds)
            cursor.execute(
                "INSERT INTO cohorts_peoplesession (project_id, service_account_id, name, question_hash, created_at,"  # noqa: S608 - constants
                f" expires_at, total, person_ids) SELECT %s, %s, %s, %s, %s, %s, frozen.* FROM ({statement.text})"
                " AS frozen RETURNING id, total",
                [
                    project.pk,
                    account.pk,
                    session.name,
                    session.question_hash,
                    session.created_at,
                    session.expires_at,
                    *statement.parameters,
                ],
            )
            session.pk, session.total = cursor.fetchone()
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", None) != _QUERY_CANCELLED:
            raise
        raise QueryTimeout(
            f"The query was stopped after {timeout_seconds:g} seconds: ask for less, or try again when the database "
            "has less to do."
        ) from error
    return session


def session_for(*, account: ServiceAccount, name: str, question_hash: str | None, now: dt.datetime) -> PeopleSession:
    """Return a session of the account, without its ids. Raises SessionUnknown.

    `question_hash` is None when nothing was asked besides.
    """
    session = (
        PeopleSession.objects.defer("person_ids")
        .filter(name=name.replace("\0", ""), service_account=account, expires_at__gt=now)
        .first()
    )
    if session is None:
        raise SessionUnknown(_EXPIRED)
    if question_hash is not None and question_hash != session.question_hash:
        raise SessionUnknown(
            "This session_id belongs to a query with other parameters: repeat the parameters of its first page, or "
            "ask without session_id and page to start anew."
        )
    return session


def people_page(*, session: PeopleSession, number: int, names: Collection[str] | None) -> PeoplePage:
    """Return a page, counted from 0, with these properties only (None: all); after the last one it is empty.

    Raises SessionUnknown when the session expired meanwhile.
    """
    profiles: list[Profile] = []
    if number * PAGE_PEOPLE < session.total:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT substring(person_ids FROM %s FOR %s) FROM cohorts_peoplesession WHERE id = %s",
                [number * PAGE_PEOPLE * _BYTES_PER_ID + 1, PAGE_PEOPLE * _BYTES_PER_ID, session.pk],
            )
            row = cursor.fetchone()
        if row is None:
            raise SessionUnknown(_EXPIRED)
        statement = profiles_statement(
            project_id=session.project_id,
            person_ids=_numbers(row[0]),
            names=None if names is None else list(names),
        )
        profiles = _profiles(statement)
    return PeoplePage(session=session.name, number=number, total=session.total, profiles=profiles)


def forget_expired_sessions(*, now: dt.datetime) -> int:
    """Delete the sessions that have expired, and return how many those were."""
    return PeopleSession.objects.filter(expires_at__lte=now).delete()[0]


def _profiles(statement: Sql) -> list[Profile]:
    with connection.cursor() as cursor:
        cursor.execute(statement.text, statement.parameters)
        return [Profile(distinct_id, orjson.Fragment(document)) for distinct_id, document in cursor.fetchall()]


def _numbers(ids: memoryview[int]) -> list[int]:
    numbers = array("q")
    numbers.frombytes(ids)
    if byteorder == "little":
        numbers.byteswap()
    return numbers.tolist()
