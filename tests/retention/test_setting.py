"""Setting how long events are kept: who may, and the synced cohorts that stand in the way; and the other way round."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from cohorts.access import AccessDenied, actor_for
from cohorts.catalog import InvalidCohort, update_cohort
from cohorts.models import Project, User
from cohorts.retention import RetentionRefused, set_retention
from integrations.errors import Conflict
from integrations.models import Sync
from integrations.syncs import export_cohort, run_now, update_sync
from tests.api.cast import make_connection, make_member, make_sync
from tests.cast import at, make_cohort, make_project, property_definition
from tests.cohorts.people import define, did, last
from tests.ingest.crowd import run_at_once, wait_until_blocked

NOW = at("2026-11-20T10:00:00")


@pytest.fixture
def shop(db: None) -> Project:
    return make_project("Shop")


def keep(project: Project, months: int | None, *, role: str = "admin") -> Project:
    actor = actor_for(visitor=make_member(project, role), project_id=project.pk)
    return set_retention(actor=actor, months=months, now=NOW)


def visiting(window: Any) -> Any:
    return define(did("Visit", window))


def synced(project: Project, name: str, window: Any, **fields: Any) -> Sync:
    sync = make_sync(make_cohort(project, name, visiting(window)), make_connection(project, name))
    Sync.objects.filter(pk=sync.pk).update(**fields)
    return sync


@pytest.mark.parametrize("role", ["owner", "admin"])
def test_owners_and_admins_set_it(shop: Project, role: str) -> None:
    assert keep(shop, 12, role=role).retention_months == 12
    assert keep(shop, None, role=role).retention_months is None


@pytest.mark.parametrize("role", ["analyst", "consumer"])
def test_others_do_not(shop: Project, role: str) -> None:
    with pytest.raises(AccessDenied, match="takes the role admin or higher"):
        keep(shop, 12, role=role)


@pytest.mark.parametrize("months", [0, -1, 1201])
def test_it_is_a_number_of_months(shop: Project, months: int) -> None:
    with pytest.raises(RetentionRefused, match="1 to 1200 months"):
        keep(shop, months)


@pytest.mark.parametrize(
    ("window", "is_kept"),
    [
        (last(3, "month"), True),
        (last(92), True),
        (last(93), False),
        (last(4, "month"), False),
        (last(1, "month", ending_ago=2), True),
        (last(1, "month", ending_ago=3), False),
        (last(92 * 24, "hour"), True),
        (last(93 * 24, "hour"), False),
        ({"type": "since", "date": "2026-08-20"}, True),
        ({"type": "since", "date": "2026-08-19"}, False),
        ({"type": "fixed", "from": "2026-08-20", "to": "2026-08-21"}, True),
        ({"type": "fixed", "from": "2026-08-19", "to": "2026-08-21"}, False),
        ({"type": "all_time"}, False),
    ],
)
def test_a_synced_cohort_that_looks_back_further_stands_in_the_way(shop: Project, window: Any, is_kept: bool) -> None:
    synced(shop, "Visitors", window)
    if is_kept:
        keep(shop, 3)
        return
    with pytest.raises(RetentionRefused, match="3 months of events are too few for “Visitors”: they are synced"):
        keep(shop, 3)
    shop.refresh_from_db()
    assert shop.retention_months is None


def test_only_cohorts_whose_sync_goes_on_stand_in_the_way(shop: Project) -> None:
    year = last(12, "month")
    make_cohort(shop, "Not synced", visiting(year))
    synced(shop, "Exported once", year, mode="one_time", status="finished")
    synced(shop, "Being deleted", year, deleting_at=NOW)
    synced(make_project("Rival"), "Another project's", year)
    synced(shop, "Short", last(1))
    make_sync(make_cohort(shop, "No events", property_definition()), make_connection(shop, "No events"))
    keep(shop, 1)
    keep(shop, None)
    synced(shop, "Paused", year, status="paused")
    synced(shop, "Active", year)
    with pytest.raises(RetentionRefused, match="1 month of events are too few for “Paused”, “Active”: "):
        keep(shop, 1)


def test_exporting_a_cohort_that_looks_back_further_is_refused(shop: Project) -> None:
    keep(shop, 3)
    cohort, connection = make_cohort(shop, "Visitors", visiting(last(4, "month"))), make_connection(shop)
    start = partial(export_cohort, connection=connection, mode="dynamic", by=None, now=NOW)
    with pytest.raises(Conflict, match="“Visitors” looks back further than the 3 months"):
        start(cohort=cohort)
    assert not Sync.objects.exists()
    start(cohort=make_cohort(shop, "Lately", visiting(last(3, "month"))))


def test_a_finished_sync_starts_again_only_with_the_events_it_needs(shop: Project) -> None:
    sync = synced(shop, "Visitors", last(4, "month"), mode="one_time", status="finished")
    keep(shop, 3)
    sync.refresh_from_db()
    with pytest.raises(Conflict, match="“Visitors” looks back further"):
        run_now(sync=sync, is_retry=False, now=NOW)
    with pytest.raises(Conflict, match="“Visitors” looks back further"):
        update_sync(sync=sync, mode="dynamic", now=NOW)


def test_changing_a_synced_cohort_beyond_the_retention_is_refused(shop: Project) -> None:
    cohort = synced(shop, "Visitors", last(2)).cohort
    loose = make_cohort(shop, "Loose", visiting(last(2)))
    keep(shop, 1)
    with pytest.raises(InvalidCohort, match="looks back further than the 1 month") as refused:
        update_cohort(cohort=cohort, by=None, definition=visiting(last(2, "month")))
    assert refused.value.field == "definition"
    cohort.refresh_from_db()
    assert (cohort.definition, cohort.version) == (visiting(last(2)), 1)
    update_cohort(cohort=cohort, by=None, definition=visiting(last(3)))
    update_cohort(cohort=cohort, by=None, name="New name")
    update_cohort(cohort=loose, by=None, definition=visiting(last(2, "month")))


def test_operators_set_it_in_the_admin(shop: Project) -> None:
    synced(shop, "Visitors", last(4, "month"))
    operator = Client()
    operator.force_login(User.objects.create(email="root@example.com", is_staff=True, is_superuser=True))
    page = f"/admin/cohorts/project/{shop.pk}/change/"

    refused = operator.post(page, {"name": "Shop", "timezone": "UTC", "retention_months": "3"})
    assert refused.status_code == 200
    assert "too few for “Visitors”" in refused.content.decode()
    assert operator.post(page, {"name": "Shop", "timezone": "UTC", "retention_months": "4"}).status_code == 302
    shop.refresh_from_db()
    assert shop.retention_months == 4
    operator.post(page, {"name": "Shop", "timezone": "UTC", "retention_months": ""})
    shop.refresh_from_db()
    assert shop.retention_months is None


@pytest.mark.django_db(transaction=True)
def test_a_sync_and_a_retention_at_once_do_not_miss_each_other() -> None:
    shop = make_project()
    cohort, connection = make_cohort(shop, "Visitors", visiting(last(4, "month"))), make_connection(shop)
    refused: list[str] = []

    def shorten() -> None:
        _wait_until_locked(shop)
        try:
            keep(shop, 3)
        except RetentionRefused as error:
            refused.append(error.sentence)

    def export() -> None:
        with transaction.atomic():
            export_cohort(cohort=cohort, connection=connection, mode="dynamic", by=None, now=NOW)
            wait_until_blocked()

    run_at_once([export, shorten])
    assert len(refused) == 1
    assert Sync.objects.count() == 1


def _wait_until_locked(project: Project) -> None:
    """Return once somebody holds the project's retention."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with transaction.atomic():
            if not Project.objects.select_for_update(no_key=True, skip_locked=True).filter(pk=project.pk).exists():
                return
    raise AssertionError("Nobody holds it.")
