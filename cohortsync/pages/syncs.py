"""A sync: does the segment equal the cohort, what its runs came to; run, pause, resume, change, delete it.

One run is `runs.py`. Everything that changes is asked for by the page itself while a run is open.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.db.models import Sum
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.urls import path
from django.utils import timezone

from cohorts.access import Action, Actor, NotFound
from cohorts.catalog import visible_cohorts
from cohortsync.pages import runs
from cohortsync.pages.access import REFUSALS, back, command, page, sentence_of
from cohortsync.pages.dialogs import go, is_dialog, show_dialog
from cohortsync.pages.run_words import OPEN, after_a_pause, row_of
from integrations.access import runs_of, sync_for
from integrations.freshness import freshness, last_runs
from integrations.models import Connection, Run, Sync
from integrations.syncs import delete_sync, pause_sync, resume_sync, run_now, update_sync

RUNS_PER_PAGE = 50
CHART_RUNS = 30


@page(Action.READ)
def sync(request: HttpRequest, actor: Actor, sync_id: int) -> HttpResponseBase:
    """Show a sync with its runs, newest first; `?before` is the run after which a page begins."""
    found = sync_for(actor, sync_id)
    before = request.GET.get("before", "")
    if before and not (before.isascii() and before.isdecimal() and len(before) < 19):
        raise Http404("A page of runs begins before the number of a run.")
    context = _standing(actor, found) | _history(actor, found, before) | {"chart": _chart(actor, found)}
    return render(request, "syncs/detail.html", context)


@page(Action.READ)
def sync_live(request: HttpRequest, actor: Actor, sync_id: int) -> HttpResponseBase:
    """Answer what changes while a run is open. `?seen` is the state shown so far; `?older` shows older runs."""
    try:
        found = sync_for(actor, sync_id)
    except NotFound:
        if not is_dialog(request):
            raise
        return runs.gone(request, "This sync is gone: it was deleted.", remains=["sync-actions", "rest"])
    if not is_dialog(request):
        return redirect("sync", actor.project.pk, found.pk)
    context = _standing(actor, found)
    context["is_changed"] = request.GET.get("seen") != context["state"]
    context["older"] = "older" in request.GET
    if context["is_changed"] and not context["older"]:
        context |= _history(actor, found, "")
    return render(request, "syncs/live_answer.html", context)


@command(Action.SYNC)
def sync_run(request: HttpRequest, actor: Actor, sync_id: int) -> HttpResponseBase:
    """Queue a run; with `retry` it asks unmatched and rejected members again. `show=run` leads to the run."""
    is_retry = bool(request.POST.get("retry"))
    run = run_now(sync=sync_for(actor, sync_id), is_retry=is_retry, now=timezone.now())
    messages.success(
        request,
        "A run is queued; it asks again for everybody OneSignal did not know or refused."
        if is_retry
        else "A run is queued.",
    )
    if request.POST.get("show") == "run":
        return go(request, resolve_url("run", actor.project.pk, run.pk))
    return back(request, fallback=resolve_url("sync", actor.project.pk, sync_id))


@command(Action.SYNC)
def sync_pause(request: HttpRequest, actor: Actor, sync_id: int) -> HttpResponseBase:
    """Pause a sync; what was delivered stays."""
    found = sync_for(actor, sync_id)
    pause_sync(sync=found, reason=f"Paused by {actor.visitor}.", now=timezone.now())
    messages.success(request, f"The sync of {found.cohort.name} is paused; its segment stays as it is.")
    return back(request, fallback=resolve_url("sync", actor.project.pk, sync_id))


@command(Action.SYNC)
def sync_resume(request: HttpRequest, actor: Actor, sync_id: int) -> HttpResponseBase:
    """Resume a sync with a run at once."""
    found = sync_for(actor, sync_id)
    resume_sync(sync=found, now=timezone.now())
    messages.success(request, f"The sync of {found.cohort.name} goes on; a run is queued.")
    return back(request, fallback=resolve_url("sync", actor.project.pk, sync_id))


@command(Action.SYNC)
def sync_mode(request: HttpRequest, actor: Actor, sync_id: int) -> HttpResponseBase:
    """Make a sync dynamic or one-time."""
    found = update_sync(sync=sync_for(actor, sync_id), mode=request.POST.get("mode", ""), now=timezone.now())
    what = "a dynamic sync" if found.mode == Sync.Mode.DYNAMIC else "a one-time export"
    then = "" if found.status == Sync.Status.PAUSED else " A run is queued."
    messages.success(request, f"This is {what} now.{then}")
    return back(request, fallback=resolve_url("sync", actor.project.pk, sync_id))


@page(Action.SYNC)
def delete(request: HttpRequest, actor: Actor, sync_id: int) -> HttpResponseBase:
    """Ask what becomes of the segment, then delete the sync."""
    found = sync_for(actor, sync_id)
    delete_segment = request.POST.get("segment") == "delete"
    refusal = ""
    if request.method == "POST":
        try:
            removal = delete_sync(sync=found, delete_segment=delete_segment, now=timezone.now())
        except REFUSALS as error:
            refusal = sentence_of(error)
        else:
            return _after_deleting(request, actor, found, removal)
    context = {
        "section": "cohorts",
        "sync": found,
        "refusal": refusal,
        "delete_segment": delete_segment,
        "can_delete_segment": found.connection.status == Connection.Status.CONNECTED,
    }
    return show_dialog(request, "syncs/delete.html", context, heading="Delete this sync?", is_refused=bool(refusal))


def _after_deleting(request: HttpRequest, actor: Actor, sync: Sync, removal: Run | None) -> HttpResponseBase:
    if removal is not None:
        messages.success(request, "The segment and its tags are being removed; the sync goes with the last of them.")
        return go(request, resolve_url("sync", actor.project.pk, sync.pk))
    messages.success(request, f"The sync of {sync.cohort.name} is deleted; its segment stays at OneSignal.")
    if visible_cohorts(actor).filter(pk=sync.cohort_id).exists():
        return go(request, resolve_url("cohort", actor.project.pk, sync.cohort_id))
    return go(request, resolve_url("cohorts", actor.project.pk))


def _standing(actor: Actor, sync: Sync) -> dict[str, object]:
    """Return what is true of the sync now."""
    now, connection = timezone.now(), sync.connection
    mine = runs_of(actor).filter(sync=sync)
    open_runs = list(mine.filter(status__in=OPEN).order_by("pk"))
    for run in open_runs:
        run.sync = sync
    running = next((run for run in open_runs if run.status == Run.Status.RUNNING), None)
    last = last_runs(mine)
    state = (sync.status, sync.mode, sync.deleting_at is not None, last.ended and last.ended.pk)
    is_sent_to_sandbox = connection.is_sandbox and settings.SANDBOX_URL and sync.ledger.segment_seen_at
    return {
        "section": "cohorts",
        "sync": sync,
        "is_cohort_visible": visible_cohorts(actor).filter(pk=sync.cohort_id).exists(),
        "freshness": freshness(sync=sync, running=running, last=last),
        "last_run": last.resolved,
        "open_runs": [{"run": run, **runs.progress_context(run)} for run in open_runs],
        "open_rows": [row_of(run, now=now) for run in open_runs],
        "state": "-".join(str(each) for each in (*state, *((run.pk, run.status) for run in open_runs))),
        "totals": mine.aggregate(added=Sum("added"), removed=Sum("removed")),
        "after_a_pause": after_a_pause(sync) if sync.status == Sync.Status.PAUSED else "",
        "can_send": connection.status == Connection.Status.CONNECTED,
        "is_overdue": sync.next_run_at is not None and (now - sync.next_run_at).total_seconds() > 60,
        "interval_minutes": settings.SYNC_INTERVAL_MINUTES,
        "sandbox_url": f"{settings.SANDBOX_URL}/view/{connection.app.remote_id}/{sync.ledger.segment_id}"
        if is_sent_to_sandbox
        else "",
    }


def _history(actor: Actor, sync: Sync, before: str) -> dict[str, object]:
    rows = runs_of(actor).filter(sync=sync)
    if before:
        rows = rows.filter(pk__lt=int(before))
    # One more than is shown tells whether there is another page.
    found = list(rows.order_by("-pk")[: RUNS_PER_PAGE + 1])
    shown = [row_of(run, now=timezone.now()) for run in found[:RUNS_PER_PAGE]]
    url = resolve_url("sync", sync.project_id, sync.pk)
    return {
        "rows": shown,
        "older": before,
        "newest_url": f"{url}#history" if before else "",
        "next_url": f"{url}?before={found[RUNS_PER_PAGE - 1].pk}#history" if len(found) > RUNS_PER_PAGE else "",
    }


def _chart(actor: Actor, sync: Sync) -> dict[str, object] | None:
    """Return the last finished runs for static/js/charts.js; one alone makes no chart."""
    ended = runs_of(actor).filter(sync=sync, finished_at__isnull=False).order_by("-pk")
    rows = list(ended.values_list("finished_at", "added", "removed")[:CHART_RUNS])[::-1]
    if len(rows) < 2:
        return None
    return {
        "kind": "bar",
        "stacked": True,
        "labels": [f"{finished_at:%b %d %H:%M}" for finished_at, _, _ in rows],
        "series": [
            {"name": "Added", "values": [added for _, added, _ in rows]},
            {"name": "Removed", "values": [-removed for _, _, removed in rows]},
        ],
    }


urlpatterns = [
    path("syncs/<int:sync_id>/", sync, name="sync"),
    path("syncs/<int:sync_id>/live/", sync_live, name="sync-live"),
    path("syncs/<int:sync_id>/run/", sync_run, name="sync-run"),
    path("syncs/<int:sync_id>/pause/", sync_pause, name="sync-pause"),
    path("syncs/<int:sync_id>/resume/", sync_resume, name="sync-resume"),
    path("syncs/<int:sync_id>/mode/", sync_mode, name="sync-mode"),
    path("syncs/<int:sync_id>/delete/", delete, name="sync-delete"),
    *runs.urlpatterns,
]
