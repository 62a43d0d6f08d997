"""The cohorts of a project: the list, one cohort with whom it selects, counting, duplicating, deleting.

Writing a definition is `cohort_forms.py`, exporting `exports.py`.
"""

from __future__ import annotations

import datetime as dt

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Prefetch, Q
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.urls import path
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from cohorts.access import Action, Actor
from cohorts.catalog import CohortInUse, cohort_for, create_cohort, delete_cohort, visible_cohorts
from cohorts.counting import COUNT_TIMEOUT_SECONDS, count_cohort, default_match_property
from cohorts.definition import parse_definition
from cohorts.models import Cohort
from cohorts.resolve import member_page, snapshot
from cohortsync.pages.access import REFUSALS, back, command, page, sentence_of
from cohortsync.pages.cohort_forms import urlpatterns as form_urlpatterns
from cohortsync.pages.definition_words import definition_in_words
from cohortsync.pages.dialogs import go, is_dialog, show_dialog
from integrations.access import syncs_of
from integrations.models import Sync

COHORTS_PER_PAGE = 50
MEMBERS_PER_PAGE = 50
MEMBERS_ON_A_COHORTS_PAGE = 10
SORTS = {
    "name": ("name", "id"),
    "size": ("-count", "id"),
    "newest": ("-created_at", "-id"),
}


@page(Action.READ)
def cohorts(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    """List the cohorts with size, owner and syncs."""
    wanted, sort = request.GET.get("q", "").strip().replace("\0", ""), request.GET.get("sort", "name")
    known = visible_cohorts(actor)
    found = known.select_related("created_by").prefetch_related(
        Prefetch("syncs", queryset=Sync.objects.select_related("connection").defer("connection__credential"))
    )
    if wanted:
        found = found.filter(Q(name__icontains=wanted) | Q(description__icontains=wanted))
    shown = Paginator(found.order_by(*SORTS.get(sort, SORTS["name"])), COHORTS_PER_PAGE).get_page(
        request.GET.get("page")
    )
    context = {"section": "cohorts", "cohorts": shown, "wanted": wanted, "sort": sort if sort in SORTS else "name"}
    return render(request, "cohorts/list.html", context)


@page(Action.READ)
def cohort(request: HttpRequest, actor: Actor, cohort_id: int) -> HttpResponseBase:
    """Show a cohort; whom it selects is asked for by the page itself, or at once with `?count`."""
    found = cohort_for(actor, cohort_id)
    context: dict[str, object] = {
        "section": "cohorts",
        "cohort": found,
        "syncs": syncs_of(actor).filter(cohort=found).order_by("connection__name", "id"),
        "definition": definition_in_words(found.definition),
        "is_counted": "count" in request.GET,
    }
    if "count" in request.GET:
        context |= _coverage(actor, found)
    return render(request, "cohorts/detail.html", context)


@page(Action.READ)
def coverage(request: HttpRequest, actor: Actor, cohort_id: int) -> HttpResponseBase:
    """Count the cohort now and show who of it can be exported: the part of a cohort's page that takes time."""
    found = cohort_for(actor, cohort_id)
    if not is_dialog(request):
        return redirect(f"{resolve_url('cohort', actor.project.pk, found.pk)}?count")
    return render(request, "cohorts/coverage.html", {"cohort": found, **_coverage(actor, found)})


@page(Action.READ)
def members(request: HttpRequest, actor: Actor, cohort_id: int) -> HttpResponseBase:
    """List the members by person; all pages are as of the moment of the first."""
    found = cohort_for(actor, cohort_id)
    context: dict[str, object] = {"section": "cohorts", "cohort": found, "is_part": is_dialog(request)}
    try:
        context |= _members(request, actor, found)
    except REFUSALS as error:
        context["refusal"] = sentence_of(error)
    return render(request, "cohorts/members_part.html" if is_dialog(request) else "cohorts/members.html", context)


@command(Action.READ)
def count(request: HttpRequest, actor: Actor, cohort_id: int) -> HttpResponseBase:
    """Count the cohort anew; the answer is the cell of the list, or the page the button was on."""
    found = cohort_for(actor, cohort_id)
    count_cohort(cohort=found, match_property=default_match_property(actor.project))
    found.refresh_from_db(fields=["count", "counted_at"])
    if is_dialog(request):
        return render(request, "cohorts/size.html", {"cohort": found})
    messages.success(request, f"{found.name} has {found.count:,} member{'' if found.count == 1 else 's'}.")
    return back(request, fallback=resolve_url("cohorts", actor.project.pk))


@command(Action.WRITE_COHORTS)
def duplicate(request: HttpRequest, actor: Actor, cohort_id: int) -> HttpResponseBase:
    """Make a copy that is the visitor's own, and show it."""
    found = cohort_for(actor, cohort_id)
    name = f"Copy of {found.name}"
    copy = create_cohort(
        project=actor.project,
        name=name if len(name) <= 255 else f"{name[:254]}…",
        description=found.description,
        definition=found.definition,
        visibility=Cohort.Visibility.PRIVATE,
        by=actor.user,
    )
    messages.success(request, f"{copy.name} is yours alone until you share it.")
    return go(request, resolve_url("cohort", actor.project.pk, copy.pk))


@page(Action.WRITE_COHORTS)
def delete(request: HttpRequest, actor: Actor, cohort_id: int) -> HttpResponseBase:
    """Ask, then delete; one that is exported cannot go, and its syncs are named."""
    found = cohort_for(actor, cohort_id)
    syncs = list(syncs_of(actor).filter(cohort=found).order_by("id"))
    refusal = ""
    if request.method == "POST":
        try:
            delete_cohort(cohort=found)
        except CohortInUse as error:
            refusal = error.sentence
        else:
            messages.success(request, f"{found.name} is deleted.")
            return go(request, resolve_url("cohorts", actor.project.pk))
    context = {"section": "cohorts", "cohort": found, "syncs": syncs, "refusal": refusal}
    return show_dialog(request, "cohorts/delete.html", context, heading="Delete this cohort?", is_refused=bool(refusal))


def _coverage(actor: Actor, cohort: Cohort) -> dict[str, object]:
    try:
        match_property = default_match_property(actor.project)
        counted = count_cohort(cohort=cohort, match_property=match_property)
    except REFUSALS as error:
        return {"coverage": None, "refusal": sentence_of(error)}
    return {"coverage": counted, "match_property": match_property.name}


def _members(request: HttpRequest, actor: Actor, cohort: Cohort) -> dict[str, object]:
    after, wanted_at = request.GET.get("after", ""), _moment(request.GET.get("as_of", ""))
    match_property = default_match_property(actor.project)
    with snapshot() as now:
        as_of = wanted_at or now
        found = member_page(
            project=actor.project,
            definition=parse_definition(cohort.definition),
            as_of=as_of,
            match_property=match_property,
            after=int(after) if after.isdecimal() and len(after) < 19 else None,
            limit=MEMBERS_ON_A_COHORTS_PAGE if is_dialog(request) else MEMBERS_PER_PAGE,
            timeout_seconds=COUNT_TIMEOUT_SECONDS,
        )
    return {
        "members": found.members,
        "next": found.next,
        "is_first": not after,
        "as_of": as_of,
        "match_property": match_property.name,
    }


def _moment(text: str) -> dt.datetime | None:
    """Return the moment a link of ours carries; None for anything else, which then means now."""
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    is_sensible = moment is not None and moment.tzinfo is not None and 1971 <= moment.year <= timezone.now().year
    return moment if is_sensible else None


urlpatterns = [
    path("", cohorts, name="cohorts"),
    *form_urlpatterns,
    path("<int:cohort_id>/", cohort, name="cohort"),
    path("<int:cohort_id>/coverage/", coverage, name="cohort-coverage"),
    path("<int:cohort_id>/members/", members, name="cohort-members"),
    path("<int:cohort_id>/count/", count, name="cohort-count"),
    path("<int:cohort_id>/duplicate/", duplicate, name="cohort-duplicate"),
    path("<int:cohort_id>/delete/", delete, name="cohort-delete"),
]
