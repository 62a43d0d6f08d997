"""Tests on properties as SQL conditions on a jsonb document; unknown for a missing or otherwise typed value."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import assert_never

from cohorts.compile.folding import Folding
from cohorts.compile.fragments import Sql, joined, value
from cohorts.compile.plan import BooleanIs, DateIn, IsSet, ListHas, NumberIs, PropertyTest, Tests, TextIs
from cohorts.windows import Interval

# Mixpanel's form YYYY-MM-DDTHH:MM:SS in UTC or YYYY-MM-DD, and on reading also a space, a fraction, Z or an offset
# (contract/mixpanel.md, 2.3). Only days that exist, so that the cast after it cannot fail; but for the year 0000, which
# PostgreSQL does not have and _FIRST_TEXT keeps out.
_DATE_FORM = (
    "^(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
    "(?:[Tt ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]{1,9})?"
    "(?:[Zz]|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)?)?$"
)
_FIRST_TEXT = "0001"
_DAY = dt.timedelta(days=1)
_COMPARISONS = {"greater_than": ">", "at_least": ">=", "less_than": "<", "at_most": "<="}


@dataclass(frozen=True)
class _Value:
    """A jsonb value in SQL, and the same as text."""

    json: Sql
    text: Sql


def tests_sql(tests: Tests, *, document: Sql, folding: Folding) -> Sql:
    """Return the tests on a document, combined."""
    pieces = [test_sql(test, document=document, folding=folding) for test in tests.tests]
    return Sql("({})").fill(joined(" OR " if tests.is_any else " AND ", pieces))


def test_sql(test: PropertyTest, *, document: Sql, folding: Folding) -> Sql:
    """Return one test on a document."""
    positive = _positive(test, document, folding)
    return Sql("(({}) IS NOT TRUE)").fill(positive) if test.is_negated else Sql("({})").fill(positive)


def _positive(test: PropertyTest, document: Sql, folding: Folding) -> Sql:
    predicate = test.predicate
    if isinstance(predicate, ListHas):
        return _list_has(predicate, document, _json_path(test.names, each=True), folding)
    if len(test.names) == 1:
        name = value(test.names[0])
        return _holds(
            predicate, _Value(Sql("{} -> {}").fill(document, name), Sql("{} ->> {}").fill(document, name)), folding
        )
    # A path goes through objects, and where it meets a list, into each of its elements: any of the leaves will do.
    leaf = _Value(Sql("leaf.value"), Sql("leaf.value #>> ARRAY[]::text[]"))
    return Sql("EXISTS (SELECT FROM jsonb_path_query({}, {}) AS leaf (value) WHERE {})").fill(
        document, _json_path(test.names), _holds(predicate, leaf, folding)
    )


def _json_path(names: tuple[str, ...], *, each: bool = False) -> Sql:
    """Return the path to a value, or to each element of it; a value that is no list is its own only element."""
    path = "$" + "".join("." + json.dumps(name, ensure_ascii=False) for name in names)
    return value(path + "[*]" if each else path, "jsonpath")


def _holds(predicate: IsSet | TextIs | NumberIs | BooleanIs | DateIn, found: _Value, folding: Folding) -> Sql:
    match predicate:
        case IsSet():
            return Sql("jsonb_typeof({}) <> 'null'").fill(found.json)
        case TextIs():
            return _typed("string", found, _text_is(predicate, found.text, folding))
        case NumberIs():
            return _typed("number", found, _number_is(predicate, Sql("({})::numeric").fill(found.json)))
        case BooleanIs():
            is_it = "({})::boolean" if predicate.value else "NOT ({})::boolean"
            return _typed("boolean", found, Sql(is_it).fill(found.json))
        case DateIn():
            return _date_in(predicate.interval, found)
        case _:
            assert_never(predicate)


def _typed(kind: str, found: _Value, test: Sql) -> Sql:
    return Sql("CASE WHEN jsonb_typeof({}) = {} THEN {} END").fill(found.json, value(kind), test)


def _text_is(predicate: TextIs, text: Sql, folding: Folding) -> Sql:
    """Return the comparison of a text with any of the values; folded values are constants to the planner."""
    folded = folding.fold(Sql("({})").fill(text))
    if predicate.place == "equals":
        return Sql("{} = ANY (ARRAY[{}])").fill(folded, _folded(predicate.values, folding))
    before, after = {"contains": ("%", "%"), "starts_with": ("", "%"), "ends_with": ("%", "")}[predicate.place]
    patterns = tuple(before + _literally(each) + after for each in predicate.values)
    return Sql("{} LIKE ANY (ARRAY[{}])").fill(folded, _folded(patterns, folding))


def _folded(texts: tuple[str, ...], folding: Folding) -> Sql:
    return joined(", ", [folding.fold(value(text, "text")) for text in texts])


def _literally(text: str) -> str:
    """Return the pattern of LIKE that matches this text only."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _number_is(predicate: NumberIs, number: Sql) -> Sql:
    if predicate.comparison == "equals":
        return Sql("{} = ANY ({})").fill(number, value(list(predicate.bounds), "numeric[]"))
    bounds = [value(bound, "numeric") for bound in predicate.bounds]
    if predicate.comparison == "between":
        return Sql("{} BETWEEN {} AND {}").fill(number, *bounds)
    return Sql("{} " + _COMPARISONS[predicate.comparison] + " {}").fill(number, *bounds)


def _date_in(interval: Interval, found: _Value) -> Sql:
    """Return whether a text is a date in the interval. One without a zone is in the session's, which must be UTC."""
    text = Sql('({}) COLLATE "C"').fill(found.text)
    # The form costs two microseconds a row. A text that begins with a day too far from the interval, whatever its
    # offset, cannot be in it, and that is found by comparing texts.
    guards = [
        Sql("jsonb_typeof({}) = 'string'").fill(found.json),
        Sql("{} >= {}").fill(text, value(_day_text(interval.start, -_DAY) if interval.start else _FIRST_TEXT)),
    ]
    if interval.end is not None:
        guards.append(Sql("{} < {}").fill(text, value(_day_text(interval.end, 2 * _DAY))))
    guards.append(Sql("{} ~ {}").fill(text, value(_DATE_FORM)))
    moment = Sql("({})::timestamptz").fill(found.text)
    return Sql("CASE WHEN {} THEN {} END").fill(joined(" AND ", guards), within(interval, moment))


def moment_sql(*, json: Sql, text: Sql) -> Sql:
    """Return the moment that a jsonb text is, NULL if it is none. One without a zone is in the session's."""
    return Sql(
        "(CASE WHEN jsonb_typeof({}) = 'string' AND ({}) COLLATE \"C\" >= {} AND {} ~ {} THEN ({})::timestamptz END)"
    ).fill(json, text, value(_FIRST_TEXT), text, value(_DATE_FORM), text)


def _day_text(moment: dt.datetime, later: dt.timedelta) -> str:
    return (moment + later).date().isoformat()


def within(interval: Interval, moment: Sql) -> Sql:
    """Return whether a moment lies in the interval."""
    bounds = []
    if interval.start is not None:
        bounds.append(Sql("{} >= {}").fill(moment, value(interval.start, "timestamptz")))
    if interval.end is not None:
        comparison = "{} <= {}" if interval.is_end_included else "{} < {}"
        bounds.append(Sql(comparison).fill(moment, value(interval.end, "timestamptz")))
    return joined(" AND ", bounds)


def _list_has(predicate: ListHas, document: Sql, path: Sql, folding: Folding) -> Sql:
    cases = []
    if predicate.texts:
        text = folding.fold(Sql("(item.value #>> ARRAY[]::text[])"))
        cases.append(Sql("WHEN 'string' THEN {} = ANY (ARRAY[{}])").fill(text, _folded(predicate.texts, folding)))
    if predicate.numbers:
        cases.append(
            Sql("WHEN 'number' THEN (item.value)::numeric = ANY ({})").fill(value(list(predicate.numbers), "numeric[]"))
        )
    if predicate.booleans:
        cases.append(
            Sql("WHEN 'boolean' THEN (item.value)::boolean = ANY ({})").fill(
                value(list(predicate.booleans), "boolean[]")
            )
        )
    is_among = Sql("CASE jsonb_typeof(item.value) {} ELSE false END").fill(joined(" ", cases))
    items = Sql("jsonb_path_query({}, {}) AS item (value)").fill(document, path)
    if predicate.is_all:
        # Over no elements it is unknown, which is not true.
        return Sql("(SELECT bool_and({}) FROM {})").fill(is_among, items)
    return Sql("EXISTS (SELECT FROM {} WHERE {})").fill(items, is_among)
