"""Counting a cohort for somebody who waits for the answer: now or as of a moment, for one match property."""

from __future__ import annotations

import datetime as dt

from django.db import connection

from cohorts.definition import parse_definition
from cohorts.match_keys import DEFAULT_MATCH_PROPERTY
from cohorts.models import Cohort, MatchProperty, Project
from cohorts.resolve import Coverage, record_count, resolve, snapshot

# What takes longer is for a run, not for somebody who waits.
COUNT_TIMEOUT_SECONDS = 60.0


class KeysNotReady(Exception):
    """The keys of a new match property are still being prepared; the sentence says to come back."""

    def __init__(self, match_property: MatchProperty) -> None:
        self.sentence = f"The keys of {match_property.name} are still being prepared; ask again in a minute."
        super().__init__(self.sentence)


def default_match_property(project: Project) -> MatchProperty:
    """Return the match property that counts where no connection is named. Raises KeysNotReady."""
    return ready(MatchProperty.objects.get(project=project, name=DEFAULT_MATCH_PROPERTY))


def ready(match_property: MatchProperty) -> MatchProperty:
    """Return the match property if its keys are complete. Raises KeysNotReady."""
    if match_property.completed_at is None:
        raise KeysNotReady(match_property)
    return match_property


def count_cohort(
    *,
    cohort: Cohort,
    match_property: MatchProperty,
    as_of: dt.datetime | None = None,
    timeout_seconds: float = COUNT_TIMEOUT_SECONDS,
) -> Coverage:
    """Return the coverage as of a moment; of now by default, and then the count is kept on the cohort.

    Raises InvalidDefinition (a stored definition that an older version accepted), KeysNotReady, ResolveTimeout.
    """
    definition = parse_definition(cohort.definition)
    with snapshot() as now:
        coverage = resolve(
            project=cohort.project,
            definition=definition,
            match_property=ready(match_property),
            as_of=as_of or now,
            timeout_seconds=timeout_seconds,
        ).coverage
    if as_of is None:
        record_count(cohort=cohort, coverage=coverage)
    return coverage


def count_mismatching(*, match_property: MatchProperty) -> int:
    """Return how many persons of the project have a match key other than their own id.

    On simplified ID merge an event that comes back for such a key is no event of theirs: it makes a phantom user
    (contract, 3.4).
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM cohorts_personkey AS held"
            " JOIN cohorts_matchkey AS key ON key.project_id = held.project_id AND key.id = held.match_key_id"
            " JOIN cohorts_person AS person ON person.project_id = held.project_id AND person.id = held.person_id"
            " WHERE held.project_id = %s AND held.match_property_id = %s AND key.value <> person.distinct_id",
            [match_property.project_id, match_property.pk],
        )
        row = cursor.fetchone()
    return int(row[0]) if row else 0
