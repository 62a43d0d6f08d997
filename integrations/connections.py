"""Connections: made, changed, checked, disconnected. A key is proved live before it is stored, never shown again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from django.conf import settings
from django.db import transaction

from cohorts.match_keys import DEFAULT_MATCH_PROPERTY, add_match_property
from cohorts.models import MatchProperty, Project, User
from cohorts.tasks import request_backfill
from integrations.accounts import SANDBOX_ADDRESS, account_of
from integrations.destinations import destination_named
from integrations.destinations.base import Account, Settings
from integrations.errors import Conflict, Invalid, Permanent, Temporary, Unreachable
from integrations.failures import fail_connection
from integrations.lease import revoke_lease
from integrations.models import Connection, DestinationApp, Ledger, Sync
from integrations.runs import cancel_open_runs
from integrations.segments import full_name
from integrations.syncs import lock_app, resume_sync
from integrations.tasks import request_pass

NAME_CHARACTERS = 255
PREFIX_CHARACTERS = 64
UNREACHABLE_PAUSE_SECONDS = 60.0


def connect(
    *,
    project: Project,
    destination: str,
    name: str,
    config: Mapping[str, object],
    credentials: Mapping[str, object],
    user_id_property: str | None,
    segment_prefix: str | None,
    max_requests_per_second: int | None,
    by: User | None,
    now: dt.datetime,
) -> Connection:
    """Prove the credentials at the destination and store the connection.

    Raises Invalid (naming the field, with the destination's words for a refused key) and Unreachable; nothing is
    stored then.
    """
    kind = destination_named(destination)
    given = kind.read_settings(config=config, credentials=credentials)
    fields = {
        "name": _name(name),
        "segment_prefix": _prefix("(CohortSync) " if segment_prefix is None else segment_prefix),
        "max_requests_per_second": _rate(max_requests_per_second, destination),
    }
    _prove(destination, given.account)
    with transaction.atomic():
        app, _ = DestinationApp.objects.get_or_create(
            destination=destination,
            base_url=SANDBOX_ADDRESS if given.is_sandbox else given.account.base_url,
            remote_id=given.account.remote_id,
        )
        return Connection.objects.create(
            project=project,
            app=app,
            is_sandbox=given.is_sandbox,
            match_property=_match_property(project, user_id_property),
            checked_at=now,
            created_by=by,
            **_credential(given.account.credential),
            **fields,
        )


def update_connection(
    *,
    connection: Connection,
    now: dt.datetime,
    name: str | None = None,
    config: Mapping[str, object] | None = None,
    credentials: Mapping[str, object] | None = None,
    user_id_property: str | None = None,
    segment_prefix: str | None = None,
    max_requests_per_second: int | None = None,
) -> Connection:
    """Change what is given; new credentials are proved first, and reconnect a disconnected connection.

    Raises Invalid (another App ID, another user ID property once members were exported, a refused key) and Unreachable.
    """
    destination = connection.app.destination
    given = _unchanged_app(connection, config or {}, credentials) if config or credentials else None
    if given and credentials:
        _prove(destination, given.account)
    with transaction.atomic():
        connection = _locked(connection)
        if name is not None:
            connection.name = _name(name)
        if max_requests_per_second is not None:
            connection.max_requests_per_second = _rate(max_requests_per_second, destination)
        if user_id_property is not None:
            _change_property(connection, user_id_property)
        if segment_prefix is not None and segment_prefix != connection.segment_prefix:
            connection.segment_prefix = _prefix(segment_prefix)
            _rename_segments(connection)
        if given and credentials:
            _reconnect(connection, given.account.credential, now)
        connection.save()
    request_pass(connection.app_id)
    return connection


def check_connection(*, connection: Connection, now: dt.datetime) -> Connection:
    """Prove the stored key again and keep the answer: a refusal pauses the syncs, an end of one resumes them.

    Raises Conflict (disconnected) and Unreachable (no answer).
    """
    if connection.status == Connection.Status.DISCONNECTED:
        raise Conflict("This connection is disconnected; give it credentials to check.")
    account = account_of(connection)
    refusal = ""
    client = destination_named(connection.app.destination).client(account)
    try:
        client.check()
    except Permanent as error:
        refusal = error.sentence
    except Temporary as error:
        raise Unreachable(error.sentence, error.retry_after_seconds or UNREACHABLE_PAUSE_SECONDS) from error
    finally:
        client.close()
    with transaction.atomic():
        connection = _locked(connection)
        if connection.status == Connection.Status.DISCONNECTED or connection.credential != account.credential:
            # Somebody disconnected it or changed the key meanwhile: the answer is about the past.
            return connection
        if refusal:
            fail_connection(connection=connection, sentence=refusal, now=now)
        elif connection.status == Connection.Status.ERROR:
            _reconnect(connection, account.credential, now)
        else:
            Connection.objects.filter(pk=connection.pk).update(checked_at=now)
        connection.refresh_from_db()
    return connection


def disconnect(*, connection: Connection, delete_segments: bool, now: dt.datetime) -> Connection:
    """Stop the connection's syncs and erase its credentials; the row stays, and so do the segments.

    With `delete_segments` every tag and segment goes first, and the credentials after the last removal is answered.
    """
    with transaction.atomic():
        connection = _locked(connection)
        sentence = f"The connection “{connection.name}” is disconnected. Reconnect it to go on."
        for sync in connection.syncs.select_for_update().order_by("id"):
            cancel_open_runs(sync=sync, sentence=sentence, now=now)
            if sync.status == Sync.Status.ACTIVE:
                sync.status, sync.paused_by = Sync.Status.PAUSED, Sync.PausedBy.DISCONNECT
                sync.pause_reason, sync.next_run_at = sentence, None
                sync.save(update_fields=["status", "paused_by", "pause_reason", "next_run_at"])
        connection.status, connection.error = Connection.Status.DISCONNECTED, ""
        connection.is_draining = delete_segments and bool(connection.credential)
        if connection.is_draining:
            connection.ledgers.filter(app=connection.app).update(is_draining=True, is_segment_doomed=True)
        else:
            connection.credential, connection.credential_hint = "", ""
        connection.save()
        revoke_lease(connection.app_id)
        request_pass(connection.app_id)
    return connection


def _locked(connection: Connection) -> Connection:
    """Lock the app's row, then the connection's: the order in which a pass takes them."""
    lock_app(connection.app_id)
    return Connection.objects.select_for_update(of=("self",)).select_related("app").get(pk=connection.pk)


def _reconnect(connection: Connection, credential: str, now: dt.datetime) -> None:
    for name, value in _credential(credential).items():
        setattr(connection, name, value)
    connection.status, connection.error, connection.checked_at = Connection.Status.CONNECTED, "", now
    connection.is_draining = False
    connection.save()
    # Whoever sends with the old key right now must not go on.
    revoke_lease(connection.app_id)
    # What was being taken back because of the disconnect stays; not so what a person is deleting, or a plan refused.
    back = connection.syncs.filter(deleting_at=None).exclude(paused_by=Sync.PausedBy.FAILURE)
    connection.ledgers.filter(sync__in=back).update(is_draining=False, is_segment_doomed=False)
    stopped_with_it = [Sync.PausedBy.DISCONNECT, Sync.PausedBy.CONNECTION]
    for sync in back.filter(status=Sync.Status.PAUSED, paused_by__in=stopped_with_it):
        resume_sync(sync=sync, now=now)


def _unchanged_app(
    connection: Connection, config: Mapping[str, object], credentials: Mapping[str, object] | None
) -> Settings:
    """Read what was entered for an existing connection, whose app cannot change (laws.md, L9)."""
    held: dict[str, object] = {"app_id": connection.app.remote_id, "sandbox": connection.is_sandbox}
    given = destination_named(connection.app.destination).read_settings(
        config={**held, **config}, credentials=credentials or {"api_key": "unchanged"}
    )
    if (given.account.remote_id, given.is_sandbox) != (connection.app.remote_id, connection.is_sandbox):
        raise Invalid(
            "config.app_id",
            "A connection's App ID cannot be changed, because its segments live in that app. "
            "Make another connection for the other app.",
        )
    return given


def _change_property(connection: Connection, user_id_property: str) -> None:
    if user_id_property == connection.match_property.name:
        return
    if Ledger.objects.filter(connection=connection).exists():
        raise Invalid(
            "user_id_property",
            f"Members were exported by {connection.match_property.name}; their ids cannot be exchanged under a live "
            "segment. Make another connection with the other property.",
        )
    connection.match_property = _match_property(connection.project, user_id_property)


def _rename_segments(connection: Connection) -> None:
    for sync in connection.syncs.select_related("cohort"):
        name = full_name(connection=connection, cohort_name=sync.cohort.name)
        Ledger.objects.filter(pk=sync.ledger_id).update(renamed_to=name)


def _match_property(project: Project, name: str | None) -> MatchProperty:
    name = DEFAULT_MATCH_PROPERTY if name is None else name
    if not name or len(name) > NAME_CHARACTERS or "\x00" in name:
        raise Invalid("user_id_property", "Give the name of a profile property, 1 to 255 characters.")
    match_property = add_match_property(project=project, name=name)
    if match_property.completed_at is None:
        transaction.on_commit(lambda: request_backfill(match_property.pk))
    return match_property


def _prove(destination: str, account: Account) -> None:
    client = destination_named(destination).client(account)
    try:
        client.check()
    except Permanent as error:
        raise Invalid("credentials.api_key", error.sentence) from error
    except Temporary as error:
        raise Unreachable(error.sentence, error.retry_after_seconds or UNREACHABLE_PAUSE_SECONDS) from error
    finally:
        client.close()


def _credential(key: str) -> dict[str, str]:
    return {"credential": key, "credential_hint": key[-4:] if len(key) >= 12 else ""}


def _name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > NAME_CHARACTERS or "\x00" in name:
        raise Invalid("name", "Give the connection a name of 1 to 255 characters.")
    return name


def _prefix(prefix: str) -> str:
    if len(prefix) > PREFIX_CHARACTERS or "\x00" in prefix:
        raise Invalid("segment_prefix", "Give a prefix of at most 64 characters, or none.")
    return prefix


def _rate(requested: int | None, destination: str) -> int:
    highest = destination_named(destination).max_requests_per_second
    rate = settings.DELIVERY_MAX_REQUESTS_PER_SECOND if requested is None else requested
    if not 1 <= rate <= highest:
        raise Invalid("max_requests_per_second", f"Give a number from 1 to {highest}, the destination's own limit.")
    return rate
