"""How runs, drained ledgers and disconnected connections end, once nothing of theirs is left to write.

The last words of step 7: `integrations/sync.py` asks after every batch whether there is something to end.
"""

from __future__ import annotations

import datetime as dt

from pyroaring import BitMap

from integrations.connection_pass import ConnectionPass
from integrations.diff import is_finished
from integrations.errors import CredentialRefused, Permanent
from integrations.failures import fail_sync, retry_one_time_syncs
from integrations.lease import database_now
from integrations.ledger import fold
from integrations.models import Connection, Ledger, Run, Sync
from integrations.patience import patiently
from integrations.runs import finish_run, sets_of


def finish_runs(work: ConnectionPass, *, now: dt.datetime) -> None:
    """End the runs with nothing left to write, and the ledgers that have run dry."""
    for ledger_id, open_run in list(work.runs.items()):
        run, plan = open_run.run, work.plans[ledger_id]
        if not is_finished(plan):
            continue
        if run.is_removal and not plan.state.possible:
            _end_drain(work, ledger_id)
            continue
        with work.lease.fenced():
            if not work.is_there(ledger_id):
                continue
            sets = sets_of(open_run=open_run, plan=plan)
            finish_run(run=run, sets=sets, trouble=work.patience.last_trouble, now=now)
            _note_missing_segment(work.ledgers[ledger_id], is_empty=not plan.state.delivered, run=run)
            _note_end(run, now=now)
            fold(ledger=work.ledgers[ledger_id], now=now)
        del work.runs[ledger_id]
        plan.wanted = BitMap() if work.ledgers[ledger_id].is_draining else None
    for ledger_id, ledger in list(work.ledgers.items()):
        if ledger.is_draining and ledger_id not in work.runs and not work.plans[ledger_id].state.possible:
            _end_drain(work, ledger_id)
    _end_erasing(work)
    if work.connection.is_draining and not any(ledger.is_draining for ledger in work.ledgers.values()):
        with work.lease.fenced():
            Connection.objects.filter(pk=work.connection.pk, is_draining=True).update(
                is_draining=False, credential="", credential_hint=""
            )
        work.connection.is_draining = False


def _end_erasing(work: ConnectionPass) -> None:
    """No tag of an erased person is left in these ledgers; an archived one was taken up for nothing else."""
    for ledger_id, ledger in list(work.ledgers.items()):
        plan = work.plans[ledger_id]
        if not ledger.is_erasing or plan.state.possible & plan.erased:
            continue
        with work.lease.fenced():
            Ledger.objects.filter(pk=ledger_id).update(is_erasing=False)
        ledger.is_erasing = False
        if plan.is_archived and not ledger.is_draining and ledger_id not in work.runs:
            work.forget(ledger_id)


def _note_missing_segment(ledger: Ledger, *, is_empty: bool, run: Run) -> None:
    """Say why an export that succeeded shows nothing over there: a segment is made with its first known member."""
    if is_empty and ledger.segment_seen_at is None and run.matched_keys and run.status == Run.Status.SUCCEEDED:
        warning = f"There is no segment yet: OneSignal knows none of the {run.matched_keys} members by their id."
        Ledger.objects.filter(pk=ledger.pk).update(warning=warning)


def _note_end(run: Run, *, now: dt.datetime) -> None:
    if run.status in (Run.Status.SUCCEEDED, Run.Status.PARTIAL):
        Sync.objects.filter(pk=run.sync_id).update(last_finished_at=now)
        Sync.objects.filter(pk=run.sync_id, mode=Sync.Mode.ONE_TIME, status=Sync.Status.ACTIVE).update(
            status=Sync.Status.FINISHED, next_run_at=None
        )
    else:
        retry_one_time_syncs(sync_ids=[run.sync_id], now=now)


def _end_drain(work: ConnectionPass, ledger_id: int) -> None:
    """The last removal was answered: the segment goes if it is to go, then the rows."""
    ledger = work.ledgers[ledger_id]
    refusal = _delete_segment(work, ledger) if ledger.is_segment_doomed else None
    now = database_now()
    with work.lease.fenced():
        sync = Sync.objects.filter(ledger_id=ledger_id).select_for_update().first()
        fold(ledger=ledger, now=now, is_forced=True)
        fields = {"warning": refusal} if refusal else {"segment_seen_at": None} if ledger.is_segment_doomed else {}
        Ledger.objects.filter(pk=ledger_id).update(is_draining=False, is_segment_doomed=False, **fields)
        if sync and sync.deleting_at and refusal:
            fail_sync(sync=sync, sentence=refusal, now=now)
            Sync.objects.filter(pk=sync.pk).update(deleting_at=None)
        elif sync and sync.deleting_at:
            # The ledger stays, empty: its clocks still hold when the same pair is exported again at once (L11).
            sync.delete()
        elif ledger_id in work.runs:
            open_run, plan = work.runs[ledger_id], work.plans[ledger_id]
            finish_run(run=open_run.run, sets=sets_of(open_run=open_run, plan=plan), trouble="", now=now)
    ledger.is_draining = False
    work.forget(ledger_id)


def _delete_segment(work: ConnectionPass, ledger: Ledger) -> str | None:
    """Delete the segment; return the destination's refusal when it keeps it."""
    try:
        patiently(lambda: work.client.delete_segment(segment_id=ledger.segment_id))
    except CredentialRefused:
        raise
    except Permanent as error:
        # A segment that was never made cannot be what the destination refuses to give up.
        return error.sentence if ledger.segment_seen_at else None
    if work.listed:
        work.listed.pop(ledger.segment_id, None)
    return None
