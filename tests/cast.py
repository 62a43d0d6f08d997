"""The named cast of the tests: a project, its people, a cohort, a connection to the sandbox.

Rows are made directly, so that a test of one step does not lean on another step's code.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection as database
from django.utils import timezone

from cohorts.models import Cohort, MatchProperty, Person, Project
from integrations.models import Connection, DestinationApp, Ledger, Sync

MATCH_PROPERTY = "$onesignal_user_id"


def make_project(name: str = "Shop", *, id_merge: str = "original") -> Project:
    """Store a project whose match property is complete."""
    project = Project.objects.create(name=name, id_merge=id_merge)
    MatchProperty.objects.create(project=project, name=MATCH_PROPERTY, completed_at=timezone.now())
    return project


def make_people(
    project: Project, people: Mapping[str, Mapping[str, Any]], *, match_property: str = MATCH_PROPERTY
) -> None:
    """Store persons by distinct_id with their properties; a string in the match property becomes their key."""
    prop = MatchProperty.objects.get(project=project, name=match_property)
    with database.cursor() as cursor:
        for distinct_id, properties in people.items():
            cursor.execute(
                "INSERT INTO cohorts_person (project_id, distinct_id, properties) VALUES (%s, %s, %s) RETURNING id",
                [project.pk, distinct_id, json.dumps(dict(properties))],
            )
            person_id = cursor.fetchone()[0]
            cursor.execute(
                "INSERT INTO cohorts_distinctid (project_id, distinct_id, person_id) VALUES (%s, %s, %s)",
                [project.pk, distinct_id, person_id],
            )
            if isinstance(value := properties.get(match_property), str):
                give_key(project, prop, person_id, value)


def give_key(project: Project, match_property: MatchProperty, person_id: int, value: str) -> int:
    """Point a person at the key of a value, made when it is new; return the key's id."""
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO cohorts_matchkey (project_id, match_property_id, value) VALUES (%s, %s, %s) "
            "ON CONFLICT (project_id, match_property_id, value) DO UPDATE SET value = EXCLUDED.value RETURNING id",
            [project.pk, match_property.pk, value],
        )
        key_id: int = cursor.fetchone()[0]
        cursor.execute(
            "INSERT INTO cohorts_personkey (project_id, match_property_id, person_id, match_key_id) "
            "VALUES (%s, %s, %s, %s) ON CONFLICT (project_id, match_property_id, person_id) "
            "DO UPDATE SET match_key_id = EXCLUDED.match_key_id",
            [project.pk, match_property.pk, person_id, key_id],
        )
    return key_id


def shoppers(ids: Iterable[str], **properties: Any) -> dict[str, dict[str, Any]]:
    """Return people whose distinct_id is their id at OneSignal too."""
    return {each: {MATCH_PROPERTY: each, **properties} for each in ids}


def set_property(project: Project, distinct_ids: Iterable[str], name: str, value: Any) -> None:
    """Change one property of these persons, as an ingested profile update would."""
    for person in Person.objects.filter(project=project, distinct_id__in=list(distinct_ids)):
        person.properties[name] = value
        Person.objects.filter(project=project, pk=person.pk).update(properties=person.properties)


def property_definition(name: str = "plan", value: str = "pro") -> dict[str, Any]:
    """Return the definition of everybody whose property equals a value."""
    condition = {"kind": "property", "property": name, "type": "string", "operator": "equals", "values": [value]}
    return {"match": "all", "groups": [{"match": "all", "conditions": [condition]}]}


def make_cohort(project: Project, name: str = "Pro users", definition: Mapping[str, Any] | None = None) -> Cohort:
    """Store a cohort of everybody whose plan is pro, or of another definition."""
    return Cohort.objects.create(
        project=project, name=name, definition=dict(definition) if definition else property_definition()
    )


def make_connection(project: Project) -> Connection:
    """Store a connection to an app at an address where nobody listens."""
    app = DestinationApp.objects.create(
        destination="onesignal", base_url="http://127.0.0.1:1", remote_id=str(uuid.uuid4())
    )
    return Connection.objects.create(
        project=project,
        app=app,
        name="CRM",
        credential="key",
        match_property=MatchProperty.objects.get(project=project),
        max_requests_per_second=100,
    )


def make_sync(
    cohort: Cohort, connection: Connection | None = None, *, mode: str = "dynamic", delivered: int = 0
) -> Sync:
    """Store a sync of the cohort that never ran, on the connection or one to nobody."""
    connection = connection or make_connection(cohort.project)
    ledger = Ledger.objects.create(
        project=cohort.project,
        connection=connection,
        app=connection.app,
        cohort_id=cohort.pk,
        tag=f"cs_{cohort.pk:012d}",
        segment_id=uuid.uuid4(),
        segment_name=f"(CohortSync) {cohort.name}",
        delivered_count=delivered,
    )
    return Sync.objects.create(project=cohort.project, cohort=cohort, connection=connection, ledger=ledger, mode=mode)


def at(text: str) -> dt.datetime:
    """Return a moment in UTC from ISO 8601."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
