"""Persons as the database has them, and what the resolver counts for each."""

from __future__ import annotations

import time
from typing import Any

from django.utils import timezone

from cohorts.definition import parse_definition
from cohorts.identity.redirects import sweep_redirects
from cohorts.models import DistinctId, MatchProperty, Person, Project, Redirect
from cohorts.resolve import member_page, snapshot


def persons(project: Project) -> dict[str, set[str]]:
    """Return the ids of each person by the canonical one."""
    found: dict[str, set[str]] = {
        person.distinct_id: set() for person in Person.objects.filter(project=project, is_literal=False)
    }
    for known in DistinctId.objects.filter(project=project).select_related("person"):
        found[known.person.distinct_id].add(known.distinct_id)
    return found


def counted(project: Project, count: int, event: str = "$any_event") -> set[str]:
    """Return the canonical ids of those whom the resolver says to have done an event exactly so often."""
    condition: dict[str, Any] = {
        "kind": "event",
        "event": event,
        "did": True,
        "measure": {"type": "total"},
        "operator": "equals",
        "value": count,
        "window": {"type": "all_time"},
    }
    definition = parse_definition({"match": "all", "groups": [{"match": "all", "conditions": [condition]}]})
    with snapshot() as now:
        page = member_page(
            project=project,
            definition=definition,
            as_of=now,
            match_property=MatchProperty.objects.get(project=project),
            after=None,
            limit=10_000,
        )
    return {member.distinct_id for member in page.members}


def sweep(*, max_events: int = 1000) -> None:
    """Move all events that can be seen."""
    while sweep_redirects(now=timezone.now(), max_redirects=100, max_events=max_events):
        pass


def sweep_to_the_end() -> None:
    """Sweep until no redirect is left. Needs tests with transactions of their own.

    The transactions of all databases of the server count, so the test that another process of this run is at work on
    has to end first.
    """
    deadline = time.monotonic() + 90
    while Redirect.objects.filter(swept_at=None).exists():
        assert time.monotonic() < deadline, (
            "A transaction somewhere on the server keeps the redirects from being swept."
        )
        sweep()
        time.sleep(0.02)
