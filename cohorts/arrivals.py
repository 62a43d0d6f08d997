"""Step 8, show: the events of a project in the order in which they came in, the newest first.

By arrival and not by `occurred_at`: a back-dated import and a phone whose clock is years off are seen when they come
in, which is what somebody wants who looks here. The index by (project, received_at) gives that order (migration 0008);
rows of one request share `received_at` and are put in order by time and key. Events of one name or person are looked
for where it costs least: through the index by name or by person when there are few, else among the newest ones, so
that no question reads more than `MAX_SEARCHED` rows. The page is `cohortsync/pages/events.py`.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
from django.db import connection
from django.db.backends.utils import CursorWrapper

from cohorts.access import NotFound
from cohorts.identity import find_persons
from cohorts.identity.redirects import unswept_losers
from cohorts.models import Project
from cohorts.values import Properties

Values: TypeAlias = "dict[str, int | str | dt.datetime | uuid.UUID | list[int]]"

MAX_SEARCHED = 10_000
# A list shows properties up to this size as stored; a larger event is read alone, on its own page.
MAX_LISTED_BYTES = 8 * 1024

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)

_COLUMNS = (
    "event.received_at, event.occurred_at, event.dedup_at, event.dedup_hash, event.name, event.distinct_id,"
    " event.insert_id, event.person_id"
)
_ORDER = "received_at DESC, occurred_at DESC, dedup_hash DESC"
_BEFORE = (
    "event.received_at <= %(received_at)s"
    " AND (event.received_at, event.occurred_at, event.dedup_hash) < (%(received_at)s, %(occurred_at)s, %(dedup_hash)s)"
)
# What is left of erased persons until it is swept is nobody's to see (laws.md, L8).
_OF_NOBODY_ERASED = (
    "NOT EXISTS (SELECT FROM cohorts_erasedperson AS erased"
    " WHERE erased.project_id = event.project_id AND erased.person_id = event.person_id)"
)
# Keys first, properties afterwards and only of the rows that are shown.
_SHOWN = f"""
SELECT {_COLUMNS}, CASE WHEN pg_column_size(event.properties) <= %(listed_bytes)s THEN event.properties::text END
FROM found JOIN cohorts_event AS event ON event.project_id = %(project)s AND event.dedup_at = found.dedup_at
    AND event.dedup_hash = found.dedup_hash
ORDER BY event.received_at DESC, event.occurred_at DESC, event.dedup_hash DESC
"""  # noqa: S608 - made of constants


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order of arrival: after this event. As text it stands in addresses."""

    received_at: dt.datetime
    occurred_at: dt.datetime
    dedup_hash: uuid.UUID

    def __str__(self) -> str:
        return f"{_number(self.received_at)}_{_number(self.occurred_at)}_{self.dedup_hash.hex}"

    @classmethod
    def of(cls, text: str) -> Place:
        """Return the place that an address names. Raises NotFound for what is none."""
        try:
            received, occurred, dedup_hash = text.split("_")
            return cls(_moment(received), _moment(occurred), uuid.UUID(hex=dedup_hash))
        except (ValueError, OverflowError) as error:
            raise NotFound("A page of events begins after an event that an address of ours names.") from error


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event as it came in. `properties` is None in a list where they are too large for it."""

    received_at: dt.datetime
    occurred_at: dt.datetime
    dedup_at: dt.datetime
    dedup_hash: uuid.UUID
    name: str
    distinct_id: str
    insert_id: str | None
    person_id: int | None
    properties: Properties | None

    @property
    def place(self) -> Place:
        """Return its place in the order of arrival."""
        return Place(self.received_at, self.occurred_at, self.dedup_hash)

    @property
    def key(self) -> str:
        """Return what names the event within its project, for its address."""
        return f"{_number(self.dedup_at)}_{self.dedup_hash.hex}"


@dataclass(frozen=True, slots=True)
class Arrivals:
    """A page of events. `next` is where the following page begins; `searched_to` says that the search stopped there,

    `MAX_SEARCHED` events further back, before the page was full.
    """

    shown: Sequence[Arrival]
    next: Place | None = None
    searched_to: dt.datetime | None = None


def arrivals(
    *, project: Project, limit: int, name: str = "", distinct_id: str = "", before: Place | None = None
) -> Arrivals:
    """Return the newest `limit` events of that name and of that id's person, whichever id they were sent with."""
    values: Values = {
        "project": project.pk,
        "rows": limit + 1,
        "searched": MAX_SEARCHED,
        "listed_bytes": MAX_LISTED_BYTES,
        "name": name,
    }
    older = "TRUE"
    if before:
        older = _BEFORE
        values |= {
            "received_at": before.received_at,
            "occurred_at": before.occurred_at,
            "dedup_hash": before.dedup_hash,
        }
    conditions = ["event.name = %(name)s"] if name else []
    with connection.cursor() as cursor:
        if distinct_id:
            values["persons"] = _persons_of(cursor, project, distinct_id)
            if not values["persons"]:
                return Arrivals([])
            conditions.append("event.person_id = ANY (%(persons)s)")
        if not conditions:
            found = _newest(older, "%(rows)s")
        elif _are_few(cursor, conditions, values):
            found = _through_a_narrow_index(conditions, older)
        else:
            return _among_the_newest(cursor, conditions, older, values, limit)
        cursor.execute(f"WITH found AS MATERIALIZED ({found}) {_SHOWN}", values)
        return _page([_arrival(row) for row in cursor.fetchall()], limit)


def arrival(*, project: Project, key: str) -> Arrival:
    """Return one event with all its properties. Raises NotFound."""
    try:
        dedup_at, dedup_hash = key.split("_")
        values: Values = {"project": project.pk, "dedup_at": _moment(dedup_at), "dedup_hash": uuid.UUID(hex=dedup_hash)}
    except (ValueError, OverflowError) as error:
        raise NotFound("There is no such event in this project.") from error
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_COLUMNS}, event.properties::text FROM cohorts_event AS event WHERE project_id = %(project)s"  # noqa: S608
            f" AND dedup_at = %(dedup_at)s AND dedup_hash = %(dedup_hash)s AND {_OF_NOBODY_ERASED}",
            values,
        )
        row = cursor.fetchone()
    if row is None:
        raise NotFound("There is no such event in this project.")
    return _arrival(row)


def count_received(*, project: Project, since: dt.datetime, at_most: int) -> int:
    """Return how many events came in since then; `at_most` when there are more, which bounds the cost."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT FROM cohorts_event"
            " WHERE project_id = %s AND received_at >= %s LIMIT %s) AS new",
            [project.pk, since, at_most],
        )
        return int(cursor.fetchone()[0])


def _newest(older: str, rows: str) -> str:
    return (
        "SELECT event.received_at, event.occurred_at, event.dedup_at, event.dedup_hash, event.name, event.person_id"  # noqa: S608
        f" FROM cohorts_event AS event WHERE event.project_id = %(project)s AND {older} AND {_OF_NOBODY_ERASED}"
        f" ORDER BY {_ORDER} LIMIT {rows}"
    )


def _are_few(cursor: CursorWrapper, conditions: Sequence[str], values: Values) -> bool:
    """Return whether one of the conditions alone leaves so few events that all of them can be read."""
    for condition in conditions:
        cursor.execute(
            f"SELECT count(*) FROM (SELECT FROM cohorts_event AS event WHERE event.project_id = %(project)s"  # noqa: S608
            f" AND {condition} LIMIT %(searched)s + 1) AS such",
            values,
        )
        if cursor.fetchone()[0] <= MAX_SEARCHED:
            return True
    return False


def _through_a_narrow_index(conditions: Sequence[str], older: str) -> str:
    # Without the fence the planner may walk the index by arrival for an event that came in long ago only.
    return (
        "WITH few AS MATERIALIZED (SELECT event.received_at, event.occurred_at, event.dedup_at, event.dedup_hash"  # noqa: S608
        f" FROM cohorts_event AS event WHERE event.project_id = %(project)s AND {' AND '.join(conditions)}"
        f" AND {_OF_NOBODY_ERASED})"
        f" SELECT * FROM few AS event WHERE {older} ORDER BY {_ORDER} LIMIT %(rows)s"
    )


def _among_the_newest(
    cursor: CursorWrapper, conditions: Sequence[str], older: str, values: Values, limit: int
) -> Arrivals:
    """Return the page out of the next `MAX_SEARCHED` events; where these end before it is full, it says so."""
    newest = f"newest AS MATERIALIZED ({_newest(older, '%(searched)s')})"
    found = (
        f"found AS MATERIALIZED (SELECT event.* FROM newest AS event WHERE {' AND '.join(conditions)}"  # noqa: S608
        f" ORDER BY {_ORDER} LIMIT %(rows)s)"
    )
    cursor.execute(f"WITH {newest}, {found} {_SHOWN}", values)
    page = _page([_arrival(row) for row in cursor.fetchall()], limit)
    if page.next:
        return page
    cursor.execute(
        f"WITH {newest} SELECT received_at, occurred_at, dedup_hash, count(*) OVER () FROM newest"  # noqa: S608
        " ORDER BY received_at, occurred_at, dedup_hash LIMIT 1",
        values,
    )
    last = cursor.fetchone()
    if last is None or last[3] < MAX_SEARCHED:
        return page
    return Arrivals(page.shown, Place(*last[:3]), last[0])


def _page(found: Sequence[Arrival], limit: int) -> Arrivals:
    # One more than is shown tells whether there is another page.
    return Arrivals(found[:limit], found[limit - 1].place if len(found) > limit else None)


def _persons_of(cursor: CursorWrapper, project: Project, distinct_id: str) -> list[int]:
    """Return the id's person and whoever was merged into them and has events on their way; nobody for an unknown id."""
    persons = find_persons(cursor, project_id=project.pk, distinct_ids=[distinct_id])
    return [
        each
        for person in persons.values()
        for each in (person, *unswept_losers(cursor, project_id=project.pk, winner=person))
    ]


def _arrival(row: tuple[Any, ...]) -> Arrival:
    received_at, occurred_at, dedup_at, dedup_hash, name, distinct_id, insert_id, person_id, properties = row
    return Arrival(
        received_at=received_at,
        occurred_at=occurred_at,
        dedup_at=dedup_at,
        dedup_hash=dedup_hash,
        name=name,
        distinct_id=distinct_id,
        insert_id=insert_id,
        person_id=person_id,
        properties=None if properties is None else orjson.loads(properties),
    )


def _number(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(number: str) -> dt.datetime:
    return _EPOCH + int(number) * _MICROSECOND
