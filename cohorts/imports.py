"""Files -> events and profiles, in batches (steps 1 and 2): what `import_events` and `import_profiles` do.

Each batch is a transaction of `cohorts/ingest/`. An import that breaks off is done again from the start: what is stored
already stays as it is.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import orjson

from cohorts.files import Line, RefusedLine, SourceFile, read_file
from cohorts.identity import DENYLIST, IDENTITY_EVENTS, claim_of, is_usable, text_of_id
from cohorts.ingest import apply_profile_updates, ingest_events
from cohorts.messages import IncomingEvent, ProfileUpdate, Set
from cohorts.models import MatchProperty, Project
from cohorts.refusals import Reason, RecordRefused
from cohorts.times import EARLIEST, epoch_time, text_time
from cohorts.values import (
    MAX_EVENT_VALUE_BYTES,
    MAX_PROFILE_VALUE_BYTES,
    JsonValue,
    Properties,
    clean_properties,
    clean_text,
)

LINES_PER_BATCH = 5000
_MAX_AHEAD = dt.timedelta(hours=1)
# 80 bits of the file's digest name it; with the line number that fits Mixpanel's 36 characters.
_DIGEST_CHARACTERS = 20

Message = TypeVar("Message", IncomingEvent, ProfileUpdate)


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Where an event's parts are: its fixed name or the column with it, and the columns of the rest; "" for none."""

    name: str
    name_column: str
    distinct_id: str
    time: str
    insert_id: str


@dataclass(slots=True)
class Tally:
    """What became of a file's lines. `added` counts new events, or persons; `changed` those known that were changed."""

    lines: int = 0
    refused: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who follows an import: told of each refused line, and after each batch how many of the file's bytes are read."""

    on_refused: Callable[[RefusedLine], None]
    on_progress: Callable[[int], None]


def import_events(
    *,
    project: Project,
    source: SourceFile,
    columns: EventColumns,
    text_columns: frozenset[str],
    now: dt.datetime,
    is_dry_run: bool,
    watcher: Watcher,
) -> Tally:
    """Import a file of events; columns that are no part of the event are its properties. A repetition adds nothing.

    What they claim about ids is carried out as it is for `/import`. `now` is when the import begins; each batch comes
    in that much later, so that a file of millions is not one moment in the order of arrival.
    """
    is_simplified = project.id_merge == Project.IdMerge.SIMPLIFIED
    began = time.monotonic()

    def read(line: Line) -> IncomingEvent:
        return _event_of(line, columns, source.digest, now, is_simplified=is_simplified)

    def store(events: list[IncomingEvent], tally: Tally) -> None:
        arrived_at = now + dt.timedelta(seconds=time.monotonic() - began)
        ingested = ingest_events(project=project, events=events, now=arrived_at, endpoint="import_events")
        tally.added += ingested.inserted
        tally.changed += ingested.updated
        tally.unchanged += ingested.unchanged

    parts = {columns.name_column, columns.distinct_id, columns.time, columns.insert_id}
    return _Import(read, store, is_dry_run, watcher).run(source, text_columns | parts)


def import_profiles(
    *,
    project: Project,
    source: SourceFile,
    distinct_id_column: str,
    text_columns: frozenset[str],
    now: dt.datetime,
    is_dry_run: bool,
    watcher: Watcher,
) -> Tally:
    """Import a file of profiles: each line sets the properties of one; an empty cell leaves what is stored."""

    def read(line: Line) -> ProfileUpdate:
        return _update_of(line, distinct_id_column, now)

    def store(updates: list[ProfileUpdate], tally: Tally) -> None:
        applied = apply_profile_updates(project=project, updates=updates, now=now, endpoint="import_profiles")
        tally.added += applied.created
        tally.changed += applied.changed
        tally.unchanged += len(updates) - applied.created - applied.changed

    # An id over there has to be a string, also where it looks like a number.
    names = MatchProperty.objects.filter(project=project).values_list("name", flat=True)
    return _Import(read, store, is_dry_run, watcher).run(source, text_columns | {distinct_id_column, *names})


@dataclass(slots=True)
class _Import(Generic[Message]):
    read: Callable[[Line], Message]
    store: Callable[[list[Message], Tally], None]
    is_dry_run: bool
    watcher: Watcher

    def run(self, source: SourceFile, text_columns: frozenset[str]) -> Tally:
        tally = Tally()
        batch: list[Message] = []
        for record, bytes_read in read_file(source, text_columns=text_columns):
            tally.lines += 1
            if isinstance(record, RefusedLine):
                self.refuse(record, tally)
            else:
                try:
                    batch.append(self.read(record))
                except RecordRefused as refused:
                    text = orjson.dumps(record.values).decode()
                    self.refuse(RefusedLine(record.number, _sentence(refused), text), tally)
            if len(batch) == LINES_PER_BATCH:
                self.flush(batch, tally)
                self.watcher.on_progress(bytes_read)
        if batch:
            self.flush(batch, tally)
        self.watcher.on_progress(source.size_bytes)
        return tally

    def refuse(self, line: RefusedLine, tally: Tally) -> None:
        tally.refused += 1
        self.watcher.on_refused(line)

    def flush(self, batch: list[Message], tally: Tally) -> None:
        if not self.is_dry_run:
            self.store(batch, tally)
        batch.clear()


def _event_of(
    line: Line, columns: EventColumns, digest: str, now: dt.datetime, *, is_simplified: bool
) -> IncomingEvent:
    values = line.values
    name = columns.name or values.get(columns.name_column)
    if not isinstance(name, str) or not (name := clean_text(name)).strip():
        raise RecordRefused(
            Reason.EVENT_NAME_MISSING, columns.name_column, f"column {columns.name_column!r} holds no event name"
        )
    if is_simplified and name in IDENTITY_EVENTS:
        raise RecordRefused(
            Reason.IDENTITY_EVENT, columns.name_column, f"{name} is not taken by a project on simplified ID merge"
        )
    occurred_at = _time_of(values, columns.time, now)
    if columns.insert_id:
        insert_id = text_of_id(values.get(columns.insert_id)) or ""
        if not insert_id or insert_id.lower() in DENYLIST:
            raise RecordRefused(
                Reason.INSERT_ID_MALFORMED, columns.insert_id, f"column {columns.insert_id!r} holds no insert id"
            )
    else:
        insert_id = f"{digest[:_DIGEST_CHARACTERS]}-{line.number}"
    parts = {columns.name_column, columns.distinct_id, columns.time, columns.insert_id}
    distinct_id = _distinct_id_of(values, columns.distinct_id)
    return IncomingEvent(
        name=name,
        distinct_id=distinct_id,
        sent_at=occurred_at,
        occurred_at=min(occurred_at, now),
        insert_id=insert_id,
        properties=clean_properties(
            {name: value for name, value in values.items() if name not in parts},
            field="properties",
            max_value_bytes=MAX_EVENT_VALUE_BYTES,
        ),
        # Whoever runs the command may do anything.
        claim=claim_of(name, values | {"distinct_id": distinct_id}, is_simplified=is_simplified, may_merge=True),
    )


def _update_of(line: Line, distinct_id_column: str, now: dt.datetime) -> ProfileUpdate:
    properties = {name: value for name, value in line.values.items() if name != distinct_id_column}
    return ProfileUpdate(
        position=line.number,
        distinct_id=_distinct_id_of(line.values, distinct_id_column),
        operations=(Set(clean_properties(properties, field="$set", max_value_bytes=MAX_PROFILE_VALUE_BYTES)),),
        updated_at=now,
    )


def _distinct_id_of(values: Properties, column: str) -> str:
    distinct_id = text_of_id(values.get(column)) or ""
    if not is_usable(distinct_id):
        what = f"{distinct_id!r}, which names nobody" if distinct_id else "no id"
        raise RecordRefused(Reason.DISTINCT_ID_UNUSABLE, column, f"column {column!r} holds {what}")
    return distinct_id


def _time_of(values: Properties, column: str, now: dt.datetime) -> dt.datetime:
    value: JsonValue = values.get(column)
    moment = text_time(value) if isinstance(value, str) else epoch_time(value)
    if value is None or value == "":
        raise RecordRefused(Reason.TIME_MALFORMED, column, f"column {column!r} is empty, and an event needs a time.")
    if moment is None or moment < EARLIEST:
        raise RecordRefused(
            Reason.TIME_MALFORMED,
            column,
            f"column {column!r} holds {str(value)[:40]!r}, which is no time since 1971: "
            "use ISO 8601 (2026-01-31T12:00:00) or seconds since 1970",
        )
    if moment > now + _MAX_AHEAD:
        raise RecordRefused(Reason.TIME_IN_FUTURE, column, f"column {column!r} holds a time in the future")
    return moment


def _sentence(refused: RecordRefused) -> str:
    return refused.message[0].upper() + refused.message[1:] + "."
