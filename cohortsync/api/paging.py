"""Lists in pages by keyset: the cursor holds where the last page ended, so that writes in between repeat nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from django.core import signing
from django.db.models import Model, QuerySet
from ninja import Field, Schema

from cohortsync.api.problems import FieldProblem, invalid

Row = TypeVar("Row", bound=Model)
Item = TypeVar("Item")


class PageQuery(Schema):
    """Which page of a list."""

    limit: int = Field(100, ge=1, le=1000, description="How many results at most.")
    cursor: str | None = Field(None, description="`next` of the page before; opaque.")


class PageOut(Schema, Generic[Item]):
    """A page of a list; `next` is the cursor of the following page, null on the last one."""

    results: list[Item]
    next: str | None


def write_cursor(position: object, *, listing: str) -> str:
    """Return an opaque cursor for a JSON-shaped position in the listing."""
    return signing.dumps(position, salt=f"cohortsync.api.cursor:{listing}")


def read_cursor(cursor: str, *, listing: str) -> object:
    """Return the position. Raises Problem 422 unless `write_cursor` made it for the same listing."""
    try:
        return signing.loads(cursor, salt=f"cohortsync.api.cursor:{listing}")
    except signing.BadSignature as error:
        raise invalid(
            [FieldProblem("cursor", "This is no cursor of this list: leave it out to start at the first page.")]
        ) from error


def page_by_id(
    rows: QuerySet[Row], *, page: PageQuery, listing: str, is_newest_first: bool = False
) -> tuple[Sequence[Row], str | None]:
    """Return one page of rows in the order of their ids, and the cursor of the next one. Raises Problem 422."""
    if page.cursor is not None:
        position = read_cursor(page.cursor, listing=listing)
        rows = rows.filter(pk__lt=position) if is_newest_first else rows.filter(pk__gt=position)
    # One more than asked for tells whether there is another page.
    found = list(rows.order_by("-pk" if is_newest_first else "pk")[: page.limit + 1])
    shown = found[: page.limit]
    return shown, write_cursor(shown[-1].pk, listing=listing) if len(found) > page.limit else None
