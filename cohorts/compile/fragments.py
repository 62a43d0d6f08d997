"""Pieces of SQL with their parameters. Texts are constants of this package; what a definition says is a parameter."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

Parameter: TypeAlias = str | int | Decimal | dt.datetime | list[str] | list[int] | list[Decimal] | list[bool] | None


@dataclass(frozen=True)
class Sql:
    """SQL with one `%s` for each parameter, in order."""

    text: str
    parameters: tuple[Parameter, ...] = ()

    def fill(self, *pieces: Sql) -> Sql:
        """Return this text with its `{}` replaced by the pieces in order; parameters come from the pieces only."""
        parameters = tuple(parameter for piece in pieces for parameter in piece.parameters)
        return Sql(self.text.format(*(piece.text for piece in pieces)), parameters)


def value(parameter: Parameter, cast: str = "") -> Sql:
    """Return a parameter, cast to a type if one is named."""
    return Sql(f"%s::{cast}" if cast else "%s", (parameter,))


def joined(separator: str, pieces: Iterable[Sql]) -> Sql:
    """Return the pieces with a separator between them."""
    pieces = list(pieces)
    parameters = tuple(parameter for piece in pieces for parameter in piece.parameters)
    return Sql(separator.join(piece.text for piece in pieces), parameters)
