"""The transaction of one request (step 2): taken as a whole, repeated as a whole (laws.md, L2, L4 and L6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from django.db import IntegrityError, OperationalError, transaction
from django.db.backends.utils import CursorWrapper

from cohorts import partitions

T = TypeVar("T")

_MAX_REPEATS = 3
# Being overtaken is no conflict: somebody else got on, and the next look finds what they made.
_MAX_OVERTAKEN = 20
_DEADLOCK_AND_SERIALISATION = {"40P01", "40001"}
_NO_PARTITION = "23514"


class Overtaken(Exception):
    """What this transaction read before it locked has changed since: start again."""


class ProjectGone(Exception):
    """The project was deleted while its data was on the way."""


def in_one_transaction(work: Callable[[], T], *, prepare: Callable[[], None] | None = None) -> T:
    """Run `work` in a transaction and return what it returns; repeat it when others were in the way.

    Deadlocks and serialisation failures repeat it up to 3 times and are raised then. `prepare` runs before each
    attempt, outside the transaction. `work` must depend on nothing that an earlier attempt left behind.
    """
    repeats = overtaken = 0
    while True:
        if prepare:
            prepare()
        try:
            with transaction.atomic():
                return work()
        except Overtaken:
            overtaken += 1
            if overtaken > _MAX_OVERTAKEN:
                raise
        except (OperationalError, IntegrityError) as error:
            state = getattr(error.__cause__, "pgcode", None)
            if state == _NO_PARTITION:
                # Retention dropped a month that this process remembers.
                partitions.forget()
            elif state not in _DEADLOCK_AND_SERIALISATION:
                raise
            repeats += 1
            if repeats > _MAX_REPEATS:
                raise


def together(parts: Sequence[object]) -> AbstractContextManager[object]:
    """Return what makes the transactions of several parts one; a single part has its own."""
    return transaction.atomic() if len(parts) > 1 else nullcontext()


def hold_project(cursor: CursorWrapper, *, project_id: int, is_writing_keys: bool) -> bool:
    """Take the transaction's id, keep the project from being deleted and return whether its mode is original ID merge.

    The id comes before anything is read of distinct_ids: whoever merges persons can tell which ingests might still hold
    an older answer (L2). A writer of match keys besides keeps the set of match properties as it is (L6). Raises
    ProjectGone.
    """
    lock = "SHARE" if is_writing_keys else "KEY SHARE"
    cursor.execute(
        f"SELECT pg_current_xact_id()::text, id_merge FROM cohorts_project WHERE id = %s FOR {lock}",  # noqa: S608
        [project_id],
    )
    row = cursor.fetchone()
    if row is None:
        raise ProjectGone
    return bool(row[1] == "original")
