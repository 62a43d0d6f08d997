"""What an export would do, before it is begun: resolve and diff as a run would, and write nothing.

Shown by the export dialog; the run itself resolves anew, so its numbers are those of its own moment.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from pyroaring import BitMap

from cohorts.counting import COUNT_TIMEOUT_SECONDS, count_mismatching, ready
from cohorts.definition import parse_definition
from cohorts.models import Cohort, Project
from cohorts.resolve import Coverage, resolve, snapshot
from integrations.diff import difference
from integrations.ledger import LedgerState, read_states
from integrations.models import Connection, Ledger, RejectedRecipient, UnmatchedRecipient


@dataclass(frozen=True)
class Forecast:
    """The coverage, and what would change over there: matched keys = unchanged + to_add.

    `not_asked` of `to_add` were unknown to OneSignal or refused by it not long ago, and are left alone until they are
    due again. `is_first` tells that nothing of this cohort was ever exported on this connection. `mismatching` persons
    of the project, whom OneSignal's events would miss, are counted on simplified ID merge only.
    """

    coverage: Coverage
    to_add: int
    to_remove: int
    unchanged: int
    not_asked: int
    is_first: bool
    mismatching: int

    @property
    def to_ask(self) -> int:
        """Return how many of `to_add` the run asks OneSignal for; only they can enter the segment."""
        return self.to_add - self.not_asked


def forecast(*, cohort: Cohort, connection: Connection, now: dt.datetime) -> Forecast:
    """Return what exporting the cohort on the connection would do now.

    Raises InvalidDefinition, KeysNotReady, ResolveTimeout.
    """
    definition = parse_definition(cohort.definition)
    is_simplified = cohort.project.id_merge == Project.IdMerge.SIMPLIFIED
    with snapshot() as as_of:
        resolution = resolve(
            project=cohort.project,
            definition=definition,
            match_property=ready(connection.match_property),
            as_of=as_of,
            timeout_seconds=COUNT_TIMEOUT_SECONDS,
        )
        ledger = Ledger.objects.filter(connection=connection, app=connection.app_id, cohort_id=cohort.pk).first()
        state = read_states(ledgers=[ledger])[ledger.pk] if ledger else LedgerState()
        parts = difference(wanted=resolution.keys, state=state)
        unmatched = UnmatchedRecipient.objects.filter(
            project=cohort.project_id, app=connection.app_id, retry_at__gt=now
        ).values_list("match_key_id", flat=True)
        not_asked = BitMap(unmatched)
        if ledger:
            rejected = RejectedRecipient.objects.filter(ledger=ledger, retry_at__gt=now)
            not_asked |= BitMap(rejected.values_list("match_key_id", flat=True))
    return Forecast(
        coverage=resolution.coverage,
        to_add=len(parts.to_add),
        to_remove=len(parts.to_remove),
        unchanged=len(parts.unchanged),
        not_asked=len(parts.to_add & not_asked),
        is_first=ledger is None,
        mismatching=count_mismatching(match_property=connection.match_property) if is_simplified else 0,
    )
