"""When dynamic syncs run: on a grid of their connection, so that they are due together and connections are spread."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.db import transaction

from integrations.models import Connection, Run, Sync
from integrations.runs import queue_run


def next_due(*, connection: Connection, now: dt.datetime) -> dt.datetime:
    """Return the connection's next moment after `now`; its own UUID gives the offset within the interval."""
    interval = settings.SYNC_INTERVAL_MINUTES * 60
    offset = connection.uuid.int % interval
    seconds = int(now.timestamp())
    return dt.datetime.fromtimestamp(seconds - (seconds - offset) % interval + interval, tz=dt.UTC)


def start_due_syncs(*, now: dt.datetime) -> list[Run]:
    """Queue a run for every sync that is due and set its next moment, in one transaction. Return the runs.

    Rows are claimed with SKIP LOCKED and moved on together with the run, so a late, doubled or restarted beat starts
    nothing twice. A sync whose last run is still open is skipped: the next moment serves for both.
    """
    runs = []
    with transaction.atomic():
        due = Sync.objects.due(now).select_related("connection").select_for_update(skip_locked=True, of=("self",))
        for sync in due:
            is_dynamic = sync.mode == Sync.Mode.DYNAMIC
            sync.next_run_at = next_due(connection=sync.connection, now=now) if is_dynamic else None
            sync.save(update_fields=["next_run_at"])
            open_runs = Run.objects.filter(sync=sync, status__in=[Run.Status.QUEUED, Run.Status.RUNNING])
            if not open_runs.exists():
                runs.append(queue_run(sync=sync, trigger=Run.Trigger.SCHEDULE, now=now))
    return runs
