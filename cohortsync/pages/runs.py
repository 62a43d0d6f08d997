"""A run: how far it is, what it came to, and who could not be brought over. Syncs: `syncs.py`."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.urls import path, reverse
from django.utils import timezone
from django_htmx.http import HttpResponseStopPolling

from cohorts.access import Action, Actor, NotFound
from cohorts.catalog import visible_cohorts
from cohortsync.pages.access import page
from cohortsync.pages.dialogs import is_dialog
from cohortsync.pages.run_words import ERROR_KINDS, OPEN, TRIGGERS, pace_words, timings_of, what_next
from integrations.access import run_for, sync_for
from integrations.member_samples import SAMPLE_MEMBERS, samples_of
from integrations.models import Run, Sync
from integrations.progress import Phase, progress_of, surroundings_of


@page(Action.READ)
def run(request: HttpRequest, actor: Actor, run_id: int) -> HttpResponseBase:
    """Show a run."""
    found = run_for(actor, run_id)
    return render(request, "runs/detail.html", _standing(actor, found))


@page(Action.READ)
def run_live(request: HttpRequest, actor: Actor, run_id: int) -> HttpResponseBase:
    """Answer the part of a run's page that changes while the run is open; `?seen` is the status shown so far."""
    try:
        found = run_for(actor, run_id)
    except NotFound:
        if not is_dialog(request):
            raise
        return gone(request, "This run is gone: its sync was deleted.", remains=["run-actions"])
    if not is_dialog(request):
        return redirect("run", actor.project.pk, found.pk)
    context = _standing(actor, found)
    context["is_changed"] = request.GET.get("seen") != found.status
    return render(request, "runs/live_answer.html", context)


def gone(request: HttpRequest, sentence: str, *, remains: list[str]) -> HttpResponseBase:
    """Answer a page whose sync was deleted meanwhile: it stops asking, and drops the elements that `remains` names."""
    context = {"sentence": sentence, "remains": remains}
    return HttpResponseStopPolling(render(request, "syncs/gone.html", context).content)


def csv_url(run: Run) -> str:
    """Return where a run's members come as CSV: the REST API, which takes the session too."""
    return reverse("api-v1:get_members", args=[run.project_id, run.pk])


def progress_context(run: Run) -> dict[str, object]:
    """Return what the progress of an open run shows."""
    progress = progress_of(run, surroundings_of(run))
    # A bar without an end is for what goes on, not for what waits.
    is_bar_shown = bool(progress.total) or progress.phase in (Phase.RESOLVING, Phase.FINISHING)
    return {"progress": progress, "pace": pace_words(progress), "is_bar_shown": is_bar_shown}


def _standing(actor: Actor, run: Run) -> dict[str, object]:
    sync = sync_for(actor, run.sync_id)
    run.sync = sync
    is_open = run.status in OPEN
    newest_id = getattr(sync, "last_run_id", None)
    context: dict[str, object] = {
        "section": "cohorts",
        "run": run,
        "sync": sync,
        "is_cohort_visible": visible_cohorts(actor).filter(pk=sync.cohort_id).exists(),
        "is_open": is_open,
        "is_newest": newest_id == run.pk,
        "newest_id": newest_id,
        "timings": timings_of(run, now=timezone.now()),
        "trigger": TRIGGERS[run.trigger],
        "error_kind": ERROR_KINDS.get(run.error_kind or "", ""),
        "what_next": what_next(run, sync) if newest_id == run.pk else "",
        "next_run_at": sync.next_run_at if newest_id == run.pk else None,
        "csv_url": csv_url(run),
        "can_run": sync.status != Sync.Status.PAUSED and sync.deleting_at is None,
        "sync_url": resolve_url("sync", actor.project.pk, sync.pk),
    }
    if is_open:
        return context | progress_context(run)
    samples = samples_of(run)
    is_sampled = max(run.unmatched, run.rejected) > SAMPLE_MEMBERS
    return context | {"samples": samples, "is_sampled": is_sampled, "sample_members": SAMPLE_MEMBERS}


urlpatterns = [
    path("runs/<int:run_id>/", run, name="run"),
    path("runs/<int:run_id>/live/", run_live, name="run-live"),
]
