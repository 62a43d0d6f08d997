"""Expressions (`cohorts/expressions.py`) as SQL conditions on a person, by the rules of `properties.py`.

A property has the type that its value has in each row; everything else has one type. Texts are equal, and contain each
other, without regard to case, as in a cohort, and have the order of their characters, so that dates in Mixpanel's form
compare as such. No cast can fail: each is guarded by the value's type and form.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal, TypeAlias, assert_never

from cohorts.compile.folding import Folding
from cohorts.compile.fragments import Sql, joined, value
from cohorts.compile.properties import moment_sql
from cohorts.expressions import (
    Cast,
    Choice,
    Combined,
    Compared,
    Constant,
    Contained,
    Defined,
    Expression,
    ExpressionError,
    Negated,
    Property,
)
from cohorts.times import epoch_time, text_time

_Kind: TypeAlias = Literal["json", "text", "number", "boolean", "moment"]

_NUMBER_FORM = "^[ ]*[-+]?[0-9]{1,100}(?:[.][0-9]{1,100})?(?:[eE][-+]?[0-9]{1,2})?[ ]*$"
_FALSE = Sql("false")
# Each writes its operand several times.
_MAX_NESTED_CASTS = 2
_UNKNOWN: Mapping[_Kind, Sql] = {
    "json": Sql("NULL::jsonb"),
    "text": Sql("NULL::text"),
    "number": Sql("NULL::numeric"),
    "boolean": Sql("NULL::boolean"),
    "moment": Sql("NULL::timestamptz"),
}
# What no profile stores as a property, though a query names it so (Mixpanel). The time has second precision.
LAST_SEEN_SQL = "to_char(person.profile_updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS')"
_COMPUTED: Mapping[str, Sql] = {
    "$distinct_id": Sql("to_jsonb(person.distinct_id)"),
    "$last_seen": Sql(f"to_jsonb({LAST_SEEN_SQL})"),
}
# A number of seconds or, from 1e10 on, milliseconds (contract/mixpanel.md, 1.6); the guard comes before the cast.
_EPOCH_MOMENT = (
    "CASE WHEN {} BETWEEN 0 AND 9999999999 THEN to_timestamp(({})::double precision)"
    " WHEN {} BETWEEN 10000000000 AND 253402300799999 THEN to_timestamp(({})::double precision / 1000) END"
)


@dataclass(frozen=True)
class _Value:
    """A value in SQL and its type; `constant` is what it is, if that is known."""

    kind: _Kind
    sql: Sql
    constant: str | Decimal | bool | None = None


def expression_sql(expression: Expression, *, folding: Folding) -> Sql:
    """Return whether the expression holds for `person`, a row of the persons. Raises ExpressionError."""
    return _Writer(folding).truth(expression)


@dataclass(frozen=True)
class _Writer:
    folding: Folding
    casts_left: int = _MAX_NESTED_CASTS

    def truth(self, expression: Expression) -> Sql:
        match expression:
            case Combined():
                pieces = [self.truth(operand) for operand in expression.operands]
                return Sql("({})").fill(joined(" OR " if expression.is_any else " AND ", pieces))
            case Negated():
                return Sql("(({}) IS NOT TRUE)").fill(self.truth(expression.operand))
            case Compared():
                return self._compared(expression)
            case Contained():
                return self._contained(self._value(expression.item), expression.container)
            case Defined():
                return Sql("(({}) IS NOT NULL)").fill(self._value(expression.operand).sql)
            case Property() | Constant() | Cast():
                return _boolean(self._value(expression))
            case _:
                assert_never(expression)

    def _value(self, expression: Expression) -> _Value:
        match expression:
            case Property():
                found = _COMPUTED.get(expression.name) or Sql("(person.properties -> {})").fill(
                    value(expression.name, "text")
                )
                return _Value("json", Sql("NULLIF({}, 'null'::jsonb)").fill(found))
            case Constant():
                return _constant(expression.value)
            case Cast():
                return self._cast(expression)
            case _:
                return _Value("boolean", self.truth(expression))

    def _cast(self, cast: Cast) -> _Value:
        if not self.casts_left:
            raise ExpressionError(
                f"boolean() number() string() datetime() are nested at most {_MAX_NESTED_CASTS} deep."
            )
        operand = replace(self, casts_left=self.casts_left - 1)._value(cast.operand)
        match cast.type:
            case "boolean":
                return _Value("boolean", _boolean(operand))
            case "number":
                return _Value("number", _number(operand))
            case "string":
                return _Value("text", _text(operand))
            case "datetime":
                return _Value("moment", _moment(operand))

    def _compared(self, compared: Compared) -> Sql:
        left, right = self._value(compared.left), self._value(compared.right)
        if compared.comparison == "==":
            return self._equal(left, right)
        if compared.comparison == "!=":
            return Sql("(({}) IS NOT TRUE)").fill(self._equal(left, right))
        return _by_type(left, right, lambda kind, a, b: _ordered(compared.comparison, kind, a, b))

    def _equal(self, left: _Value, right: _Value) -> Sql:
        if left.kind == right.kind == "json":
            return Sql("(CASE WHEN jsonb_typeof({}) = 'string' THEN {} ELSE {} = {} END)").fill(
                left.sql, self._same_text(_plain(left), _plain(right)), left.sql, right.sql
            )
        return _by_type(
            left, right, lambda kind, a, b: self._same_text(a, b) if kind == "text" else Sql("({} = {})").fill(a, b)
        )

    def _same_text(self, left: Sql, right: Sql) -> Sql:
        return Sql("({} = {})").fill(self.folding.fold(left), self.folding.fold(right))

    def _within(self, part: Sql, whole: Sql) -> Sql:
        return Sql("(position({} IN {}) > 0)").fill(self.folding.fold(part), self.folding.fold(whole))

    def _contained(self, item: _Value, container: Expression | Choice) -> Sql:
        if isinstance(container, Choice):
            return self._chosen(item, container)
        whole = self._value(container)
        if whole.kind == "text":
            return self._within(_as("text", item), whole.sql)
        if whole.kind != "json":
            raise ExpressionError('At the right of "in" stands a list such as ["a", "b"], a text or a property.')
        element = _Value("json", Sql("element.value"))
        among = Sql("EXISTS (SELECT FROM jsonb_path_query({}, '$[*]') AS element (value) WHERE {})").fill(
            whole.sql, self._equal(element, item)
        )
        return Sql("(CASE jsonb_typeof({}) WHEN 'string' THEN {} WHEN 'array' THEN {} ELSE false END)").fill(
            whole.sql, self._within(_as("text", item), _plain(whole)), among
        )

    def _chosen(self, item: _Value, choice: Choice) -> Sql:
        """Return whether the item is one of the constants, each type of them compared at once."""
        texts = [self.folding.fold(value(each, "text")) for each in choice.values if isinstance(each, str)]
        numbers = [each for each in choice.values if isinstance(each, Decimal)]
        booleans = [each for each in choice.values if isinstance(each, bool)]
        pieces = []
        if texts:
            text = self.folding.fold(_as("text", item))
            pieces.append(Sql("{} = ANY (ARRAY[{}])").fill(text, joined(", ", texts)))
        if numbers:
            pieces.append(Sql("{} = ANY ({})").fill(_as("number", item), value(numbers, "numeric[]")))
        if booleans:
            pieces.append(Sql("{} = ANY ({})").fill(_as("boolean", item), value(booleans, "boolean[]")))
        return Sql("({})").fill(joined(" OR ", pieces)) if pieces else _FALSE


def _by_type(left: _Value, right: _Value, write: Callable[[_Kind, Sql, Sql], Sql]) -> Sql:
    """Return a comparison of two values as the type that both have; false where they have none in common."""
    if left.kind == right.kind == "json":
        return Sql(
            "(CASE WHEN jsonb_typeof({}) = 'number' AND jsonb_typeof({}) = 'number' THEN {}"
            " WHEN jsonb_typeof({}) = 'string' AND jsonb_typeof({}) = 'string' THEN {} ELSE false END)"
        ).fill(
            left.sql,
            right.sql,
            write("number", _as("number", left), _as("number", right)),
            left.sql,
            right.sql,
            write("text", _plain(left), _plain(right)),
        )
    if "moment" in (left.kind, right.kind):
        kind: _Kind = "moment"
    else:
        kind = right.kind if left.kind == "json" else left.kind
    if not {left.kind, right.kind} <= {kind, "json"} and kind != "moment":
        return _FALSE
    return write(kind, _as(kind, left), _as(kind, right))


def _ordered(comparison: str, kind: _Kind, left: Sql, right: Sql) -> Sql:
    template = '({} COLLATE "C" ' + comparison + ' {} COLLATE "C")' if kind == "text" else "({} " + comparison + " {})"
    return Sql(template).fill(left, right)


def _constant(constant: str | Decimal | bool) -> _Value:
    if isinstance(constant, bool):
        return _Value("boolean", Sql("true" if constant else "false"), constant)
    if isinstance(constant, Decimal):
        return _Value("number", value(constant, "numeric"), constant)
    return _Value("text", value(constant, "text"), constant)


def _plain(found: _Value) -> Sql:
    """Return a jsonb scalar's text, whatever its type."""
    return Sql("({} #>> ARRAY[]::text[])").fill(found.sql)


def _as(kind: _Kind, found: _Value) -> Sql:
    """Return the value if it is of that type, and NULL otherwise. A constant compared with a moment is one."""
    if found.kind == kind:
        return found.sql
    if kind == "moment" and (found.kind == "json" or found.constant is not None):
        return moment_sql(json=found.sql, text=_plain(found)) if found.kind == "json" else _moment(found)
    if found.kind != "json":
        return _UNKNOWN[kind]
    match kind:
        case "text":
            return Sql("(CASE WHEN jsonb_typeof({}) = 'string' THEN {} END)").fill(found.sql, _plain(found))
        case "number":
            return Sql("(CASE WHEN jsonb_typeof({}) = 'number' THEN ({})::numeric END)").fill(found.sql, found.sql)
        case "boolean":
            return Sql("(CASE WHEN jsonb_typeof({}) = 'boolean' THEN ({})::boolean END)").fill(found.sql, found.sql)
        case _:
            return found.sql


def _boolean(operand: _Value) -> Sql:
    """Mixpanel: "false", 0, null, "" and what is not set are false, all else is true (contract, 2.3)."""
    match operand.kind:
        case "boolean":
            return operand.sql
        case "number":
            return Sql("COALESCE({} <> 0, false)").fill(operand.sql)
        case "text":
            return Sql("COALESCE({} NOT IN ('', 'false'), false)").fill(operand.sql)
        case "moment":
            return Sql("({} IS NOT NULL)").fill(operand.sql)
        case "json":
            return Sql(
                "COALESCE(CASE jsonb_typeof({}) WHEN 'boolean' THEN ({})::boolean WHEN 'number' THEN ({})::numeric <> 0"
                " WHEN 'string' THEN {} NOT IN ('', 'false') ELSE true END AND {} IS NOT NULL, false)"
            ).fill(operand.sql, operand.sql, operand.sql, _plain(operand), operand.sql)


def _number(operand: _Value) -> Sql:
    match operand.kind:
        case "number":
            return operand.sql
        case "boolean":
            return Sql("({})::integer::numeric").fill(operand.sql)
        case "moment":
            return Sql("extract(epoch FROM {})").fill(operand.sql)
        case "text":
            return _number_in(operand.sql)
        case "json":
            return Sql(
                "(CASE jsonb_typeof({}) WHEN 'number' THEN ({})::numeric WHEN 'string' THEN {}"
                " WHEN 'boolean' THEN ({})::boolean::integer::numeric END)"
            ).fill(operand.sql, operand.sql, _number_in(_plain(operand)), operand.sql)


def _number_in(text: Sql) -> Sql:
    return Sql("(CASE WHEN {} ~ {} THEN ({})::numeric END)").fill(text, value(_NUMBER_FORM), text)


def _text(operand: _Value) -> Sql:
    match operand.kind:
        case "text":
            return operand.sql
        case "json":
            return _plain(operand)
        case "moment":
            return Sql("to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS')").fill(operand.sql)
        case _:
            return Sql("({})::text").fill(operand.sql)


def _moment(operand: _Value) -> Sql:
    match operand.kind:
        case "moment":
            return operand.sql
        case "json":
            number = _as("number", operand)
            return Sql("(CASE jsonb_typeof({}) WHEN 'string' THEN {} WHEN 'number' THEN {} END)").fill(
                operand.sql,
                moment_sql(json=operand.sql, text=_plain(operand)),
                Sql(_EPOCH_MOMENT).fill(number, number, number, number),
            )
        case "number" if operand.constant is None:
            return Sql("({})").fill(Sql(_EPOCH_MOMENT).fill(*[operand.sql] * 4))
        case _:
            return value(_constant_moment(operand.constant), "timestamptz")


def _constant_moment(constant: str | Decimal | bool | None) -> dt.datetime:
    moment = None
    if isinstance(constant, str):
        moment = text_time(constant)
    elif isinstance(constant, Decimal):
        moment = epoch_time(float(constant))
    if moment is None:
        raise ExpressionError(
            'datetime() takes a property, a date such as "2026-01-31T12:00:00" (UTC) or a number of seconds since 1970.'
        )
    return moment
