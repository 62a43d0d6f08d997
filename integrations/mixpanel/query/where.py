"""Mixpanel's filter expressions: the text of `where` -> `cohorts/expressions.py` (contract, 5.8).

The parser builds the expression from its leaves up without recursion, and what it nests is counted, so that no text is
too deep for whoever walks through the expression afterwards.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import TypeAlias, cast

from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import VisitError

from cohorts.expressions import (
    Cast,
    Choice,
    Combined,
    Compared,
    Comparison,
    Constant,
    Contained,
    Defined,
    Expression,
    ExpressionError,
    Negated,
    Property,
    Type,
)

MAX_CHARACTERS = 32_768
MAX_DEPTH = 40
MAX_PARTS = 1000
_MAX_EXPONENT = 300

_GRAMMAR = r"""
?start: expression
?expression: conjunction
           | conjunction ("or" conjunction)+            -> any_of
?conjunction: negation
            | negation ("and" negation)+                -> all_of
?negation: "not" negation                               -> negated
         | comparison
?comparison: value
           | value COMPARISON value                     -> compared
           | value "in" container                       -> contained
           | value "not" "in" container                 -> not_contained
?container: value
          | "[" [literal ("," literal)* ","?] "]"       -> choice
          | "(" literal ("," literal)+ ","? ")"         -> choice
?value: property
      | literal                                         -> constant
      | "defined" "(" expression ")"                    -> defined
      | TYPE "(" expression ")"                         -> typed
      | "(" expression ")"
property: ("properties" | "user") "[" STRING "]"
literal: STRING                                         -> text
       | NUMBER                                         -> number
       | "true"                                         -> true
       | "false"                                        -> false
COMPARISON: "==" | "!=" | "<=" | ">=" | "<" | ">"
TYPE: "boolean" | "number" | "string" | "datetime"
NUMBER: /-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?/
STRING: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/s
%import common.WS
%ignore WS
"""
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_Scalar: TypeAlias = str | Decimal | bool
_Deep: TypeAlias = tuple[Expression, int]


@v_args(inline=True)
class _Builder(Transformer[Token, _Deep]):
    """Makes expressions of what the parser recognised, each with how deeply it is nested."""

    def any_of(self, *operands: _Deep) -> _Deep:
        return _combined(operands, is_any=True)

    def all_of(self, *operands: _Deep) -> _Deep:
        return _combined(operands, is_any=False)

    def negated(self, operand: _Deep) -> _Deep:
        return Negated(operand[0]), _deeper(operand)

    def compared(self, left: _Deep, comparison: Token, right: _Deep) -> _Deep:
        return Compared(cast("Comparison", str(comparison)), left[0], right[0]), _deeper(left, right)

    def contained(self, item: _Deep, container: _Deep | Choice) -> _Deep:
        if isinstance(container, Choice):
            return Contained(item[0], container), _deeper(item)
        return Contained(item[0], container[0]), _deeper(item, container)

    def not_contained(self, item: _Deep, container: _Deep | Choice) -> _Deep:
        return self.negated(self.contained(item, container))

    def choice(self, *values: _Scalar | None) -> Choice:
        chosen = tuple(each for each in values if each is not None)
        if len(chosen) > MAX_PARTS:
            raise ExpressionError(
                f"A list has at most {MAX_PARTS} values, and one in this expression has {len(chosen)}."
            )
        return Choice(chosen)

    def property(self, name: Token) -> _Deep:
        return Property(_unquoted(name)), 1

    def constant(self, constant: _Scalar) -> _Deep:
        return Constant(constant), 1

    def defined(self, operand: _Deep) -> _Deep:
        return Defined(operand[0]), _deeper(operand)

    def typed(self, type_: Token, operand: _Deep) -> _Deep:
        return Cast(cast("Type", str(type_)), operand[0]), _deeper(operand)

    def text(self, token: Token) -> str:
        return _unquoted(token)

    def number(self, token: Token) -> Decimal:
        try:
            number = Decimal(str(token))
        except InvalidOperation as error:
            raise ExpressionError(f"{token[:20]} is too large a number.") from error
        if number and abs(number.adjusted()) > _MAX_EXPONENT:
            raise ExpressionError(f"{token[:20]} is too large or too small a number.")
        return number

    def true(self) -> bool:
        return True

    def false(self) -> bool:
        return False


def parse_where(text: str) -> Expression:
    """Return the expression that a text stands for. Raises ExpressionError."""
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"An expression has at most {MAX_CHARACTERS} characters, and this one has {len(text)}.")
    try:
        return cast("_Deep", _parser().parse(text))[0]
    except UnexpectedInput as error:
        raise ExpressionError(_complaint(text, error)) from error
    except VisitError as error:
        if isinstance(error.orig_exc, ExpressionError):
            raise error.orig_exc from error
        raise


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", maybe_placeholders=False, transformer=_Builder())


def _combined(operands: tuple[_Deep, ...], *, is_any: bool) -> _Deep:
    if len(operands) > MAX_PARTS:
        raise ExpressionError(
            f"At most {MAX_PARTS} comparisons are combined, and here are {len(operands)}: use in with a list."
        )
    return Combined(is_any, tuple(operand for operand, _ in operands)), _deeper(*operands)


def _deeper(*parts: _Deep) -> int:
    depth = 1 + max(depth for _, depth in parts)
    if depth > MAX_DEPTH:
        raise ExpressionError(f"The expression is nested more than {MAX_DEPTH} levels deep.")
    return depth


def _unquoted(token: Token) -> str:
    text = _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), token[1:-1])
    if "\0" in text:
        raise ExpressionError("An expression holds no NUL character.")
    return text


def _complaint(text: str, error: UnexpectedInput) -> str:
    position = error.pos_in_stream
    at = len(text) if position is None or position < 0 else position
    found = f"at {text[at : at + 20]!r}" if at < len(text) else "at its end"
    return (
        f'The expression cannot be read {found} (character {at + 1}). It is made of properties["name"] or '
        'user["name"], '
        "== != < > <= >= in, and or not, defined() boolean() number() string() datetime(), texts in quotes, numbers, "
        "true and false, and lists in []."
    )
