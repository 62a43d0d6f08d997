"""Integrations: a row per destination, and the open one with a connection of it and that connection's syncs."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db.models import Count, Max, OuterRef, Q, QuerySet, Subquery
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import path
from django.utils.cache import patch_vary_headers

from cohorts.access import Action, Actor, NotFound
from cohorts.models import Project
from cohortsync.pages import connections
from cohortsync.pages.access import page
from cohortsync.pages.dialogs import is_dialog
from integrations.access import connection_for, syncs_of
from integrations.destinations import destinations
from integrations.destinations.base import Destination
from integrations.models import Connection, Run, Sync
from integrations.removals import tags_left

SYNCS_PER_PAGE = 100
# Chosen when the address names none: one that works, else one that could be repaired.
_BEST_FIRST = (Connection.Status.CONNECTED, Connection.Status.ERROR, Connection.Status.DISCONNECTED)


@dataclass(frozen=True)
class Row:
    """A destination and how many connections the project has to it."""

    destination: Destination
    active: int = 0
    in_error: int = 0
    total: int = 0


@page(Action.CONNECT)
def integrations(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    """Show every destination, closed."""
    return render(request, "integrations/list.html", {"section": "integrations", "rows": _rows(actor.project)})


@page(Action.CONNECT)
def destination(request: HttpRequest, actor: Actor, kind: str) -> HttpResponseBase:
    """Show the destinations with one of them open, at the connection of `?connection=`."""
    if kind not in destinations():
        raise Http404(f"There is no destination {kind}.")
    picker = list(
        Connection.objects.filter(project=actor.project, app__destination=kind)
        .only("id", "name", "status")
        .order_by("name", "id")
    )
    chosen = _chosen(request.GET.get("connection"), picker)
    opened = _opened(connection_for(actor, chosen.pk)) if chosen else {}
    context = {"section": "integrations", "opened": destinations()[kind], "picker": picker, **opened}
    if is_dialog(request) and chosen:
        # It asks for itself again while something is on its way (connection.html).
        response = render(request, "integrations/connection.html", context)
    else:
        shown = _syncs_page(request, actor, chosen) if chosen else {}
        response = render(request, "integrations/list.html", {**context, **shown, "rows": _rows(actor.project)})
    patch_vary_headers(response, ["HX-Request"])
    return response


def _rows(project: Project) -> list[Row]:
    counted = (
        Connection.objects.filter(project=project)
        .values_list("app__destination")
        .annotate(
            active=Count("id", filter=Q(status=Connection.Status.CONNECTED)),
            in_error=Count("id", filter=Q(status=Connection.Status.ERROR)),
            total=Count("id"),
        )
    )
    counts = {kind: numbers for kind, *numbers in counted}
    known = sorted(destinations().values(), key=lambda each: each.label.lower())
    return [Row(each, *counts.get(each.kind, [])) for each in known]


def _chosen(wish: str | None, picker: list[Connection]) -> Connection | None:
    """Return the connection to show, None when there is none at all. Raises NotFound for one that is not among them."""
    if wish is not None:
        found = next((each for each in picker if str(each.pk) == wish), None)
        if found is None:
            raise NotFound("There is no such connection in this project.")
        return found
    return min(picker, key=lambda each: (_BEST_FIRST.index(Connection.Status(each.status)), each.pk), default=None)


def _opened(connection: Connection) -> dict[str, object]:
    can_send = connection.status == Connection.Status.CONNECTED or connection.is_draining
    whole = Sync.objects.filter(connection=connection).aggregate(last_synced_at=Max("last_finished_at"))
    return {
        "connection": connection,
        "last_synced_at": whole["last_synced_at"],
        "segments_left": connection.ledgers.filter(is_draining=True).count() if connection.is_draining else 0,
        # One that can send removes the tags of erased people by itself.
        "tags_left": [] if can_send else tags_left(connection),
        "sandbox_url": settings.SANDBOX_URL if connection.is_sandbox else None,
    }


def _syncs_page(request: HttpRequest, actor: Actor, connection: Connection) -> dict[str, object]:
    words = request.GET.get("q", "").replace("\0", "").strip()
    found = _matching(syncs_of(actor).filter(connection=connection), words)
    syncs: Page[Sync] = Paginator(found, SYNCS_PER_PAGE).get_page(request.GET.get("page"))
    return {"syncs": syncs, "words": words, "sync_count": syncs.paginator.count}


def _matching(syncs: QuerySet[Sync], words: str) -> QuerySet[Sync]:
    """Return the syncs whose cohort's name holds every word, with the newest run whose members are known."""
    for word in words.split():
        syncs = syncs.filter(cohort__name__icontains=word)
    runs = Run.objects.filter(sync=OuterRef("pk")).order_by("-pk")
    return syncs.annotate(
        csv_run_id=Subquery(runs.filter(as_of__isnull=False, finished_at__isnull=False).values("pk")[:1]),
        open_run_id=Subquery(runs.filter(status__in=[Run.Status.QUEUED, Run.Status.RUNNING]).values("pk")[:1]),
    ).order_by("cohort__name", "pk")


urlpatterns = [
    path("integrations/", integrations, name="integrations"),
    path("integrations/<slug:kind>/", destination, name="destination"),
    *connections.urlpatterns,
]
