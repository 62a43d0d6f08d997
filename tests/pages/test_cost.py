"""What a page costs: its queries whatever the size of the project, and its time on the server with 100,000 people."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cohorts.arrivals import arrivals
from cohorts.models import Cohort, Membership, Project, Refusal, ServiceAccount, User
from cohorts.models.projects import Role
from cohorts.partitions import ensure_partitions
from cohorts.refusals import Reason
from integrations.models import Connection, Run
from tests.cast import make_connection, make_project, make_sync

PEOPLE = 100_000
MAX_SECONDS = 0.3
# Parts that the page asks for once it stands there: they resolve the cohort.
RESOLVING = {"cohort-coverage", "cohort-forecast", "cohort-members"}
MAX_RESOLVING_SECONDS = 1.0
IN_A_PAGE = {"HX-Request": "true"}
ACTIVE_PROS = {
    "match": "all",
    "groups": [
        {
            "conditions": [
                {"kind": "property", "property": "plan", "type": "string", "operator": "equals", "values": ["pro"]},
                {
                    "kind": "event",
                    "event": "App Opened",
                    "value": 2,
                    "window": {"type": "last", "unit": "day", "value": 30},
                },
            ]
        }
    ],
}


def fill(project: Project, *, people: int) -> None:
    """Store people, three in four with an id at OneSignal, and four events each in the last weeks."""
    now = timezone.now()
    ensure_partitions(moments=[now - dt.timedelta(days=day) for day in range(0, 60, 10)], now=now)
    values = {"project": project.pk, "people": people, "property": project.match_properties.get().pk}
    with database.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO cohorts_person (project_id, distinct_id, properties)
            SELECT %(project)s, 'user-' || n, jsonb_build_object('plan', CASE n %% 3 WHEN 0 THEN 'pro' ELSE 'free' END,
                '$name', 'User ' || n, '$email', 'user-' || n || '@example.com')
                || CASE n %% 4 WHEN 0 THEN '{}' ELSE jsonb_build_object('$onesignal_user_id', 'user-' || n) END
            FROM generate_series(1, %(people)s) AS n;
            INSERT INTO cohorts_distinctid (project_id, distinct_id, person_id)
            SELECT project_id, distinct_id, id FROM cohorts_person WHERE project_id = %(project)s;
            INSERT INTO cohorts_matchkey (project_id, match_property_id, value)
            SELECT %(project)s, %(property)s, distinct_id FROM cohorts_person
            WHERE project_id = %(project)s AND properties ? '$onesignal_user_id';
            -- Without numbers the planner may join the next two as if they were empty: minutes instead of a second.
            ANALYZE cohorts_person; ANALYZE cohorts_matchkey;
            INSERT INTO cohorts_personkey (project_id, match_property_id, person_id, match_key_id)
            SELECT %(project)s, %(property)s, person.id, key.id FROM cohorts_person AS person
            JOIN cohorts_matchkey AS key ON key.project_id = %(project)s AND key.value = person.distinct_id
            WHERE person.project_id = %(project)s;
            INSERT INTO cohorts_event (project_id, dedup_at, dedup_hash, occurred_at, received_at, person_id,
                content_hash, name, distinct_id, properties)
            SELECT %(project)s, at, gen_random_uuid(), at, at, person.id, 0, 'App Opened', person.distinct_id, '{}'
            FROM cohorts_person AS person, generate_series(1, 4) AS n,
            LATERAL (SELECT now() - make_interval(days => (n * 7 + person.id %% 7)::int)) AS moment(at)
            WHERE person.project_id = %(project)s;
            ANALYZE cohorts_person; ANALYZE cohorts_personkey; ANALYZE cohorts_matchkey; ANALYZE cohorts_event;
            """,
            values,
        )


def furnish(project: Project, owner: User, *, cohorts: int, syncs: int, runs: int) -> dict[str, Any]:
    """Store cohorts, the first ones exported, the first sync with runs; return the ids that pages are about."""
    connection = make_connection(project)
    made = Cohort.objects.bulk_create(
        Cohort(
            project=project,
            name=f"Cohort {n}",
            definition=ACTIVE_PROS,
            created_by=owner,
            count=1000,
            counted_at=timezone.now(),
        )
        for n in range(cohorts)
    )
    first, *_ = [make_sync(cohort, connection, delivered=1000) for cohort in made[:syncs]]
    Run.objects.bulk_create(
        Run(
            project=project,
            sync=first,
            trigger="schedule",
            status="succeeded",
            queued_at=timezone.now(),
            started_at=timezone.now(),
            finished_at=timezone.now(),
            as_of=timezone.now(),
        )
        for _ in range(runs)
    )
    Refusal.objects.bulk_create(
        Refusal(
            project=project,
            refused_date=timezone.now().date() - dt.timedelta(days=day),
            endpoint=endpoint,
            reason=reason,
            count=1_000_000,
            samples=[{"at": timezone.now().isoformat(), "message": "m" * 500, "record": "r" * 500}] * 20,
            last_at=timezone.now(),
        )
        for day in range(7 if runs > 1 else 1)
        for endpoint in ("/track", "/import", "/engage")
        for reason in Reason
    )
    ServiceAccount.objects.bulk_create(
        ServiceAccount(project=project, username=f"account {n} of {project.pk}", secret_hash="x") for n in range(syncs)
    )
    return {
        "event_key": arrivals(project=project, limit=1).shown[0].key,
        "project_id": project.pk,
        "cohort_id": made[0].pk,
        "connection_id": connection.pk,
        "sync_id": first.pk,
        "run_id": first.runs.latest("id").pk,
        "kind": "onesignal",
    }


# The page, the parameters of its address, how it is asked for, and how many queries it takes at most.
PAGES: Mapping[str, tuple[tuple[str, ...], str, Mapping[str, str], int]] = {
    "project": (("project_id",), "", {}, 12),
    "cohorts": (("project_id",), "", {}, 8),
    "cohort": (("project_id", "cohort_id"), "", {}, 7),
    "cohort-coverage": (("project_id", "cohort_id"), "", IN_A_PAGE, 16),
    "cohort-members": (("project_id", "cohort_id"), "", {}, 16),
    "cohort-new": (("project_id",), "", {}, 8),
    "cohort-edit": (("project_id", "cohort_id"), "", {}, 10),
    "cohort-export": (("project_id", "cohort_id"), "", IN_A_PAGE, 10),
    "cohort-forecast": (("project_id", "cohort_id"), "?connection={connection_id}", IN_A_PAGE, 24),
    "integrations": (("project_id",), "", {}, 10),
    "destination": (("project_id", "kind"), "", {}, 14),
    "sync": (("project_id", "sync_id"), "", {}, 20),
    "run": (("project_id", "run_id"), "", {}, 20),
    "events": (("project_id",), "", {}, 10),
    "events-live": (("project_id",), "?event=App+Opened&distinct_id=user-3", IN_A_PAGE, 10),
    "event": (("project_id", "event_key"), "", {}, 8),
    "data-health": (("project_id",), "", {}, 12),
    "settings": (("project_id",), "", {}, 10),
}


@pytest.fixture
def owner_of(log_in: Callable[[User], Client]) -> Callable[[Project], tuple[User, Client]]:
    def make(project: Project) -> tuple[User, Client]:
        user = User.objects.create_user(f"owner-{project.pk}@example.com", first_name="Olga")
        Membership.objects.create(project=project, user=user, role=Role.OWNER)
        return user, log_in(user)

    return make


def address(name: str, ids: Mapping[str, Any]) -> str:
    parameters, query, _, _ = PAGES[name]
    return reverse(name, kwargs={key: ids[key] for key in parameters}) + query.format(**ids)


def test_queries_do_not_grow_with_the_project(
    db: None, owner_of: Callable[[Project], tuple[User, Client]], django_assert_max_num_queries: Any
) -> None:
    small, large = make_project("Small"), make_project("Large")
    counted: dict[str, list[int]] = {name: [] for name in PAGES}
    for project, size in ((small, 1), (large, 40)):
        fill(project, people=10 * size)
        user, client = owner_of(project)
        ids = furnish(project, user, cohorts=2 * size, syncs=size, runs=size)
        for name, (_, _, headers, at_most) in PAGES.items():
            client.get(address(name, ids), headers=dict(headers))
            with django_assert_max_num_queries(at_most, info=name) as queries:
                answer = client.get(address(name, ids), headers=dict(headers))
            assert answer.status_code == 200, name
            counted[name].append(len(queries))
    assert {name: sizes for name, sizes in counted.items() if sizes[0] != sizes[1]} == {}


def test_every_page_answers_in_time_with_100_000_people(
    db: None, owner_of: Callable[[Project], tuple[User, Client]], record_property: Callable[[str, object], None]
) -> None:
    project = make_project("Large")
    fill(project, people=PEOPLE)
    user, client = owner_of(project)
    ids = furnish(project, user, cohorts=60, syncs=40, runs=60)
    Connection.objects.update(checked_at=timezone.now())
    seconds = {}
    for name, (_, _, headers, _) in PAGES.items():
        times = []
        for _ in range(4):
            started = time.perf_counter()
            answer = client.get(address(name, ids), headers=dict(headers))
            b"".join(answer) if answer.streaming else answer.content
            times.append(time.perf_counter() - started)
        # The fastest: what another process took from this one is not the page's cost.
        seconds[name] = min(times)
        record_property(name, round(seconds[name], 3))
    print({name: round(each, 3) for name, each in seconds.items()})
    limits = {name: MAX_RESOLVING_SECONDS if name in RESOLVING else MAX_SECONDS for name in PAGES}
    assert {name: each for name, each in seconds.items() if each > limits[name]} == {}
