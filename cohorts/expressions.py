"""Expressions: what a filter written as text asks of a person. A wire parses its own syntax into these
(`integrations/mixpanel/query/where.py`), `cohorts/compile/expressions.py` writes them as SQL.

A cohort's definition says the same things in a form that a page can show; an expression nests freely.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

Comparison: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]
Type: TypeAlias = Literal["boolean", "number", "string", "datetime"]


class ExpressionError(ValueError):
    """The expression means nothing; the message is one sentence."""


@dataclass(frozen=True)
class Property:
    """A property of the profile; a missing one and null are no value."""

    name: str


@dataclass(frozen=True)
class Constant:
    """A text, a number or a boolean."""

    value: str | Decimal | bool


@dataclass(frozen=True)
class Choice:
    """Constants of which any will do; only at the right of `in`."""

    values: tuple[str | Decimal | bool, ...]


@dataclass(frozen=True)
class Cast:
    """A value as another type; no value where it cannot be one, but for a boolean, which it then is not."""

    type: Type
    operand: Expression


@dataclass(frozen=True)
class Compared:
    """Two values; one of another type than the other is neither equal, nor less, nor greater."""

    comparison: Comparison
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Contained:
    """A value among some, in a list, or a text within a text."""

    item: Expression
    container: Expression | Choice


@dataclass(frozen=True)
class Defined:
    """Whether there is a value."""

    operand: Expression


@dataclass(frozen=True)
class Negated:
    """The exact negation: true for what is false or unknown."""

    operand: Expression


@dataclass(frozen=True)
class Combined:
    """All, or any, of some."""

    is_any: bool
    operands: tuple[Expression, ...]


Expression: TypeAlias = Property | Constant | Cast | Compared | Contained | Defined | Negated | Combined
