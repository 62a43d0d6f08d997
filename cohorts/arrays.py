"""Columns of values as PostgreSQL array literals: how step 2 (ingest) hands thousands of rows to one statement.

`INSERT ... SELECT FROM unnest(%s::text[], ...)` with literals rendered by orjson needs no temporary table and stores,
of events, 2,000 (50) at a time, 60,000 (38,000) rows a second; COPY into a temporary table 60,000 (26,000), psycopg2's
own arrays 35,000 (24,000), its `execute_values` 32,000 (26,000). Used by `ingest/`, `identity.py` and `match_keys.py`.

Statements look rows up by `LATERAL (... LIMIT 1)` with the project among the columns, not as a constant. The planner
knows nothing of a project younger than the last ANALYZE: with the constant it expects one row of it, and for each value
reads the whole project by whichever index begins with `project_id`; without LIMIT it may read the whole table.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import orjson


def by_key(statement: str) -> str:
    """Return an UPDATE or DELETE that joins rows by key, made to look them up one by one, for the same reason.

    What it switches off stays off until the transaction ends.
    """
    return "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; " + statement


def text_array(values: Sequence[str | None]) -> str:
    """Return the literal of a text array; None becomes NULL."""
    rendered = orjson.dumps(values).decode()
    if "\\" in rendered:
        # JSON's escapes of control characters mean other things in an array literal, which needs none.
        return "{" + ",".join("NULL" if value is None else _quoted(value) for value in values) + "}"
    return "{" + rendered[1:-1] + "}"


def json_array(documents: Sequence[str | None]) -> str:
    """Return the literal of an array of JSON texts as orjson writes them, that is, without raw control characters."""
    return "{" + orjson.dumps(documents).decode()[1:-1] + "}"


def number_array(values: Sequence[int | bool | None]) -> str:
    """Return the literal of an array of integers or booleans."""
    return "{" + orjson.dumps(values).decode()[1:-1] + "}"


def time_array(values: Sequence[dt.datetime | None]) -> str:
    """Return the literal of an array of aware datetimes."""
    return "{" + orjson.dumps(values).decode()[1:-1] + "}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
