"""The export dialog: how many can be exported, what will change over there, once or for ever, Begin Sync."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render, resolve_url
from django.urls import path
from django.utils import timezone

from cohorts.access import Action, Actor
from cohorts.catalog import cohort_for
from cohorts.models import Cohort, Project
from cohortsync.pages.access import REFUSALS, page, sentence_of
from cohortsync.pages.dialogs import go, is_dialog, show_dialog
from integrations.access import connection_for, connections_of, syncs_of
from integrations.destinations import destination_named
from integrations.forecast import forecast
from integrations.models import Connection, Sync
from integrations.syncs import export_cohort


class ExportForm(forms.Form):
    """Where to, and how often."""

    connection: forms.ModelChoiceField[Connection] = forms.ModelChoiceField(
        Connection.objects.none(), empty_label=None, label="Connection"
    )
    mode = forms.ChoiceField(choices=Sync.Mode.choices, initial=Sync.Mode.ONE_TIME)

    def __init__(self, *args: object, connections: QuerySet[Connection], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["connection"].queryset = connections  # type: ignore[attr-defined]


@page(Action.SYNC)
def export(request: HttpRequest, actor: Actor, cohort_id: int) -> HttpResponseBase:
    """Ask where and how; on Begin Sync start, and show the sync at work."""
    cohort = cohort_for(actor, cohort_id)
    connections = connections_of(actor).filter(status=Connection.Status.CONNECTED).order_by("name", "id")
    refusal = ""
    if request.method == "POST":
        form = ExportForm(request.POST, connections=connections)
        if form.is_valid():
            try:
                return _begin(request, actor, cohort, form)
            except REFUSALS as error:
                refusal = sentence_of(error)
    else:
        form = ExportForm(connections=connections, initial={"connection": request.GET.get("connection")})
    return _show(request, actor, cohort, form, connections, refusal)


@page(Action.SYNC)
def show_forecast(request: HttpRequest, actor: Actor, cohort_id: int) -> HttpResponseBase:
    """Resolve the cohort and show what an export on `?connection=` would do; a part of the dialog."""
    cohort = cohort_for(actor, cohort_id)
    chosen = request.GET.get("connection", "")
    connection = connection_for(actor, int(chosen) if chosen.isdecimal() and len(chosen) < 19 else 0)
    return render(request, "cohorts/forecast.html", _forecast(cohort, connection))


def _begin(request: HttpRequest, actor: Actor, cohort: Cohort, form: ExportForm) -> HttpResponse:
    sync, _ = export_cohort(
        cohort=cohort,
        connection=form.cleaned_data["connection"],
        mode=form.cleaned_data["mode"],
        by=actor.user,
        now=timezone.now(),
    )
    messages.success(request, f"The export of {cohort.name} has begun.")
    return go(request, resolve_url("sync", actor.project.pk, sync.pk))


def _show(
    request: HttpRequest,
    actor: Actor,
    cohort: Cohort,
    form: ExportForm,
    connections: QuerySet[Connection],
    refusal: str,
) -> HttpResponse:
    offered = list(connections)
    connection = next((each for each in offered if str(each.pk) == str(form["connection"].value())), None)
    connection = connection or (offered[0] if offered else None)
    existing = syncs_of(actor).filter(cohort=cohort, connection=connection).first() if connection else None
    label = destination_named(connection.app.destination).label if connection else "OneSignal"
    context: dict[str, object] = {
        "section": "cohorts",
        "cohort": cohort,
        "form": form,
        "connections": offered,
        "connection": connection,
        "label": label,
        "existing": existing,
        "mode": form["mode"].value(),
        "interval_minutes": settings.SYNC_INTERVAL_MINUTES,
        "is_simplified": actor.project.id_merge == Project.IdMerge.SIMPLIFIED,
        "refusal": refusal,
    }
    # A dialog opens at once and asks for the numbers itself; a page without script has them in it.
    if connection and not is_dialog(request):
        context |= _forecast(cohort, connection)
    is_refused = bool(refusal) or (form.is_bound and not form.is_valid())
    return show_dialog(request, "cohorts/export.html", context, heading=f"Export to {label}", is_refused=is_refused)


def _forecast(cohort: Cohort, connection: Connection) -> dict[str, object]:
    known: dict[str, object] = {"cohort": cohort, "connection": connection, "forecast": None, "forecast_refusal": ""}
    try:
        return {**known, "forecast": forecast(cohort=cohort, connection=connection, now=timezone.now())}
    except REFUSALS as error:
        return {**known, "forecast_refusal": sentence_of(error)}


urlpatterns = [
    path("", export, name="cohort-export"),
    path("forecast/", show_forecast, name="cohort-forecast"),
]
