"""Syncs: a cohort's export to a connection, started, changed, paused, resumed, deleted."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping

from django.db import transaction
from django.db.models import QuerySet

from cohorts.models import Cohort, Project, User
from cohorts.retention import RetentionRefused, lock_retention, require_kept
from integrations.errors import Conflict, Invalid
from integrations.models import Connection, DestinationApp, Ledger, Run, Sync
from integrations.models.syncs import default_guard
from integrations.runs import cancel_open_runs, queue_run
from integrations.schedule import next_due
from integrations.segments import full_name, segment_id, tag_of
from integrations.tasks import request_pass


class Unset(enum.Enum):
    """Tells a field that was not given from one that was given as null."""

    UNSET = "unset"


UNSET = Unset.UNSET


def export_cohort(
    *,
    cohort: Cohort,
    connection: Connection,
    mode: str,
    by: User | None,
    now: dt.datetime,
    guard: Mapping[str, object] | Unset | None = UNSET,
) -> tuple[Sync, bool]:
    """Start exporting a cohort: a new sync, or the pair's own one with this mode, active again; tell whether it is new.

    A run is queued in the same transaction, and the segment will be overwritten. Raises Invalid and Conflict.
    """
    if connection.project_id != cohort.project_id:
        raise Invalid("connection_id", "The connection belongs to another project than the cohort.")
    _require_mode(mode)
    checked_guard = read_guard(guard)
    with transaction.atomic():
        lock_retention(cohort.project_id)
        # Two exports of one pair at once: the second waits here and finds the first one's sync.
        lock_app(connection.app_id)
        connection = Connection.objects.select_for_update(of=("self",)).select_related("app").get(pk=connection.pk)
        _require_connected(connection)
        sync = (
            Sync.objects.select_for_update(of=("self",))
            .select_related("ledger")
            .filter(connection=connection, cohort=cohort)
            .first()
        )
        is_new = sync is None
        if sync is None:
            ledger = _ledger(connection, cohort)
            sync = Sync(
                project_id=cohort.project_id,
                cohort=cohort,
                connection=connection,
                ledger=ledger,
                created_by=by,
            )
        elif sync.deleting_at is not None:
            raise Conflict("This sync is being deleted with its segment; export the cohort again once that is done.")
        sync.mode = mode
        if checked_guard is not UNSET:
            sync.guard = checked_guard
        _require_events(sync, now)
        _activate(sync, now)
        queue_run(sync=sync, trigger=Run.Trigger.MANUAL, now=now)
        request_pass(connection.app_id)
    return sync, is_new


def update_sync(
    *,
    sync: Sync,
    now: dt.datetime,
    mode: str | None = None,
    guard: Mapping[str, object] | Unset | None = UNSET,
) -> Sync:
    """Change mode or guard. A finished one-time sync that becomes dynamic starts again with a run."""
    checked_guard = read_guard(guard)
    if mode is not None:
        _require_mode(mode)
    with transaction.atomic():
        lock_retention(sync.project_id)
        sync = _locked(sync)
        if checked_guard is not UNSET:
            sync.guard = checked_guard
        if mode is not None and mode != sync.mode:
            sync.mode = mode
            if sync.status != Sync.Status.PAUSED:
                _require_connected(sync.connection)
                _require_events(sync, now)
                _activate(sync, now)
                queue_run(sync=sync, trigger=Run.Trigger.MANUAL, now=now)
                request_pass(sync.connection.app_id)
        sync.save()
    return sync


def run_now(*, sync: Sync, is_retry: bool, now: dt.datetime) -> Run:
    """Queue a run; one that waits already is returned instead. Raises Conflict when paused or disconnected."""
    with transaction.atomic():
        lock_retention(sync.project_id)
        sync = _locked(sync)
        if sync.status == Sync.Status.PAUSED:
            what_to_do = "" if sync.paused_by == Sync.PausedBy.DISCONNECT else " Resume it first."
            raise Conflict(f"This sync is paused: {sync.pause_reason}{what_to_do}")
        _require_connected(sync.connection)
        if sync.status == Sync.Status.FINISHED:
            _require_events(sync, now)
        run = queue_run(sync=sync, trigger=Run.Trigger.MANUAL, now=now, is_retry=is_retry)
        request_pass(sync.connection.app_id)
    return run


def pause_sync(*, sync: Sync, now: dt.datetime, reason: str = "") -> Sync:
    """Pause a sync; what it delivered stays. A run in flight stops before its next batch."""
    with transaction.atomic():
        sync = _locked(sync)
        if sync.status == Sync.Status.PAUSED and sync.paused_by == Sync.PausedBy.PERSON:
            return sync
        sentence = reason or "It was paused by hand."
        cancel_open_runs(sync=sync, sentence=f"The sync was paused. {sentence}", now=now)
        sync.status, sync.paused_by, sync.pause_reason = Sync.Status.PAUSED, Sync.PausedBy.PERSON, sentence
        sync.next_run_at = None
        sync.save()
    return sync


def resume_sync(*, sync: Sync, now: dt.datetime) -> Sync:
    """Make a paused sync active again with a run at once. Raises Conflict when its connection cannot send."""
    with transaction.atomic():
        sync = _locked(sync)
        _require_connected(sync.connection)
        if sync.status == Sync.Status.PAUSED:
            _activate(sync, now)
            queue_run(sync=sync, trigger=Run.Trigger.MANUAL, now=now)
            request_pass(sync.connection.app_id)
    return sync


def delete_sync(*, sync: Sync, delete_segment: bool, now: dt.datetime) -> Run | None:
    """Delete a sync. Tags, segment and ledger stay, and a later export of the pair takes them up.

    With `delete_segment` a removal run takes every tag back first, then the segment goes, then the rows; that run is
    returned. Raises Conflict when the connection cannot send.
    """
    with transaction.atomic():
        sync = _locked(sync)
        cancel_open_runs(sync=sync, sentence="The sync is being deleted.", now=now)
        if not delete_segment:
            Ledger.objects.filter(pk=sync.ledger_id).update(renamed_to="")
            sync.delete()
            return None
        _require_connected(sync.connection)
        Ledger.objects.filter(pk=sync.ledger_id).update(is_draining=True, is_segment_doomed=True)
        sync.deleting_at, sync.next_run_at = now, None
        sync.save()
        run = queue_run(sync=sync, trigger=Run.Trigger.MANUAL, now=now, is_removal=True)
        request_pass(sync.connection.app_id)
    return run


def cohort_changed(*, cohort: Cohort, is_redefined: bool, is_renamed: bool, now: dt.datetime) -> None:
    """Carry a cohort's edit to its live syncs: an old run in flight stops, a new one is due, the segment is renamed."""
    with transaction.atomic():
        syncs = Sync.objects.filter(cohort=cohort, deleting_at=None)
        for app_id in sorted(set(syncs.values_list("connection__app_id", flat=True))):
            lock_app(app_id)
        for sync in syncs.select_for_update(of=("self",)).select_related("connection").order_by("id"):
            is_live = sync.status == Sync.Status.ACTIVE and sync.connection.status == Connection.Status.CONNECTED
            if is_redefined and is_live:
                cancel_open_runs(sync=sync, sentence=f"Superseded by version {cohort.version} of the cohort.", now=now)
                queue_run(sync=sync, trigger=Run.Trigger.MANUAL, now=now)
            if is_renamed:
                name = full_name(connection=sync.connection, cohort_name=cohort.name)
                Ledger.objects.filter(pk=sync.ledger_id).update(renamed_to=name)
            request_pass(sync.connection.app_id)


def read_guard(guard: Mapping[str, object] | Unset | None) -> dict[str, object] | Unset | None:
    """Return the guard with its defaults filled in; None means none. Raises Invalid naming the key."""
    if guard is None or isinstance(guard, Unset):
        return guard
    complete = default_guard()
    for key, value in guard.items():
        if key not in complete:
            raise Invalid(f"guard.{key}", f"A guard has the keys {', '.join(complete)}.")
        is_flag = key == "hold_empty"
        if value is not None and (is_flag != isinstance(value, bool) or (not is_flag and not _is_number(value))):
            kind = "true or false" if is_flag else "a number that is not negative"
            raise Invalid(f"guard.{key}", f"Give {kind}, or null for no such limit.")
        complete[key] = value
    return complete


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12


def _ledger(connection: Connection, cohort: Cohort) -> Ledger:
    """Return the pair's ledger: the archived one when there is one, whose tags are then known, else a new one."""
    segment = segment_id(connection=connection, cohort_id=cohort.pk)
    name = full_name(connection=connection, cohort_name=cohort.name)
    ledger, is_new = Ledger.objects.get_or_create(
        connection=connection,
        app=connection.app,
        cohort_id=cohort.pk,
        defaults={
            "project_id": cohort.project_id,
            "segment_id": segment,
            "tag": tag_of(segment),
            "segment_name": name[:128],
        },
    )
    if not is_new and ledger.segment_name != name[:128]:
        Ledger.objects.filter(pk=ledger.pk).update(renamed_to=name)
    return ledger


def synced_cohorts(project: Project) -> QuerySet[Cohort]:
    """Return the project's cohorts that are kept in sync or may be again without anybody looking at them."""
    live = Sync.objects.filter(project=project, deleting_at=None).exclude(status=Sync.Status.FINISHED)
    return Cohort.objects.filter(project=project, pk__in=live.values("cohort_id"))


def _require_events(sync: Sync, now: dt.datetime) -> None:
    """Raise Conflict if the project does not keep the events that the cohort looks at.

    A finished sync is asked before it starts again; the others count as relied on, so that the retention respects them.
    """
    try:
        require_kept(cohort=sync.cohort, now=now)
    except RetentionRefused as error:
        raise Conflict(error.sentence) from error


def _activate(sync: Sync, now: dt.datetime) -> None:
    sync.status, sync.paused_by, sync.pause_reason = Sync.Status.ACTIVE, "", ""
    sync.next_run_at = next_due(connection=sync.connection, now=now) if sync.mode == Sync.Mode.DYNAMIC else None
    sync.save()
    Ledger.objects.filter(pk=sync.ledger_id).update(is_draining=False, is_segment_doomed=False)


def lock_app(app_id: int) -> None:
    """Lock the app's row: always the first, as in a pass, then connection, sync, run, ledger."""
    DestinationApp.objects.select_for_update().get(pk=app_id)


def _locked(sync: Sync) -> Sync:
    lock_app(Connection.objects.values_list("app_id", flat=True).get(pk=sync.connection_id))
    locked = Sync.objects.select_for_update(of=("self",)).select_related("connection__app").get(pk=sync.pk)
    if locked.deleting_at is not None:
        raise Conflict("This sync is being deleted with its segment.")
    return locked


def _require_connected(connection: Connection) -> None:
    if connection.status == Connection.Status.DISCONNECTED:
        raise Conflict(f"The connection “{connection.name}” is disconnected; give it credentials first.")
    if connection.status == Connection.Status.ERROR:
        raise Conflict(f"The connection “{connection.name}” cannot send: {connection.error}")


def _require_mode(mode: str) -> None:
    if mode not in Sync.Mode.values:
        raise Invalid("mode", f"Give one of: {', '.join(Sync.Mode.values)}.")
