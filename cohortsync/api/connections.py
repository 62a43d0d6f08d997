"""`connections`: a project's credentials for a destination. All rules are in `integrations/connections.py`.

No answer holds a credential; the settings that were entered come back without it.
"""

from __future__ import annotations

import datetime as dt

from django.http import HttpRequest
from django.utils import timezone
from ninja import Field, Query, Router, Schema, Status
from pydantic import ConfigDict, StrictInt

from cohorts.access import Action
from cohortsync.api.auth import actor_of, may
from cohortsync.api.paging import PageOut, PageQuery, page_by_id
from integrations.access import connection_for, connections_of
from integrations.connections import check_connection, connect, disconnect, update_connection
from integrations.models import Connection

router = Router(tags=["connections"])


class ConnectionIn(Schema):
    """A new connection. The credentials are tried at the destination before anything is stored."""

    model_config = ConfigDict(extra="forbid")

    destination: str = Field(..., description="`onesignal`")
    name: str = Field(..., min_length=1, max_length=255)
    config: dict[str, object] = Field(..., description='`{"app_id", "sandbox"?}`')
    credentials: dict[str, str] = Field(..., description='`{"api_key"}`; never shown again.')
    user_id_property: str | None = Field(
        None, min_length=1, max_length=255, description="The profile property that holds the id over there."
    )
    segment_prefix: str | None = Field(None, max_length=64, description="Goes before the cohort's name.")
    max_requests_per_second: StrictInt | None = Field(None, ge=1, le=1000)


class ConnectionPatch(Schema):
    """What to change; fields left out stay. Credentials reconnect a disconnected connection and resume its syncs."""

    model_config = ConfigDict(extra="forbid")

    # The defaults are never read: what is not sent is not changed, and null is refused.
    name: str = Field(default_factory=str, min_length=1, max_length=255)
    config: dict[str, object] = Field(default_factory=dict)
    credentials: dict[str, str] = Field(default_factory=dict)
    user_id_property: str = Field(default_factory=str, min_length=1, max_length=255)
    segment_prefix: str = Field(default_factory=str, max_length=64)
    max_requests_per_second: StrictInt = Field(default_factory=int, ge=1, le=1000)


class ConnectionOut(Schema):
    """A connection, without its credentials."""

    id: int
    destination: str
    name: str
    config: dict[str, object]
    user_id_property: str
    segment_prefix: str
    max_requests_per_second: int
    status: str = Field(..., description="`connected`, `error` or `disconnected`")
    error: str | None
    checked_at: dt.datetime | None
    syncs: list[int]


@router.get("connections", response=PageOut[ConnectionOut], summary="List connections")
def list_connections(request: HttpRequest, page: Query[PageQuery]) -> PageOut[ConnectionOut]:
    """The project's connections by id, disconnected ones included."""
    actor = actor_of(request)
    rows, following = page_by_id(connections_of(actor), page=page, listing=f"{actor.project.pk}:connections")
    return PageOut[ConnectionOut](results=[_answer(connection) for connection in rows], next=following)


@router.post("connections", response={201: ConnectionOut}, auth=may(Action.CONNECT), summary="Connect a destination")
def post_connection(request: HttpRequest, body: ConnectionIn) -> Status[ConnectionOut]:
    """A refused credential is a 422 with the destination's reason, an unreachable destination a 503; none is stored."""
    actor = actor_of(request)
    connection = connect(
        project=actor.project,
        destination=body.destination,
        name=body.name,
        config=body.config,
        credentials=body.credentials,
        user_id_property=body.user_id_property,
        segment_prefix=body.segment_prefix,
        max_requests_per_second=body.max_requests_per_second,
        by=actor.user,
        now=timezone.now(),
    )
    return Status(201, _answer(connection))


@router.get("connections/{int:connection_id}", response=ConnectionOut, summary="Read a connection")
def get_connection(request: HttpRequest, connection_id: int) -> ConnectionOut:
    """The settings and whether the destination accepts them, as of `checked_at`."""
    return _answer(connection_for(actor_of(request), connection_id))


@router.patch(
    "connections/{int:connection_id}",
    response=ConnectionOut,
    auth=may(Action.CONNECT),
    summary="Change a connection",
)
def patch_connection(request: HttpRequest, connection_id: int, body: ConnectionPatch) -> ConnectionOut:
    """The App ID cannot be changed: make another connection for another app."""
    connection = connection_for(actor_of(request), connection_id)
    return _answer(update_connection(connection=connection, now=timezone.now(), **body.dict(exclude_unset=True)))


@router.delete(
    "connections/{int:connection_id}", response={202: ConnectionOut}, auth=may(Action.CONNECT), summary="Disconnect"
)
def delete_connection(request: HttpRequest, connection_id: int, delete_segments: bool = False) -> Status[ConnectionOut]:
    """Its syncs stop and the credentials are erased; the segments stay, or go first with `delete_segments=true`."""
    connection = connection_for(actor_of(request), connection_id)
    return Status(202, _answer(disconnect(connection=connection, delete_segments=delete_segments, now=timezone.now())))


@router.post(
    "connections/{int:connection_id}/check",
    response=ConnectionOut,
    auth=may(Action.CONNECT),
    summary="Try the credentials now",
)
def check(request: HttpRequest, connection_id: int) -> ConnectionOut:
    """The answer's `status` and `error` say what the destination said."""
    connection = connection_for(actor_of(request), connection_id)
    return _answer(check_connection(connection=connection, now=timezone.now()))


def _answer(connection: Connection) -> ConnectionOut:
    return ConnectionOut(
        id=connection.pk,
        destination=connection.app.destination,
        name=connection.name,
        config={"app_id": connection.app.remote_id, "sandbox": connection.is_sandbox},
        user_id_property=connection.match_property.name,
        segment_prefix=connection.segment_prefix,
        max_requests_per_second=connection.max_requests_per_second,
        status=connection.status,
        error=connection.error or None,
        checked_at=connection.checked_at,
        syncs=[sync.pk for sync in connection.syncs.all()],
    )
