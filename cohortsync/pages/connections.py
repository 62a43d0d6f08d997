"""A connection's dialogs and commands: set up, settings, key, check, disconnect. The rules are in
`integrations/connections.py`; the fields are the destination's own (`integrations/destinations/forms.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from django import forms
from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.urls import path
from django.utils import timezone

from cohorts.access import Action, Actor
from cohorts.lexicon import profile_properties
from cohorts.match_keys import DEFAULT_MATCH_PROPERTY
from cohorts.models import Project
from cohortsync.pages.access import command, page
from cohortsync.pages.dialogs import go, show_dialog
from integrations.access import connection_for
from integrations.connections import check_connection, connect, disconnect, update_connection
from integrations.destinations import destinations
from integrations.destinations.base import Destination
from integrations.destinations.forms import ConnectionForm
from integrations.errors import Invalid, Unreachable
from integrations.models import Connection, Ledger, Sync


class DisconnectForm(forms.Form):
    """What becomes of the segments."""

    segments = forms.ChoiceField(choices=[("leave", "Leave"), ("delete", "Delete")], initial="leave")


@page(Action.CONNECT)
def set_up(request: HttpRequest, actor: Actor, kind: str) -> HttpResponseBase:
    """Ask for a new connection's settings, and store it once its key is proved."""
    if kind not in destinations():
        raise Http404(f"There is no destination {kind}.")
    destination = destinations()[kind]
    form = _form(request, destination)
    if form.is_valid():
        try:
            connection = connect(
                project=actor.project,
                destination=kind,
                name=form.cleaned_data["name"],
                config=form.config,
                credentials=form.credentials,
                user_id_property=form.cleaned_data["user_id_property"] or None,
                segment_prefix=form.cleaned_data["segment_prefix"],
                max_requests_per_second=form.cleaned_data["max_requests_per_second"],
                by=actor.user,
                now=timezone.now(),
            )
        except (Invalid, Unreachable) as error:
            _refuse(form, error)
        else:
            messages.success(request, f"Connected: {destination.label} accepts the key of “{connection.name}”.")
            return go(request, _address(connection))
    context = {
        "section": "integrations",
        "form": form,
        "destination": destination,
        "properties": profile_properties(actor.project),
        "is_simplified": actor.project.id_merge == Project.IdMerge.SIMPLIFIED,
        "origin": resolve_url("destination", actor.project.pk, kind),
    }
    return show_dialog(
        request,
        "integrations/set_up.html",
        context,
        heading=f"Set up {destination.label}",
        is_refused=bool(form.errors),
    )


@page(Action.CONNECT)
def change_settings(request: HttpRequest, actor: Actor, connection_id: int) -> HttpResponseBase:
    """Show a connection's settings, and change those that can be."""
    connection = connection_for(actor, connection_id)
    destination = destinations()[connection.app.destination]
    form = _form(
        request,
        destination,
        initial={
            "name": connection.name,
            "user_id_property": connection.match_property.name,
            "segment_prefix": connection.segment_prefix,
            "max_requests_per_second": connection.max_requests_per_second,
        },
    )
    form.keep(ConnectionForm.base_fields)
    form.require("user_id_property", "max_requests_per_second")
    if form.is_valid():
        try:
            connection = update_connection(connection=connection, now=timezone.now(), **form.cleaned_data)
        except (Invalid, Unreachable) as error:
            _refuse(form, error)
        else:
            messages.success(request, f"The settings of “{connection.name}” are saved.")
            return go(request, _address(connection))
    context = {
        **_about(connection, destination, form),
        "properties": profile_properties(actor.project),
        "is_simplified": actor.project.id_merge == Project.IdMerge.SIMPLIFIED,
    }
    return show_dialog(
        request, "integrations/settings.html", context, heading="Connection settings", is_refused=bool(form.errors)
    )


@page(Action.CONNECT)
def change_key(request: HttpRequest, actor: Actor, connection_id: int) -> HttpResponseBase:
    """Take a new key once it is proved; a disconnected connection is connected by it again."""
    connection = connection_for(actor, connection_id)
    destination = destinations()[connection.app.destination]
    is_disconnected = connection.status == Connection.Status.DISCONNECTED
    form = _form(request, destination)
    form.keep(form.credential_fields)
    if form.is_valid():
        try:
            connection = update_connection(connection=connection, now=timezone.now(), credentials=form.credentials)
        except (Invalid, Unreachable) as error:
            _refuse(form, error)
        else:
            beginning = "Connected again" if is_disconnected else "The key is changed"
            messages.success(request, f"{beginning}: {destination.label} accepts the new key of “{connection.name}”.")
            return go(request, _address(connection))
    context = {
        **_about(connection, destination, form),
        "is_disconnected": is_disconnected,
        "stopped": _stopped_with(connection),
    }
    heading = "Reconnect" if is_disconnected else "Rotate key"
    return show_dialog(request, "integrations/key.html", context, heading=heading, is_refused=bool(form.errors))


@command(Action.CONNECT)
def check(request: HttpRequest, actor: Actor, connection_id: int) -> HttpResponseBase:
    """Prove the stored key now and say what came of it."""
    connection = check_connection(connection=connection_for(actor, connection_id), now=timezone.now())
    if connection.status == Connection.Status.CONNECTED:
        label = destinations()[connection.app.destination].label
        messages.success(request, f"{label} accepts the key of “{connection.name}”.")
    else:
        messages.error(request, connection.error)
    return go(request, _address(connection))


@page(Action.CONNECT)
def disconnect_connection(request: HttpRequest, actor: Actor, connection_id: int) -> HttpResponseBase:
    """Ask what becomes of the segments, and disconnect."""
    connection = connection_for(actor, connection_id)
    destination = destinations()[connection.app.destination]
    if connection.status == Connection.Status.DISCONNECTED and not connection.is_draining:
        messages.info(request, f"“{connection.name}” is disconnected.")
        return go(request, _address(connection))
    form = DisconnectForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        return _disconnect(request, connection, is_deleting=form.cleaned_data["segments"] == "delete")
    segments = connection.ledgers.filter(is_draining=True) if connection.is_draining else _held_by(connection)
    context = {
        **_about(connection, destination, form),
        "active_syncs": connection.syncs.filter(status=Sync.Status.ACTIVE, deleting_at=None).count(),
        "segments": segments.count(),
        # A key that is refused can take nothing back.
        "can_delete": connection.status == Connection.Status.CONNECTED,
    }
    heading = "Stop removing segments" if connection.is_draining else "Disconnect"
    return show_dialog(request, "integrations/disconnect.html", context, heading=heading, is_refused=bool(form.errors))


def _disconnect(request: HttpRequest, connection: Connection, *, is_deleting: bool) -> HttpResponse:
    is_deleting = is_deleting and not connection.is_draining and connection.status == Connection.Status.CONNECTED
    connection = disconnect(connection=connection, delete_segments=is_deleting, now=timezone.now())
    what_follows = "its segments are being removed" if connection.is_draining else "its segments stay as they are"
    messages.success(request, f"“{connection.name}” is disconnected; {what_follows}.")
    return go(request, _address(connection))


def _form(
    request: HttpRequest, destination: Destination, *, initial: Mapping[str, object] | None = None
) -> ConnectionForm:
    return destination.form_class(
        request.POST if request.method == "POST" else None,
        initial=initial,
        usual_property=DEFAULT_MATCH_PROPERTY,
        highest_rate=destination.max_requests_per_second,
    )


def _refuse(form: ConnectionForm, error: Invalid | Unreachable) -> None:
    form.refuse(error.field if isinstance(error, Invalid) else "", error.sentence)


def _about(connection: Connection, destination: Destination, form: forms.Form) -> dict[str, object]:
    return {
        "section": "integrations",
        "connection": connection,
        "destination": destination,
        "form": form,
        "origin": _address(connection),
    }


def _held_by(connection: Connection) -> QuerySet[Ledger]:
    """Return the ledgers of which something is known to be over there."""
    return connection.ledgers.filter(Q(segment_seen_at__isnull=False) | Q(delivered_count__gt=0))


def _stopped_with(connection: Connection) -> int:
    """Return how many syncs a new key starts again (`integrations/connections.py`)."""
    reasons = [Sync.PausedBy.DISCONNECT, Sync.PausedBy.CONNECTION]
    stopped = connection.syncs.filter(status=Sync.Status.PAUSED, paused_by__in=reasons, deleting_at=None)
    return stopped.count()


def _address(connection: Connection) -> str:
    """Return the page on which the connection is open."""
    page_of_kind = resolve_url("destination", connection.project_id, connection.app.destination)
    return f"{page_of_kind}?connection={connection.pk}"


urlpatterns = [
    path("integrations/<slug:kind>/connect/", set_up, name="connection-new"),
    path("connections/<int:connection_id>/settings/", change_settings, name="connection-settings"),
    path("connections/<int:connection_id>/key/", change_key, name="connection-key"),
    path("connections/<int:connection_id>/check/", check, name="connection-check"),
    path("connections/<int:connection_id>/disconnect/", disconnect_connection, name="connection-disconnect"),
]
