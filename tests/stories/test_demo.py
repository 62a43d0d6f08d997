"""The demo: an empty project becomes one from which a newcomer fills a segment, and stays theirs from then on."""

from __future__ import annotations

import datetime as dt
import io
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from cohorts.counting import default_match_property
from cohorts.definition import parse_definition
from cohorts.models import Cohort, Event, Person, Project
from cohorts.projects import bootstrap
from cohorts.resolve import member_page, resolve, snapshot
from cohortsync.demo.filling import Filled, app_id_of, fill_project
from cohortsync.demo.people import COUNTS, PEOPLE, Reach, ids_known_to_onesignal, people
from cohortsync.demo.visits import make_up
from cohortsync.standalone.demo import DEMO_EMAIL, DEMO_PROJECT
from integrations.connections import check_connection
from integrations.destinations.onesignal.sandbox.control import SandboxControl
from integrations.models import Connection, Run, Sync
from tests.cast import make_people
from tests.sandbox_app import SandboxApp
from tests.sync.stories import export

NOTHING = Filled(people=0, events=0, cohorts=0, is_connection_new=False, is_app_new=False)
EVERYBODY = {
    "match": "any",
    "groups": [
        {"conditions": [{"kind": "property", "property": "$email", "type": "string", "operator": "is_set"}]},
        {"conditions": [{"kind": "event", "event": "$any_event", "window": {"type": "all_time"}}]},
    ],
}


@pytest.fixture
def project(transactional_db: None, onesignal: SandboxApp) -> Project:
    """The project that `up` makes, while the sandbox answers."""
    return bootstrap(
        email=DEMO_EMAIL,
        project_name=DEMO_PROJECT,
        timezone=None,
        id_merge=None,
        is_staff=True,
        is_rotating=False,
        now=timezone.now(),
    ).project


def fill(project: Project) -> Filled:
    return fill_project(project=project, now=timezone.now())


def demo(project_id: int) -> str:
    """Return what the command says."""
    stdout = io.StringIO()
    call_command("demo", "--project", str(project_id), stdout=stdout)
    return stdout.getvalue()


def amounts(project: Project) -> dict[str, int]:
    kinds: list[Any] = [Person, Event, Cohort, Connection, Sync]
    return {kind.__name__: kind.objects.filter(project=project).count() for kind in kinds}


def over_there(connection: Connection, path: str) -> Any:
    """Return what the sandbox's control endpoints show of the connection's app."""
    answer = requests.get(f"{settings.SANDBOX_URL}/_control/apps/{connection.app.remote_id}{path}", timeout=5)
    answer.raise_for_status()
    return answer.json()


def lose_app(onesignal: SandboxApp, project: Project) -> None:
    requests.delete(f"{onesignal.url}/_control/apps/{app_id_of(project)}", timeout=5).raise_for_status()


def matched_values(cohort: Cohort) -> set[str]:
    with snapshot() as as_of:
        members = member_page(
            project=cohort.project,
            definition=parse_definition(cohort.definition),
            as_of=as_of,
            match_property=default_match_property(cohort.project),
            after=None,
            limit=PEOPLE,
        ).members
    return {member.match_key for member in members if member.match_key is not None}


def test_an_empty_project_gets_people_of_every_kind_and_cohorts_with_sizes(project: Project) -> None:
    filled = fill(project)

    assert (filled.people, filled.cohorts, filled.is_connection_new, filled.is_app_new) == (PEOPLE, 5, True, True)
    assert 15_000 < filled.events < 30_000
    assert amounts(project) == {"Person": 2000, "Event": filled.events, "Cohort": 5, "Connection": 1, "Sync": 0}
    with snapshot() as as_of:
        everybody = resolve(
            project=project,
            definition=parse_definition(EVERYBODY),
            match_property=default_match_property(project),
            as_of=as_of,
        ).coverage
    assert everybody.members == PEOPLE
    assert everybody.anonymous == COUNTS[Reach.ANONYMOUS]
    assert everybody.without_match_property == COUNTS[Reach.WITHOUT_ID]
    assert everybody.invalid_id == COUNTS[Reach.INVALID_ID]
    assert everybody.matched_keys == everybody.matched_profiles - 1
    for cohort in Cohort.objects.filter(project=project):
        assert cohort.count is not None, cohort.name
        assert 20 <= cohort.count <= 400, f"{cohort.name}: {cohort.count}"
        assert cohort.visibility == "project"
        assert cohort.description
        assert cohort.created_by is not None
        assert cohort.created_by.get_full_name() == "Dana Demo"


def test_exporting_a_demo_cohort_fills_its_segment_with_those_whom_onesignal_knows(project: Project) -> None:
    fill(project)
    connection = Connection.objects.get(project=project)
    cohort = Cohort.objects.get(project=project, name="Pro users active this week")
    wanted = matched_values(cohort)
    known = wanted & set(ids_known_to_onesignal())

    sync, run = export(cohort, connection)

    assert run.status == Run.Status.SUCCEEDED
    users = over_there(connection, f"/segments/{sync.ledger.segment_id}/users")["external_ids"]
    assert set(users) == known
    assert run.unmatched == len(wanted - known) > 0
    # Two of them share an id.
    assert (run.members, run.matched_keys) == (cohort.count, len(wanted))
    assert run.matched_profiles == len(wanted) + 1


def test_a_second_time_nothing_is_added_and_what_somebody_removed_stays_away(project: Project) -> None:
    assert "has a demo now: 2,000 people" in demo(project.pk)
    Cohort.objects.filter(project=project, name="Abandoned carts").delete()
    Connection.objects.filter(project=project).update(name="Mine now")
    before = amounts(project)

    assert demo(project.pk) == f"Project {project.pk} (Demo) has the demo already; nothing was added.\n"

    assert fill(project) == NOTHING
    assert amounts(project) == before
    assert Connection.objects.get(project=project).name == "Mine now"


def test_a_sandbox_that_lost_its_state_gets_the_app_back_with_the_key_that_is_stored_here(
    project: Project, onesignal: SandboxApp
) -> None:
    fill(project)
    connection = Connection.objects.get(project=project)
    lose_app(onesignal, project)
    before = amounts(project)

    assert "has it again with its users" in demo(project.pk)

    assert check_connection(connection=connection, now=timezone.now()).status == Connection.Status.CONNECTED
    app = over_there(connection, "")
    assert (app["users"], app["api_key"]) == (len(ids_known_to_onesignal()), connection.credential)
    assert amounts(project) == before
    assert fill(project) == NOTHING


def test_a_connection_that_is_gone_is_made_again_with_the_key_of_the_app_that_is_there(project: Project) -> None:
    fill(project)
    kept = Connection.objects.get(project=project)
    key = kept.credential
    kept.delete()

    filled = fill(project)

    assert (filled.is_connection_new, filled.is_app_new, filled.people) == (True, False, 0)
    assert Connection.objects.get(project=project).credential == key


def test_a_project_with_people_of_its_own_is_left_alone(project: Project, onesignal: SandboxApp) -> None:
    make_people(project, {"ann": {"plan": "pro"}})

    with pytest.raises(CommandError, match="holds people or events of its own: no demo was added"):
        demo(project.pk)

    assert amounts(project) == {"Person": 1, "Event": 0, "Cohort": 0, "Connection": 0, "Sync": 0}
    assert requests.get(f"{onesignal.url}/_control/apps/{app_id_of(project)}", timeout=5).status_code == 404


@pytest.mark.parametrize(
    ("url", "sentence"),
    [(None, "This installation has no OneSignal sandbox"), ("http://127.0.0.1:1", "The sandbox does not answer at")],
)
def test_without_a_sandbox_nothing_is_made_and_a_sentence_says_so(
    project: Project, settings: Any, url: str | None, sentence: str
) -> None:
    settings.SANDBOX_URL = url

    with pytest.raises(CommandError, match=sentence):
        demo(project.pk)

    assert amounts(project) == {"Person": 0, "Event": 0, "Cohort": 0, "Connection": 0, "Sync": 0}


def test_a_demo_that_cannot_be_finished_leaves_nothing_behind_and_is_made_the_next_time(
    project: Project, onesignal: SandboxApp
) -> None:
    with SandboxControl(onesignal.url) as sandbox:
        app = sandbox.make_app(app_id_of(project), name="Shop", plan="growth", api_key=None)
    faults = f"{onesignal.url}/_control/apps/{app.app_id}/faults"
    requests.put(faults, json={"rate": {"status": 503, "share": 1}}, timeout=5).raise_for_status()

    with pytest.raises(CommandError, match="503"):
        demo(project.pk)
    assert amounts(project) == {"Person": 0, "Event": 0, "Cohort": 0, "Connection": 0, "Sync": 0}

    requests.put(faults, json={}, timeout=5).raise_for_status()
    assert fill(project).people == PEOPLE


def test_two_at_once_make_one_demo(project: Project) -> None:
    def run(_: int) -> Filled:
        try:
            return fill(project)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(run, range(2))

    assert {one.people, other.people} == {0, PEOPLE}
    assert amounts(project) == {
        "Person": PEOPLE,
        "Event": one.events + other.events,
        "Cohort": 5,
        "Connection": 1,
        "Sync": 0,
    }


@pytest.mark.parametrize("day", range(7))
def test_on_any_day_the_past_leads_up_to_now_and_weekends_are_busier(day: int) -> None:
    now = dt.datetime(2027, 3, 1 + day, 3 * day, 5, tzinfo=dt.UTC)
    updates, events = make_up(now=now)

    assert (updates, events) == make_up(now=now)
    assert len(updates) == PEOPLE - COUNTS[Reach.ANONYMOUS]
    assert all(now - dt.timedelta(days=61) < event.occurred_at <= now for event in events)
    assert len({event.insert_id for event in events}) == len(events)
    strangers = {person.distinct_id for person in people() if person.reach is Reach.ANONYMOUS}
    assert strangers <= {event.distinct_id for event in events}
    by_weekday = Counter(event.occurred_at.weekday() for event in events)
    assert min(by_weekday[5], by_weekday[6]) > max(by_weekday[0], by_weekday[1])
