"""One connection's share of a pass: what the spine's four steps work on, and how they are carried out.

`integrations/sync.py` decides the order; this class holds the plans, the open runs and the client between two steps.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from django.conf import settings
from pyroaring import BitMap

from cohorts.definition import InvalidDefinition, parse_definition
from cohorts.models import MatchKey
from cohorts.resolve import Coverage, ResolveTimeout, resolve
from integrations import outcomes
from integrations.accounts import account_of
from integrations.delivery import Delivered, deliver, tags_by_recipient
from integrations.destinations import destination_named
from integrations.destinations.base import DestinationClient, RemoteSegment
from integrations.diff import Batch, Plan, earliest_clock, is_finished, without
from integrations.errors import CredentialRefused, Permanent, SentenceError, Temporary
from integrations.failures import fail_sync, retry_one_time_syncs
from integrations.lease import Lease, database_now
from integrations.ledger import Entry, Kind, append, fold, read_states
from integrations.models import Connection, Ledger, LedgerEntry, Run, Sync
from integrations.patience import Patience, patiently
from integrations.rate import RateLimiter, limiter_for
from integrations.removals import due_recipients
from integrations.runs import (
    OpenRun,
    admit_run,
    cancel_running,
    fail_runs,
    known_rejected,
    known_unmatched,
    queue_run,
    record_progress,
    reopen_run,
    sets_of,
    store_outcomes,
    wanted_of,
)
from integrations.segments import ensure_segment, rename_segment

BACKFILL_POLL_SECONDS = 5.0


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
    # Ledgers whose renamed segment was tried in this slice.
    renaming: set[int] = field(default_factory=set)
    # Keys that turned out to be tombstones while they were to be written.
    tombstones: BitMap = field(default_factory=BitMap)
    # The run that is being resolved: an unexpected error is its own, and must not stop the others for ever.
    resolving: Run | None = None

    @classmethod
    def open(cls, lease: Lease, connection: Connection, threads: ThreadPoolExecutor) -> ConnectionPass:
        """Read the connection's ledgers and running runs; what earlier workers left unanswered is in doubt."""
        destination = destination_named(connection.app.destination)
        ceiling = min(connection.max_requests_per_second, destination.max_requests_per_second)
        work = cls(
            lease=lease,
            connection=connection,
            client=destination.client(account_of(connection)),
            threads=threads,
            limiter=limiter_for(connection.app, ceiling=ceiling),
        )
        work._load(connection.ledgers.filter(app=connection.app, sync__isnull=False))
        work._load(connection.ledgers.filter(app=connection.app, is_draining=True))
        work._load(connection.ledgers.filter(app=connection.app, is_erasing=True))
        running = Run.objects.filter(sync__connection=connection, status=Run.Status.RUNNING)
        for run in running.select_related("sync"):
            work._take_up(run, BitMap() if run.is_removal else wanted_of(run))
            work.runs[run.sync.ledger_id] = reopen_run(run)
        return work

    def _load(self, ledgers: Iterable[Ledger]) -> None:
        new = {ledger.pk: ledger for ledger in ledgers if ledger.pk not in self.ledgers}
        if not new:
            return
        now = database_now()
        live = set(Sync.objects.filter(ledger_id__in=new).values_list("ledger_id", flat=True))
        with_entries = LedgerEntry.objects.filter(ledger_id__in=new).values_list("ledger_id", flat=True).distinct()
        for ledger_id in list(with_entries):
            with self.lease.fenced():
                fold(ledger=new[ledger_id], now=now)
        self.ledgers |= new
        for ledger_id, state in read_states(ledgers=new.values()).items():
            self.plans[ledger_id] = Plan(ledger_id=ledger_id, tag=new[ledger_id].tag, state=state)
            if new[ledger_id].is_draining:
                self.plans[ledger_id].wanted = BitMap()
            self.plans[ledger_id].is_archived = new[ledger_id].pk not in live

    def _take_up(self, run: Run, wanted: BitMap) -> None:
        """Make `run` the one that its ledger's plan works for."""
        plan = self.plans[run.sync.ledger_id]
        now = database_now()
        unmatched = known_unmatched(run=run, app_id=self.connection.app_id, now=now)
        rejected = known_rejected(run=run, ledger_id=plan.ledger_id, now=now)
        plan.wanted, plan.is_archived = wanted, False
        plan.given_up = BitMap()
        plan.known_unmatched, plan.unmatched = unmatched.everybody, unmatched.not_now
        plan.known_rejected, plan.rejected = rejected.everybody, rejected.not_now

    # --- Step 4, resolve -------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Drop what was cancelled, paused, deleted or erased since the last batch. Raises LeaseLost when fenced out."""
        with self.lease.fenced():
            runs = Run.objects.filter(pk__in=self._run_ids()).select_for_update()
            statuses = dict(runs.values_list("id", "status"))
            for ledger_id, open_run in list(self.runs.items()):
                status = statuses.get(open_run.run.pk)
                if status != Run.Status.RUNNING:
                    if status is not None:
                        self._keep_outcomes(ledger_id)
                    del self.runs[ledger_id]
                    self.plans[ledger_id].wanted = None
        flags = {
            pk: (is_draining, is_erasing, renamed_to)
            for pk, is_draining, is_erasing, renamed_to in Ledger.objects.filter(pk__in=self.ledgers).values_list(
                "id", "is_draining", "is_erasing", "renamed_to"
            )
        }
        for ledger_id, ledger in list(self.ledgers.items()):
            if ledger_id not in flags:
                self.forget(ledger_id)
                continue
            ledger.is_draining, ledger.is_erasing, ledger.renamed_to = flags[ledger_id]
            plan = self.plans[ledger_id]
            if ledger.is_draining:
                plan.wanted = BitMap()
            elif ledger_id not in self.runs:
                plan.wanted = None
        self._note_erased()

    def _note_erased(self) -> None:
        """Tell the plans whom nobody may carry to the destination any more; a run that wants them is done anew.

        Its members were counted with them, so its counts could not add up (design.md, invariant 5).
        """
        if self.tombstones:
            # Set again meanwhile, a value has its key back.
            still = MatchKey.objects.filter(
                project_id=self.connection.project_id, pk__in=list(self.tombstones), value=None
            )
            self.tombstones = BitMap(still.values_list("pk", flat=True))
        erased = due_recipients(self.connection.match_property) | self.tombstones
        if erased:
            self._load(self.connection.ledgers.filter(app=self.connection.app, is_erasing=True))
        for ledger_id, plan in self.plans.items():
            plan.erased = erased
            if ledger_id in self.runs and plan.wanted is not None and plan.wanted & erased:
                self._run_anew(ledger_id)

    def _run_anew(self, ledger_id: int) -> None:
        run, now = self.runs[ledger_id].run, database_now()
        with self.lease.fenced():
            if not self.is_there(ledger_id):
                return
            self._keep_outcomes(ledger_id)
            sentence = "Somebody was erased while this run was under way; another run goes on without them."
            cancel_running(run=run, sentence=sentence, now=now)
            queue_run(sync=run.sync, trigger=run.trigger, now=now, is_retry=run.is_retry)
        del self.runs[ledger_id]
        self.plans[ledger_id].wanted = None

    def rename_segments(self) -> None:
        """Carry renamed cohorts over, once a pass; a destination that cannot be used now gets the name later."""
        for ledger_id, ledger in self.ledgers.items():
            if ledger.renamed_to and ledger.segment_seen_at and ledger_id not in self.renaming:
                self.renaming.add(ledger_id)
                with contextlib.suppress(Temporary):
                    patiently(partial(rename_segment, client=self.client, ledger=ledger))

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
        self.resolving = run
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
        self.resolving = None
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

    def deliver(self, batch: Batch) -> tuple[Batch, Delivered]:
        """Write the batch's intents, then send its requests; return the batch without whom was erased meanwhile.

        That is looked up under the lock under which values are erased (`integrations/removals.py`).
        """
        self.batch_number += 1
        now = database_now()
        with self.lease.fenced():
            keys = MatchKey.objects.filter(project_id=self.connection.project_id, id__in=batch.recipients)
            addresses = dict(keys.values_list("id", "value"))
            if len(addresses) != len(batch.recipients):
                missing = len(batch.recipients) - len(addresses)
                raise RuntimeError(f"{missing} recipients of connection {self.connection.pk} have no match key")
            tombstones = BitMap([pk for pk, value in addresses.items() if value is None])
            self.tombstones |= tombstones
            batch = without(batch, due_recipients(self.connection.match_property), unaddressed=tombstones)
            intents = [
                Entry(ledger_id, Kind.INTENT, value, recipients)
                for value, by_ledger in ((True, batch.setting), (False, batch.clearing))
                for ledger_id, recipients in by_ledger.items()
            ]
            append(token=self.lease.token, batch_number=self.batch_number, entries=intents, at=now)
        by_recipient = tags_by_recipient(batch, {pk: plan.tag for pk, plan in self.plans.items()})
        return batch, deliver(
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
            outcomes.remember_recipients(
                connection=self.connection, plans=self.plans, batch=batch, delivered=delivered, now=now
            )
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
        if delivered.refusals and batch.clearing:
            self.patience.last_trouble = next(iter(delivered.refusals.values()))
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
            try:
                patiently(partial(ensure_segment, client=self.client, ledger=ledger, listed=self.listed, now=now))
            except CredentialRefused:
                raise
            except Permanent as error:
                with self.lease.fenced():
                    if not self.is_there(ledger_id):
                        continue
                    self._keep_outcomes(ledger_id)
                    fail_sync(sync=run.sync, sentence=error.sentence, now=now, is_withdrawn=True)
                del self.runs[ledger_id]
                ledger.is_draining, plan.wanted = True, BitMap()
                continue
            self.listed.setdefault(
                ledger.segment_id, RemoteSegment(ledger.segment_id, ledger.segment_name, is_active=True)
            )

    # --- Ends (integrations/endings.py ends runs and ledgers) ------------------------------------------------------

    def keep_outcomes(self) -> None:
        """Store what the open runs have delivered so far: their rest may go on elsewhere, or not at all."""
        with self.lease.fenced():
            for ledger_id in list(self.runs):
                if self.is_there(ledger_id):
                    self._keep_outcomes(ledger_id)

    def is_there(self, ledger_id: int) -> bool:
        """Tell whether the ledger's run still exists, and drop it when its sync was deleted. Ask it fenced."""
        if Run.objects.filter(pk=self.runs[ledger_id].run.pk).exists():
            return True
        del self.runs[ledger_id]
        self.plans[ledger_id].wanted = None
        return False

    def _keep_outcomes(self, ledger_id: int) -> None:
        open_run = self.runs[ledger_id]
        store_outcomes(run=open_run.run, sets=sets_of(open_run=open_run, plan=self.plans[ledger_id]))

    def interrupted_runs(self) -> list[Run]:
        """Return the runs that an unexpected error interrupts: the one being resolved, else all that are open."""
        return [self.resolving] if self.resolving else [open_run.run for open_run in self.runs.values()]

    def _run_ids(self) -> list[int]:
        return [open_run.run.pk for open_run in self.runs.values()]

    def forget(self, ledger_id: int) -> None:
        self.ledgers.pop(ledger_id, None)
        self.plans.pop(ledger_id, None)
        self.runs.pop(ledger_id, None)

    def seconds_to_wait(self, *, now: dt.datetime) -> float | None:
        """Return the time until something can be written; None when the connection's work is over for now."""
        plans = [plan for plan in self.plans.values() if not is_finished(plan)]
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
        Run.objects.filter(pk__in=self._run_ids(), status=Run.Status.RUNNING).update(
            waiting_for=f"Waiting until {until:%H:%M:%S} UTC: OneSignal may still be applying earlier changes "
            "of members who now change back."
        )

    def close(self) -> None:
        """Close the client's connections."""
        self.client.close()
