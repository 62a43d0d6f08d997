"""Erased persons' match keys: due while nobody holds them, tombstones once no destination does, revived when set again.

The core does not know what destinations hold: `integrations/removals.py` has the tags of due keys removed and then asks
for their burial. `cohorts/match_keys.py` asks here whether a value it has not seen is that of a tombstone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence

from django.db import connection
from django.db.backends.utils import CursorWrapper

from cohorts.arrays import number_array, text_array
from cohorts.erasing.hashes import value_hash
from cohorts.models import ErasedKey, MatchProperty

# A key and its match property, still to be found: (match property, value).
Wanted = tuple[int, str | None]

_IS_DUE = (
    "erased.is_due AND NOT EXISTS (SELECT FROM cohorts_personkey AS held"
    " WHERE held.project_id = erased.project_id AND held.match_key_id = erased.match_key_id)"
)


def due_properties() -> list[MatchProperty]:
    """Return the match properties, of any project, with a key that waits to be erased."""
    waiting = ErasedKey.objects.filter(is_due=True).values("match_property_id")
    return list(MatchProperty.objects.filter(pk__in=waiting).order_by("pk"))


def due_keys(*, project_id: int, match_property_id: int) -> list[int]:
    """Return the keys whose tags are to be removed wherever they are: erased persons' that nobody holds (any more)."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT erased.match_key_id FROM cohorts_erasedkey AS erased"  # noqa: S608
            f" WHERE erased.project_id = %s AND erased.match_property_id = %s AND {_IS_DUE}",
            [project_id, match_property_id],
        )
        return [row[0] for row in cursor.fetchall()]


def has_due_keys(*, erasure_id: int) -> bool:
    """Return whether a value of this request is not erased yet; one that somebody else holds does not count."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT FROM cohorts_erasedkey AS erased"  # noqa: S608
            f" WHERE erased.erasure_id = %s AND {_IS_DUE})",
            [erasure_id],
        )
        row = cursor.fetchone()
    return bool(row and row[0])


def bury_keys(*, project_id: int, key_ids: Collection[int], now: dt.datetime) -> list[int]:
    """Make tombstones of the keys that are due, and return them; in the caller's transaction.

    The rows are locked before it is asked who holds them: whoever gives a person one of these keys shares the row
    first, and finds no value once it is gone (`cohorts/match_keys.py`).
    """
    with connection.cursor() as cursor:
        ordered = sorted(key_ids)
        cursor.execute(
            "SELECT sent.id, known.match_property_id, known.value"
            " FROM unnest(%s::bigint[], %s::integer[]) AS sent (project_id, id)"
            " CROSS JOIN LATERAL (SELECT match_property_id, value FROM cohorts_matchkey AS known"
            " WHERE known.project_id = sent.project_id AND known.id = sent.id LIMIT 1 FOR UPDATE) AS known",
            [number_array([project_id] * len(ordered)), number_array(ordered)],
        )
        values = {key_id: (property_id, value) for key_id, property_id, value in cursor.fetchall()}
        cursor.execute(
            f"SELECT erased.match_key_id FROM cohorts_erasedkey AS erased"  # noqa: S608
            f" WHERE erased.project_id = %s AND erased.match_key_id = ANY (%s) AND {_IS_DUE}",
            [project_id, ordered],
        )
        buried = sorted(row[0] for row in cursor.fetchall() if row[0] in values)
        hashes = [
            value_hash(match_property_id=property_id, value=value).hex() if value is not None else None
            for property_id, value in (values[key_id] for key_id in buried)
        ]
        cursor.execute(
            "UPDATE cohorts_erasedkey AS erased SET is_due = false, erased_at = %s,"
            " value_hash = COALESCE(decode(gone.hash, 'hex'), erased.value_hash)"
            " FROM unnest(%s::integer[], %s::text[]) AS gone (id, hash)"
            " WHERE erased.project_id = %s AND erased.match_key_id = gone.id",
            [now, number_array(buried), text_array(hashes), project_id],
        )
        cursor.execute(
            "UPDATE cohorts_matchkey SET value = NULL WHERE project_id = %s AND id = ANY (%s)", [project_id, buried]
        )
    return buried


def revive_keys(cursor: CursorWrapper, *, project_id: int, wanted: Sequence[Wanted]) -> Mapping[Wanted, int]:
    """Give tombstones back the values of `wanted` that were theirs, and return those keys.

    Ids of keys are never reused, and a value keeps its one: what was written to a destination under it lately is still
    known then, so that the contrary waits for its clock (laws.md, L11).
    """
    cursor.execute(
        "SELECT EXISTS (SELECT FROM cohorts_erasedkey WHERE project_id = %s AND value_hash IS NOT NULL)", [project_id]
    )
    row = cursor.fetchone()
    if not wanted or not (row and row[0]):
        return {}
    by_hash = {value_hash(match_property_id=pair[0], value=pair[1]).hex(): pair for pair in wanted if pair[1]}
    cursor.execute(
        "SELECT erased.match_key_id, sent.hash FROM unnest(%s::bigint[], %s::bigint[], %s::text[])"
        " AS sent (project_id, match_property_id, hash)"
        " CROSS JOIN LATERAL (SELECT match_key_id FROM cohorts_erasedkey AS erased"
        " WHERE erased.project_id = sent.project_id AND erased.match_property_id = sent.match_property_id"
        " AND erased.value_hash = decode(sent.hash, 'hex') LIMIT 1) AS erased ORDER BY 1",
        [
            number_array([project_id] * len(by_hash)),
            number_array([pair[0] for pair in by_hash.values()]),
            text_array(list(by_hash)),
        ],
    )
    found = {key_id: by_hash[digest] for key_id, digest in cursor.fetchall()}
    revived = {}
    for key_id, pair in found.items():
        # One by one: these are few, and of two who set the value at once the second waits here and finds it set.
        cursor.execute(
            "UPDATE cohorts_matchkey SET value = %s WHERE project_id = %s AND id = %s AND value IS NULL",
            [pair[1], project_id, key_id],
        )
        if cursor.rowcount:
            revived[pair] = key_id
    ErasedKey.objects.filter(project_id=project_id, match_key_id__in=list(revived.values())).update(value_hash=None)
    return revived
