"""The way in: one's project, what is still to do there until the first segment is filled, and how its syncs are."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render

from cohorts.access import Action, Actor
from cohorts.catalog import visible_cohorts
from cohorts.models import Cohort, Event, Membership, User
from cohortsync.pages.access import page
from integrations.access import connections_of, runs_of, syncs_of
from integrations.models import Connection, Run

LAST_PROJECT = "last_project_id"
SYNCS_SHOWN = 8


@dataclass(frozen=True)
class FirstSteps:
    """What there is already, in the order in which one needs the other."""

    has_events: bool
    # The oldest one; the last step offers to export it.
    cohort: Cohort | None
    has_connection: bool
    has_export: bool

    @property
    def has_cohort(self) -> bool:
        """Tell whether there is one to export."""
        return self.cohort is not None

    @property
    def done(self) -> int:
        """How many of the four."""
        return sum((self.has_events, self.has_cohort, self.has_connection, self.has_export))


def home(request: HttpRequest) -> HttpResponse:
    """Go to the project visited last, or to the first; without any, say how one gets in."""
    assert isinstance(request.user, User)
    mine = Membership.objects.filter(user=request.user).order_by("project_id")
    project_ids = list(mine.values_list("project_id", flat=True))
    if not project_ids:
        return render(request, "home/no_project.html")
    last = request.session.get(LAST_PROJECT)
    return redirect("project", last if last in project_ids else project_ids[0])


@page(Action.READ)
def project(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    """Show the first steps and the syncs."""
    if request.session.get(LAST_PROJECT) != actor.project.pk:
        request.session[LAST_PROJECT] = actor.project.pk
    context = {
        "steps": _first_steps(actor),
        "host": request.build_absolute_uri("/").rstrip("/"),
        # Those that need somebody come first.
        "syncs": syncs_of(actor).order_by("-status", "-last_finished_at", "-id")[:SYNCS_SHOWN],
        "sync_count": syncs_of(actor).count(),
    }
    return render(request, "home/project.html", context)


def _first_steps(actor: Actor) -> FirstSteps:
    connected = connections_of(actor).filter(status=Connection.Status.CONNECTED)
    arrived = (Run.Status.SUCCEEDED, Run.Status.PARTIAL)
    return FirstSteps(
        has_events=Event.objects.filter(project_id=actor.project.pk).exists(),
        cohort=visible_cohorts(actor).order_by("id").first(),
        has_connection=connected.exists(),
        has_export=runs_of(actor).filter(status__in=arrived, is_removal=False).exists(),
    )
