"""The live view: events in the order in which they come in, and one event with all that was sent.

The first page asks for itself again while it is not paused; without script there is a link that loads it anew.
"""

from __future__ import annotations

from hashlib import blake2b
from urllib.parse import urlencode

import orjson
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.urls import path, reverse
from django_htmx.http import HttpResponseClientRefresh

from cohorts.access import Action, Actor
from cohorts.arrivals import MAX_SEARCHED, Arrival, Arrivals, Place, arrival, arrivals
from cohorts.lexicon import event_names
from cohorts.models import Event
from cohortsync.pages.access import page
from cohortsync.pages.dialogs import is_dialog

EVENTS_PER_PAGE = 50
MAX_PROPERTIES_LISTED = 40


@page(Action.READ)
def events(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    """Show the newest events; `?event=` and `?distinct_id=` choose, `?before=` pages, `?paused` stands still."""
    context = _arrivals(request, actor) | {
        "names": event_names(actor.project),
        "is_empty": not Event.objects.filter(project_id=actor.project.pk).exists(),
        "host": request.build_absolute_uri("/").rstrip("/"),
    }
    return render(request, "events/page.html", context)


@page(Action.READ)
def events_live(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    """Answer the newest events anew; 204 when they are the ones of `?seen=`, so that the page stays as it is."""
    if not is_dialog(request):
        chosen = {name: request.GET.get(name, "") for name in ("event", "distinct_id")}
        return redirect(f"{resolve_url('events', actor.project.pk)}?{urlencode(chosen)}")
    context = _arrivals(request, actor)
    if request.GET.get("seen") == context["seen"]:
        return HttpResponse(status=204)
    if "empty" in request.GET:
        # The first event: the page has no list yet to put it into.
        return HttpResponseClientRefresh()
    return render(request, "events/arrivals.html", context)


@page(Action.READ)
def event(request: HttpRequest, actor: Actor, event_key: str) -> HttpResponseBase:
    """Show one event."""
    found = arrival(project=actor.project, key=event_key)
    document = orjson.dumps(found.properties, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()
    return render(request, "events/event.html", {"section": "events", "event": found, "document": document})


def _arrivals(request: HttpRequest, actor: Actor) -> dict[str, object]:
    name, distinct_id = (request.GET.get(key, "").replace("\0", "") for key in ("event", "distinct_id"))
    before = request.GET.get("before", "")
    found = arrivals(
        project=actor.project,
        limit=EVENTS_PER_PAGE,
        name=name,
        distinct_id=distinct_id.strip(),
        before=Place.of(before) if before else None,
    )
    chosen = {key: value for key, value in (("event", name), ("distinct_id", distinct_id)) if value}
    url, seen = reverse("events", args=[actor.project.pk]), _seen(found)
    return {
        "section": "events",
        "arrivals": found,
        "rows": [(each, _listed(each)) for each in found.shown],
        "name": name,
        "distinct_id": distinct_id,
        "is_chosen": bool(chosen),
        "is_live": not before and "paused" not in request.GET,
        "is_first": not before,
        "max_searched": MAX_SEARCHED,
        "seen": seen,
        "live_url": f"{reverse('events-live', args=[actor.project.pk])}?{urlencode({**chosen, 'seen': seen})}",
        "resume_url": f"{url}?{urlencode(chosen)}",
        "pause_url": f"{url}?{urlencode({**chosen, 'paused': '1'})}",
        "next_url": f"{url}?{urlencode({**chosen, 'before': str(found.next)})}" if found.next else "",
    }


def _seen(found: Arrivals) -> str:
    """Return what tells two states of the first page apart: an event that was late to commit comes in between."""
    return blake2b(" ".join(str(each.place) for each in found.shown).encode(), digest_size=8).hexdigest()


def _listed(event: Arrival) -> list[tuple[str, str]] | None:
    """Return the first properties by name, with their values as JSON; None where the list does not show them."""
    if event.properties is None:
        return None
    shown = sorted(event.properties.items())[:MAX_PROPERTIES_LISTED]
    return [(name, value if isinstance(value, str) else orjson.dumps(value).decode()) for name, value in shown]


urlpatterns = [
    path("events/", events, name="events"),
    path("events/live/", events_live, name="events-live"),
    path("events/<str:event_key>/", event, name="event"),
]
