"""Samples of refused records that hold an erased value: they go, their counts stay.

A sample is the beginning of a record's text, so it is looked at as text: every JSON string and bare word in it, whole
and in the pieces between the signs that part an address or a list, and the beginning of a value that was cut off. Where
in doubt the sample goes; it was only an example.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import orjson
from django.db.backends.utils import CursorWrapper

_ROWS_AT_A_TIME = 200
# Of so many values each is looked for by itself: faster than taking the text apart.
_FEW = 20
# A string, closed or cut off, or a word outside of one. Possessive, so that no input makes it try again.
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*+)("?)|[^\s",:\[\]{}]++', re.DOTALL)
_BARE = re.compile(r'[\s",:\[\]{}]')
_PIECES = re.compile(r"[\s/?&=#;,:|<>()'\"]+")


def erase_samples(cursor: CursorWrapper, *, project_id: int, values: AbstractSet[str]) -> int:
    """Take the samples that hold one of these values from the project's refusals; return how many those were.

    The rows are locked last in a transaction, in the order in which `cohorts/refusals.py` locks them.
    """
    if not values:
        return 0
    ordered = sorted(values)
    erased = 0
    for row_id in _rows_holding(cursor, project_id, values, ordered):
        cursor.execute("SELECT samples FROM cohorts_refusal WHERE id = %s FOR UPDATE", [row_id])
        row = cursor.fetchone()
        if row is None:
            continue
        samples = orjson.loads(row[0])
        kept = [sample for sample in samples if not _holds(sample, values, ordered)]
        erased += len(samples) - len(kept)
        cursor.execute("UPDATE cohorts_refusal SET samples = %s::jsonb WHERE id = %s", [_json(kept), row_id])
    return erased


def _rows_holding(
    cursor: CursorWrapper, project_id: int, values: AbstractSet[str], ordered: Sequence[str]
) -> Iterator[int]:
    """Yield the rows with such a sample, by date, endpoint and reason; read in pieces, since a row can be 10 kB."""
    cursor.execute(
        "SELECT id FROM cohorts_refusal WHERE project_id = %s AND samples <> '[]'"
        " ORDER BY refused_date, endpoint, reason",
        [project_id],
    )
    ids = [row[0] for row in cursor.fetchall()]
    for start in range(0, len(ids), _ROWS_AT_A_TIME):
        some = ids[start : start + _ROWS_AT_A_TIME]
        cursor.execute("SELECT id, samples FROM cohorts_refusal WHERE id = ANY (%s)", [some])
        samples = dict(cursor.fetchall())
        for row_id in some:
            if any(_holds(sample, values, ordered) for sample in orjson.loads(samples.get(row_id, "[]"))):
                yield row_id


def _holds(sample: Mapping[str, object], values: AbstractSet[str], ordered: Sequence[str]) -> bool:
    return any(holds(str(sample.get(name, "")), values, ordered) for name in ("record", "message"))


def holds(text: str, values: AbstractSet[str], ordered: Sequence[str]) -> bool:
    """Return whether the text holds one of the values; `ordered` are the same ones sorted."""
    if "\\" not in text and len(values) <= _FEW and not any(value in text for value in values):
        # Most samples, most times: nothing is written in another way than it is, so only the end can be part of one.
        end = text.rpartition('"')[2] if text.count('"') % 2 else _BARE.split(text)[-1]
        return bool(end) and _begins_one(end, ordered)
    for found in _TOKEN.finditer(text):
        inner, end = found[1], found[2]
        if inner is None:
            words, is_cut = found[0], found.end() == len(text)
        else:
            words, is_cut = _unescaped(inner), not end
        if words in values or not values.isdisjoint(_PIECES.split(words)):
            return True
        if is_cut and words and _begins_one(words, ordered):
            return True
    return False


def _unescaped(inner: str) -> str:
    for text in (inner, inner.rpartition("\\")[0]):
        try:
            return str(orjson.loads(f'"{text}"'))
        except orjson.JSONDecodeError:
            continue
    return inner


def _begins_one(words: str, ordered: Sequence[str]) -> bool:
    """Return whether a value begins with these words: the last one of a text may be cut off."""
    place = bisect_left(ordered, words)
    return place < len(ordered) and ordered[place].startswith(words)


def _json(samples: Sequence[object]) -> str:
    return orjson.dumps(samples).decode()
