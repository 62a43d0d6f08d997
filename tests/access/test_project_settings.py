"""A project's settings and service accounts: what can be changed, by whom, and what is fixed once there is data."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from cohorts.access import NotFound, authenticate_service_account, roles_up_to
from cohorts.ingest import ingest_events
from cohorts.messages import IncomingEvent
from cohorts.models import Project, ServiceAccount
from cohorts.models.projects import Role
from cohorts.projects import (
    InvalidProject,
    create_service_account,
    delete_service_account,
    service_account_for,
    update_project,
    username_for,
)
from cohorts.transactions import hold_project
from tests.cast import make_people, make_project


@pytest.fixture
def shop(db: None) -> Project:
    return make_project("Shop")


def change(project: Project, **changes: str) -> Project:
    known = {"name": project.name, "timezone": project.timezone, "id_merge": project.id_merge}
    return update_project(project=project, **{**known, **changes})


def event_of(name: str) -> IncomingEvent:
    now = timezone.now()
    return IncomingEvent(name=name, distinct_id="ann", sent_at=now, occurred_at=now, insert_id="1", properties={})


def test_name_timezone_and_id_merge_of_an_empty_project_can_be_changed(shop: Project) -> None:
    change(shop, name="Store", timezone="Europe/Berlin", id_merge="simplified")
    shop.refresh_from_db()
    assert (shop.name, shop.timezone, shop.id_merge) == ("Store", "Europe/Berlin", "simplified")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"timezone": "Mars/Olympus"}, "'Mars/Olympus' is not an IANA timezone"),
        ({"name": ""}, "cannot be blank"),
        ({"id_merge": "none"}, "not a valid choice"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_and_nothing_changes(
    shop: Project, changes: dict[str, str], sentence: str
) -> None:
    with pytest.raises(InvalidProject, match=sentence):
        change(shop, **changes)
    shop.refresh_from_db()
    assert (shop.name, shop.timezone, shop.id_merge) == ("Shop", "UTC", "original")


def send_an_event(project: Project) -> None:
    ingest_events(project=project, events=[event_of("A")], now=timezone.now())


@pytest.mark.parametrize("fill", [lambda project: make_people(project, {"ann": {}}), send_an_event])
def test_the_id_merge_is_fixed_once_somebody_or_something_came_in(
    shop: Project, fill: Callable[[Project], None]
) -> None:
    fill(shop)
    with pytest.raises(InvalidProject, match="it stays Original ID merge"):
        change(shop, id_merge="simplified")
    assert change(shop, name="Store").name == "Store"


@pytest.mark.django_db(transaction=True)
def test_the_first_event_and_a_change_of_the_mode_exclude_each_other() -> None:
    project = make_project("Shop")
    outcome: list[str] = []

    def switch() -> None:
        try:
            change(project, id_merge="simplified")
        except InvalidProject:
            outcome.append("refused")
        else:
            outcome.append("changed")
        finally:
            database.close()

    with transaction.atomic(), database.cursor() as cursor:
        hold_project(cursor, project_id=project.pk, is_writing_keys=False)
        waiting = threading.Thread(target=switch)
        waiting.start()
        waiting.join(0.5)
        # It waits for the request that is being stored.
        assert outcome == []
        ingest_events(project=project, events=[event_of("A")], now=timezone.now())
    waiting.join(10)
    assert outcome == ["refused"]
    project.refresh_from_db()
    assert project.id_merge == "original"


def test_a_username_is_the_words_and_a_random_end(db: None) -> None:
    first, second = username_for("Nightly import, für Österreich!"), username_for("Nightly import, für Österreich!")
    assert first.startswith("nightly-import-fur-osterreich.")
    assert first != second
    assert username_for("日本").startswith("account.")
    assert len(username_for("x" * 500)) <= 128


def test_a_deleted_service_account_opens_nothing(shop: Project) -> None:
    now = timezone.now()
    account, secret = create_service_account(project=shop, username="importer", role="admin", now=now)
    assert authenticate_service_account(username="importer", secret=secret, now=now) == account
    assert secret not in str(ServiceAccount.objects.values().get())
    delete_service_account(account=account)
    assert authenticate_service_account(username="importer", secret=secret, now=now) is None


def test_a_service_account_of_another_project_is_not_found(shop: Project) -> None:
    account, _ = create_service_account(project=shop, username="importer", role="admin", now=timezone.now())
    assert service_account_for(project=shop, account_id=account.pk) == account
    with pytest.raises(NotFound):
        service_account_for(project=make_project("Other"), account_id=account.pk)


def test_a_role_is_given_up_to_ones_own() -> None:
    assert roles_up_to(Role.OWNER) == [Role.OWNER, Role.ADMIN, Role.ANALYST, Role.CONSUMER]
    assert roles_up_to(Role.ADMIN) == [Role.ADMIN, Role.ANALYST, Role.CONSUMER]
