"""The wire as the tests use it: SDK-shaped records, and what came of them in the database."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from django.test import Client

from cohorts.access import hash_secret
from cohorts.models import (
    DistinctId,
    Event,
    GroupProfile,
    MatchKey,
    Person,
    PersonKey,
    Project,
    Refusal,
    ServiceAccount,
)

SECRET = "a secret of thirty-two bytes or so"


def event(project: Project, name: str = "Purchase", **properties: Any) -> dict[str, Any]:
    """Return an event as an SDK makes it; `insert_id` stands for `$insert_id`."""
    if "insert_id" in properties:
        properties["$insert_id"] = properties.pop("insert_id")
    return {"event": name, "properties": {"token": project.token, "distinct_id": "ann", **properties}}


def update(project: Project, distinct_id: str = "ann", **operations: Any) -> dict[str, Any]:
    """Return a profile update; `set={...}` stands for `$set`, and so on."""
    return {
        "$token": project.token,
        "$distinct_id": distinct_id,
        **{f"${name}": value for name, value in operations.items()},
    }


def basic(username: str, secret: str = "") -> dict[str, str]:
    """Return the header of HTTP Basic, for Django's client."""
    return {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(f"{username}:{secret}".encode()).decode()}


def account_of(project: Project, *, role: str = "admin", expires_at: dt.datetime | None = None) -> dict[str, str]:
    """Store a service account and return the header it sends."""
    account = ServiceAccount.objects.create(
        project=project,
        username=f"importer-{ServiceAccount.objects.count()}-{project.pk}",
        secret_hash=hash_secret(SECRET),
        role=role,
        expires_at=expires_at,
    )
    return basic(account.username, SECRET)


def send(
    client: Client, path: str, records: Sequence[Mapping[str, Any]] | Mapping[str, Any] | bytes, **extra: Any
) -> tuple[int, bytes]:
    """Post records as JSON, or a body as it is; return the status and the body of the answer."""
    body = records if isinstance(records, bytes) else orjson.dumps(records)
    response = client.post(path, body, content_type="application/json", **extra)
    return response.status_code, response.content


def stored(project: Project) -> list[Event]:
    """Return the project's events in the order of their names and times."""
    return list(Event.objects.filter(project=project).order_by("name", "dedup_at", "insert_id"))


def profile(project: Project, distinct_id: str) -> dict[str, Any]:
    """Return the profile that an id leads to."""
    properties: dict[str, Any] = person(project, distinct_id).properties
    return properties


def person(project: Project, distinct_id: str) -> Person:
    """Return the person that an id leads to."""
    return DistinctId.objects.select_related("person").get(project=project, distinct_id=distinct_id).person


def people(project: Project) -> dict[str, dict[str, Any]]:
    """Return the profiles by canonical id."""
    return dict(Person.objects.filter(project=project).values_list("distinct_id", "properties"))


def ids_of(project: Project, distinct_id: str) -> list[str]:
    """Return all ids of the person behind one."""
    owner = person(project, distinct_id)
    return sorted(owner.distinct_ids.values_list("distinct_id", flat=True))


def keys(project: Project) -> dict[str, str | None]:
    """Return the match key's value by canonical id, of the persons who have one or an invalid one (None)."""
    values = dict(MatchKey.objects.filter(project=project).values_list("id", "value"))
    return {
        row.person.distinct_id: values[row.match_key_id] if row.match_key_id else None
        for row in PersonKey.objects.filter(project=project).select_related("person")
    }


def group_update(project: Project, group_id: str = "acme", **operations: Any) -> dict[str, Any]:
    """Return an update of a company's profile; `set={...}` stands for `$set`, and so on."""
    return {
        "$token": project.token,
        "$group_key": "company",
        "$group_id": group_id,
        **{f"${name}": value for name, value in operations.items()},
    }


def groups(project: Project) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the group profiles by key and id."""
    rows = GroupProfile.objects.filter(project=project).values_list("group_key", "group_id", "properties")
    return {(group_key, group_id): properties for group_key, group_id, properties in rows}


def refused(project: Project) -> dict[str, int]:
    """Return how many records were refused, by reason."""
    return dict(Refusal.objects.filter(project=project).values_list("reason", "count"))
