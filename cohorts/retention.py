"""How long a project keeps its events: the setting, and the cohorts it must not starve (laws.md, L1).

A retention shorter than a window of a cohort that somebody relies on is refused, and so is relying on a cohort that
looks back further than the events are kept. The core does not know who relies on a cohort: whoever does says so at
start-up (`rely_on`). `cohorts/expiry.py` deletes what is past.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import QuerySet
from pydantic import BaseModel

from cohorts.access import Action, Actor, require
from cohorts.definition import AllTime, Fixed, InvalidDefinition, Last, Since, Window, parse_definition
from cohorts.models import Cohort, Project
from cohorts.windows import Clock, moved

MAX_MONTHS = 1200
_MAX_NAMED = 5

_Relying = Callable[[Project], QuerySet[Cohort]]
_relying: list[_Relying] = []


class RetentionRefused(Exception):
    """The events a cohort needs would not be kept; the sentence names the cohort and says what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def rely_on(cohorts_of: _Relying) -> None:
    """Have the cohorts that a function returns for a project count as relied on; said once, at start-up."""
    if cohorts_of not in _relying:
        _relying.append(cohorts_of)


def kept_since(project: Project, *, now: dt.datetime) -> dt.datetime | None:
    """Return the moment since which the project's events are kept: a local midnight so many months ago; None: ever."""
    return None if project.retention_months is None else _start(project, project.retention_months, now)


def set_retention(*, actor: Actor, months: int | None, now: dt.datetime) -> Project:
    """Keep events so many months, or for ever (None), and return the project. Raises AccessDenied, RetentionRefused."""
    require(actor, Action.ADMINISTER)
    with transaction.atomic():
        project = check_retention(project=actor.project, months=months, now=now)
        project.retention_months = months
        project.save(update_fields=["retention_months"])
    return project


def check_retention(*, project: Project, months: int | None, now: dt.datetime) -> Project:
    """Return the project, locked in the caller's transaction, if it may keep events so long only.

    Raises RetentionRefused naming the cohorts that look back further.
    """
    if months is not None and not 1 <= months <= MAX_MONTHS:
        raise RetentionRefused(f"Events are kept for 1 to {MAX_MONTHS} months, or for ever.")
    project = lock_retention(project.pk)
    if months is None:
        return project
    start = _start(project, months, now)
    relied_on = {cohort.pk: cohort for find in _relying for cohort in find(project)}
    starved = [
        relied_on[pk].name for pk in sorted(relied_on) if _is_older(relied_on[pk].definition, project, start, now)
    ]
    if starved:
        names = ", ".join(f"“{name}”" for name in starved[:_MAX_NAMED])
        more = f" and {len(starved) - _MAX_NAMED} more" if len(starved) > _MAX_NAMED else ""
        raise RetentionRefused(
            f"{_months(months)} of events are too few for {names}{more}: they are synced and look back further. "
            "Shorten their windows, delete their syncs, or keep events longer."
        )
    return project


def require_kept(*, cohort: Cohort, definition: object = None, now: dt.datetime) -> None:
    """Return if the project keeps the events that the cohort, or a new definition of it, looks at.

    The project stays locked until the caller's transaction ends, so that a shorter retention waits and then sees what
    the caller made. Raises RetentionRefused.
    """
    project = lock_retention(cohort.project_id)
    start = kept_since(project, now=now)
    if start is not None and _is_older(cohort.definition if definition is None else definition, project, start, now):
        assert project.retention_months is not None
        raise RetentionRefused(
            f"“{cohort.name}” looks back further than the {_months(project.retention_months)} for which this project "
            "keeps events, so a sync would lose members: shorten its windows, or have an owner or admin keep events "
            "longer."
        )


def is_relied_on(cohort: Cohort) -> bool:
    """Return whether somebody relies on the cohort."""
    return any(find(cohort.project).filter(pk=cohort.pk).exists() for find in _relying)


def lock_retention(project_id: int) -> Project:
    """Return the project, whose retention stays as it is until the caller's transaction ends.

    Take it before cohorts and apps: everybody who holds it besides one of those does so in this order.
    """
    return Project.objects.select_for_update(no_key=True).get(pk=project_id)


def _start(project: Project, months: int, now: dt.datetime) -> dt.datetime:
    clock = Clock(now, ZoneInfo(project.timezone))
    return clock.midnight(moved(clock.today, "month", -months))


def _is_older(raw: object, project: Project, start: dt.datetime, now: dt.datetime) -> bool:
    """Return whether a window of the definition begins before `start`."""
    try:
        definition = parse_definition(raw)
    except InvalidDefinition:
        # Nothing can be resolved by it, so nothing is lost to it.
        return False
    clock = Clock(now, ZoneInfo(project.timezone))
    begins = [clock.window(window).start for window in _windows(definition)]
    return any(begin is None or begin < start for begin in begins)


def _windows(part: object) -> Iterator[Window]:
    """Yield every window in a definition, whatever kind of condition it belongs to."""
    match part:
        case Last() | Fixed() | Since() | AllTime():
            yield part
        case BaseModel():
            for name in type(part).model_fields:
                yield from _windows(getattr(part, name))
        case tuple():
            for each in part:
                yield from _windows(each)


def _months(count: int) -> str:
    return "1 month" if count == 1 else f"{count} months"
