"""One connection's share of a pass: what the spine's four steps work on, and how they are carried out.

`integrations/sync.py` decides the order; this class holds the plans, the open runs and the client between two steps.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from django.conf import settings
from django.db import connection as database
from pyroaring import BitMap

from cohorts.definition import InvalidDefinition, parse_definition
from cohorts.models import MatchKey
from cohorts.resolve import Coverage, ResolveTimeout, resolve
from integrations import outcomes
from integrations.delivery import Delivered, deliver, tags_by_recipient
from integrations.destinations import destination_named
from integrations.destinations.base import Account, DestinationClient, RemoteSegment
from integrations.diff import Batch, Plan, earliest_clock, is_finished
from integrations.errors import CredentialRefused, Permanent, SentenceError
from integrations.failures import fail_sync, retry_one_time_syncs
from integrations.lease import Lease
from integrations.ledger import Entry, Kind, append, fold, read_states
from integrations.models import Connection, Ledger, LedgerEntry, Run, Sync
from integrations.patience import Patience, patiently
from integrations.rate import RateLimiter, limiter_for
from integrations.runs import (
    OpenRun,
    admit_run,
    fail_runs,
    finish_run,
    known_rejected,
    known_unmatched,
    record_progress,
    reopen_run,
    sets_of,
    store_outcomes,
    wanted_of,
)
from integrations.segments import ensure_segment, rename_segment

BACKFILL_POLL_SECONDS = 5.0


def database_now() -> dt.datetime:
    """Return PostgreSQL's clock: the only one by which entries, clocks and leases of several hosts compare."""
    with database.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    assert row is not None
    now: dt.datetime = row[0]
    return now


@dataclass(frozen=True)
class Wish:
    """What a queued run wants, or why it cannot be known."""

    run: Run
    wanted: BitMap
    coverage: Coverage | None
    cohort_version: int
    refusal: SentenceError | None = None


class CohortUnusable(Permanent):
    """The cohort's stored definition cannot be evaluated any more."""


@dataclass
class ConnectionPass:
    """A connection under the lease: plans by ledger id, and the open runs among them."""

    lease: Lease
    connection: Connection
    client: DestinationClient
    threads: ThreadPoolExecutor
    limiter: RateLimiter
    ledgers: dict[int, Ledger] = field(default_factory=dict)
    plans: dict[int, Plan] = field(default_factory=dict)
    runs: dict[int, OpenRun] = field(default_factory=dict)
    patience: Patience = field(default_factory=Patience)
    listed: dict[uuid.UUID, RemoteSegment] | None = None
    batch_number: int = 0

    @classmethod
    def open(cls, lease: Lease, connection: Connection, threads: ThreadPoolExecutor) -> ConnectionPass:
        """Read the connection's ledgers and running runs; what earlier workers left unanswered is in doubt."""
        destination = destination_named(connection.app.destination)
        account = Account(connection.app.base_url, connection.app.remote_id, connection.credential)
        ceiling = min(connection.max_requests_per_second, destination.max_requests_per_second)
        work = cls(
            lease=lease,
            connection=connection,
            client=destination.client(account),
            threads=threads,
            limiter=limiter_for(connection.app, ceiling=ceiling),
        )
        work._load(connection.ledgers.filter(app=connection.app, sync__isnull=False))
        work._load(connection.ledgers.filter(app=connection.app, is_draining=True))
        running = Run.objects.filter(sync__connection=connection, status=Run.Status.RUNNING)
        for run in running.select_related("sync"):
            work._take_up(run, BitMap() if run.is_removal else wanted_of(run))
            work.runs[run.sync.ledger_id] = reopen_run(run)
        return work

    def _load(self, ledgers: Iterable[Ledger]) -> None:
        new = {ledger.pk: ledger for ledger in ledgers if ledger.pk not in self.ledgers}
        now = database_now()
        with_entries = LedgerEntry.objects.filter(ledger_id__in=new).values_list("ledger_id", flat=True).distinct()
        for ledger_id in list(with_entries):
            with self.lease.fenced():
                fold(ledger=new[ledger_id], now=now)
        self.ledgers |= new
        for ledger_id, state in read_states(ledgers=new.values()).items():
            self.plans[ledger_id] = Plan(ledger_id=ledger_id, tag=new[ledger_id].tag, state=state)
            if new[ledger_id].is_draining:
                self.plans[ledger_id].wanted = BitMap()

    def _take_up(self, run: Run, wanted: BitMap) -> None:
        """Make `run` the one that its ledger's plan works for."""
        plan = self.plans[run.sync.ledger_id]
        now = database_now()
        unmatched = known_unmatched(app_id=self.connection.app_id, project_id=self.connection.project_id)
        rejected = known_rejected(ledger_id=plan.ledger_id)
        plan.wanted = wanted
        plan.given_up = BitMap()
        plan.known_unmatched, plan.known_rejected = BitMap(unmatched), BitMap(rejected)
        plan.unmatched, plan.rejected = (
            BitMap(key for key, retry_at in known.items() if retry_at > now and not run.is_retry)
            for known in (unmatched, rejected)
        )

    # --- Step 4, resolve -------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Drop what was cancelled, paused or deleted since the last batch. Raises LeaseLost when fenced out."""
        with self.lease.fenced():
            pass
        statuses = dict(Run.objects.filter(pk__in=self._run_ids()).values_list("id", "status"))
        for ledger_id, open_run in list(self.runs.items()):
            status = statuses.get(open_run.run.pk)
            if status != Run.Status.RUNNING:
                if status is not None:
                    self.keep_outcomes(ledger_id)
                del self.runs[ledger_id]
                self.plans[ledger_id].wanted = None
        flags = {
            pk: (is_draining, renamed_to)
            for pk, is_draining, renamed_to in Ledger.objects.filter(pk__in=self.ledgers).values_list(
                "id", "is_draining", "renamed_to"
            )
        }
        for ledger_id, ledger in list(self.ledgers.items()):
            if ledger_id not in flags:
                self._forget(ledger_id)
                continue
            ledger.is_draining, ledger.renamed_to = flags[ledger_id]
            plan = self.plans[ledger_id]
            if ledger.is_draining:
                plan.wanted = BitMap()
            elif ledger_id not in self.runs:
                plan.wanted = None
        for ledger in self.ledgers.values():
            if ledger.renamed_to and ledger.segment_seen_at:
                rename_segment(client=self.client, ledger=ledger)

    def queued_runs(self) -> list[Run]:
        """Return the runs to let in now: none while the match property is still being backfilled (L6)."""
        queued = list(
            Run.objects.filter(sync__connection=self.connection, status=Run.Status.QUEUED)
            .select_related("sync__cohort")
            .order_by("id")
        )
        # A ledger works for one run at a time; the next one waits until that has ended.
        queued = [run for run in queued if run.sync.ledger_id not in self.runs]
        if queued and self.connection.match_property.completed_at is None:
            self.connection.match_property.refresh_from_db()
            if self.connection.match_property.completed_at is None:
                Run.objects.filter(pk__in=[run.pk for run in queued]).update(
                    waiting_for=f"Waiting until the values of {self.connection.match_property.name} are indexed."
                )
                return []
        return queued

    def resolve(self, run: Run, *, as_of: dt.datetime) -> Wish:
        """Return what a queued run wants, from the caller's snapshot."""
        cohort = run.sync.cohort
        if run.is_removal:
            return Wish(run, BitMap(), None, cohort.version)
        try:
            resolution = resolve(
                project=self.connection.project,
                definition=parse_definition(cohort.definition),
                match_property=self.connection.match_property,
                as_of=as_of,
            )
        except InvalidDefinition as error:
            reasons = "; ".join(f"{each.field}: {each.message}" for each in error.errors)
            refusal = CohortUnusable(
                f"The cohort's definition cannot be used: {reasons} Edit it, then resume this sync."
            )
            return Wish(run, BitMap(), None, cohort.version, refusal)
        except ResolveTimeout as error:
            return Wish(run, BitMap(), None, cohort.version, SentenceError(str(error)))
        return Wish(run, resolution.keys, resolution.coverage, cohort.version)

    def admit(self, wishes: Sequence[Wish], *, now: dt.datetime) -> None:
        """Make the runs running with what they want, stored before their first batch."""
        for wish in wishes:
            sync = wish.run.sync
            if wish.refusal is not None:
                with self.lease.fenced():
                    self._refuse(wish, now=now)
                continue
            if sync.ledger_id not in self.ledgers:
                self._load([sync.ledger])
            self._take_up(wish.run, wish.wanted)
            with self.lease.fenced():
                open_run = admit_run(
                    run=wish.run,
                    plan=self.plans[sync.ledger_id],
                    coverage=wish.coverage,
                    cohort_version=wish.cohort_version,
                    now=now,
                )
            if open_run is None:
                self.plans[sync.ledger_id].wanted = None
            else:
                self.runs[sync.ledger_id] = open_run

    def _refuse(self, wish: Wish, *, now: dt.datetime) -> None:
        assert wish.refusal is not None
        if isinstance(wish.refusal, CohortUnusable):
            fail_sync(sync=wish.run.sync, sentence=wish.refusal.sentence, now=now)
            return
        fail_runs(runs=[wish.run], sentence=wish.refusal.sentence, error_kind=Run.ErrorKind.TEMPORARY, now=now)
        retry_one_time_syncs(sync_ids=[wish.run.sync_id], now=now)

    # --- Steps 6 and 7, deliver and record ---------------------------------------------------------------------------

    def deliver(self, batch: Batch) -> Delivered:
        """Write the batch's intents, then send its requests."""
        addresses = dict(
            MatchKey.objects.filter(
                project_id=self.connection.project_id, id__in=batch.recipients, value__isnull=False
            ).values_list("id", "value")
        )
        if len(addresses) != len(batch.recipients):
            missing = len(batch.recipients) - len(addresses)
            raise RuntimeError(f"{missing} recipients of connection {self.connection.pk} have no match key")
        by_recipient = tags_by_recipient(batch, {pk: plan.tag for pk, plan in self.plans.items()})
        self.batch_number += 1
        now = database_now()
        with self.lease.fenced():
            intents = [
                Entry(ledger_id, Kind.INTENT, value, recipients)
                for value, by_ledger in ((True, batch.setting), (False, batch.clearing))
                for ledger_id, recipients in by_ledger.items()
            ]
            append(token=self.lease.token, batch_number=self.batch_number, entries=intents, at=now)
        return deliver(
            client=self.client,
            writes={recipient: (str(addresses[recipient]), tags) for recipient, tags in by_recipient.items()},
            limiter=self.limiter,
            lease=self.lease,
            threads=self.threads,
            thread_count=settings.DELIVERY_THREADS,
            seconds=settings.DELIVERY_BATCH_SECONDS,
        )

    def record(self, batch: Batch, delivered: Delivered) -> None:
        """Write the batch's outcomes and what they mean for runs and recipients. Raises what ends the pass."""
        now = database_now()
        with self.lease.fenced():
            entries = outcomes.entries_of(batch, delivered)
            append(token=self.lease.token, batch_number=self.batch_number, entries=entries, at=now)
            outcomes.apply(self.plans, batch, delivered, entries, at=now)
            outcomes.remember_recipients(connection=self.connection, batch=batch, delivered=delivered, now=now)
            outcomes.remember_counts(self.plans, batch)
            attempted = BitMap(delivered.ended_at)
            for ledger_id, open_run in self.runs.items():
                touched = batch.setting.get(ledger_id, BitMap()) | batch.clearing.get(ledger_id, BitMap())
                if touched:
                    sets = sets_of(open_run=open_run, plan=self.plans[ledger_id])
                    record_progress(run=open_run.run, sets=sets, requests=len(touched & attempted))
        if delivered.denial is not None:
            raise CredentialRefused(
                f"OneSignal refused the API Key while members were being written: “{delivered.denial.sentence}”. "
                "Enter a valid key of this app in the connection's settings."
            )
        if delivered.rate_unknown is not None:
            raise delivered.rate_unknown
        given_up = self.patience.note(delivered)
        for plan in self.plans.values():
            plan.given_up |= given_up

    def ensure_segments(self) -> None:
        """Make the segment of each running export that has delivered somebody; a refusal takes its tags back (L23)."""
        if self.listed is None:
            if not self.runs:
                return
            self.listed = {segment.id: segment for segment in patiently(self.client.segments)}
        now = database_now()
        for ledger_id, open_run in list(self.runs.items()):
            run, ledger, plan = open_run.run, self.ledgers[ledger_id], self.plans[ledger_id]
            if run.is_removal or not plan.state.delivered:
                continue
            if ledger.segment_id in self.listed and ledger.segment_seen_at:
                continue
            try:
                patiently(partial(ensure_segment, client=self.client, ledger=ledger, listed=self.listed, now=now))
            except CredentialRefused:
                raise
            except Permanent as error:
                with self.lease.fenced():
                    self.keep_outcomes(ledger_id)
                    fail_sync(sync=run.sync, sentence=error.sentence, now=now, is_withdrawn=True)
                continue
            self.listed[ledger.segment_id] = RemoteSegment(ledger.segment_id, ledger.segment_name, True)

    # --- Ends --------------------------------------------------------------------------------------------------------

    def finish_runs(self, *, now: dt.datetime) -> None:
        """End the runs with nothing left to write, and the ledgers that have run dry."""
        for ledger_id, open_run in list(self.runs.items()):
            run, plan = open_run.run, self.plans[ledger_id]
            if not is_finished(plan):
                continue
            if run.is_removal and not plan.state.possible:
                self._end_drain(ledger_id)
                continue
            with self.lease.fenced():
                sets = sets_of(open_run=open_run, plan=plan)
                finish_run(run=run, sets=sets, trouble=self.patience.last_trouble, now=now)
                self._note_end(run, now=now)
                fold(ledger=self.ledgers[ledger_id], now=now)
            del self.runs[ledger_id]
            plan.wanted = BitMap() if self.ledgers[ledger_id].is_draining else None
        for ledger_id, ledger in list(self.ledgers.items()):
            if ledger.is_draining and ledger_id not in self.runs and not self.plans[ledger_id].state.possible:
                self._end_drain(ledger_id)
        if self.connection.is_draining and not any(ledger.is_draining for ledger in self.ledgers.values()):
            with self.lease.fenced():
                Connection.objects.filter(pk=self.connection.pk, is_draining=True).update(
                    is_draining=False, credential="", credential_hint=""
                )
            self.connection.is_draining = False

    def keep_outcomes(self, ledger_id: int) -> None:
        """Store what the ledger's run had delivered, when it ends before its work is done."""
        open_run = self.runs[ledger_id]
        store_outcomes(run=open_run.run, sets=sets_of(open_run=open_run, plan=self.plans[ledger_id]))

    def _run_ids(self) -> list[int]:
        return [open_run.run.pk for open_run in self.runs.values()]

    def _note_end(self, run: Run, *, now: dt.datetime) -> None:
        if run.status in (Run.Status.SUCCEEDED, Run.Status.PARTIAL):
            Sync.objects.filter(pk=run.sync_id).update(last_finished_at=now)
            Sync.objects.filter(pk=run.sync_id, mode=Sync.Mode.ONE_TIME, status=Sync.Status.ACTIVE).update(
                status=Sync.Status.FINISHED, next_run_at=None
            )
        else:
            retry_one_time_syncs(sync_ids=[run.sync_id], now=now)

    def _end_drain(self, ledger_id: int) -> None:
        """The last removal was answered: the segment goes if it is to go, then the rows."""
        ledger = self.ledgers[ledger_id]
        if ledger.is_segment_doomed and ledger.segment_seen_at:
            try:
                patiently(lambda: self.client.delete_segment(segment_id=ledger.segment_id))
            except CredentialRefused:
                raise
            except Permanent as error:
                # Its members are gone; an empty segment that OneSignal will not delete is worth a word, no retry.
                Ledger.objects.filter(pk=ledger_id).update(warning=error.sentence)
        with self.lease.fenced():
            fold(ledger=ledger, now=database_now(), is_forced=True)
            Ledger.objects.filter(pk=ledger_id).update(is_draining=False, is_segment_doomed=False)
            if ledger.is_segment_doomed:
                Ledger.objects.filter(pk=ledger_id).update(segment_seen_at=None)
            deleted, _ = Sync.objects.filter(ledger_id=ledger_id, deleting_at__isnull=False).delete()
            if deleted:
                Ledger.objects.filter(pk=ledger_id).delete()
        ledger.is_draining = False
        self._forget(ledger_id)

    def _forget(self, ledger_id: int) -> None:
        self.ledgers.pop(ledger_id, None)
        self.plans.pop(ledger_id, None)
        self.runs.pop(ledger_id, None)

    def seconds_to_wait(self, *, now: dt.datetime) -> float | None:
        """Return the time until something can be written; None when the connection's work is over for now."""
        plans = [plan for plan in self.plans.values() if plan.wanted is not None and not is_finished(plan)]
        if not plans:
            is_backfilling = self.connection.match_property.completed_at is None
            has_queued = Run.objects.filter(sync__connection=self.connection, status=Run.Status.QUEUED).exists()
            if not has_queued:
                return None
            return BACKFILL_POLL_SECONDS + 1 if is_backfilling else 0.0
        waits = [] if (wait := self.patience.seconds_to_wait()) is None else [wait]
        if clock := earliest_clock(plans=plans, now=now):
            waits.append((clock - now).total_seconds())
            self._say_waiting(until=clock)
        return max(min(waits, default=0.0), 0.1)

    def _say_waiting(self, *, until: dt.datetime) -> None:
        Run.objects.filter(pk__in=self._run_ids()).update(
            waiting_for=f"Waiting until {until:%H:%M:%S} UTC: OneSignal may still be applying earlier changes "
            "of members who now change back."
        )

    def close(self) -> None:
        """Close the client's connections."""
        self.client.close()
