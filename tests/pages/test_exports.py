"""The export dialog: what it says beforehand is what the run then does."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from cohorts.models import Project
from integrations.models import Connection, Run, Sync
from tests.cast import make_cohort, make_people, set_property, shoppers
from tests.pages.words import text_of
from tests.sandbox_app import SandboxApp
from tests.sync.conftest import short_clocks
from tests.sync.stories import connect_to, export

__all__ = ["short_clocks"]

pytestmark = pytest.mark.django_db(transaction=True)
IN_A_PAGE = {"HX-Request": "true"}


@pytest.fixture
def crm(onesignal: SandboxApp, shop: Project) -> Connection:
    """A connection to an app that knows everybody."""
    onesignal.add_users("ann", "bob", "cat", "dan")
    return connect_to(onesignal, shop)


def forecast_of(client: Client, shop: Project, cohort_id: int, connection: Connection) -> str:
    return text_of(
        client.get(
            reverse("cohort-forecast", args=[shop.pk, cohort_id]), {"connection": connection.pk}, headers=IN_A_PAGE
        )
    )


def test_the_dialog_opens_at_once_and_asks_for_the_numbers(as_analyst: Client, shop: Project, crm: Connection) -> None:
    cohort = make_cohort(shop)
    url = reverse("cohort-export", args=[shop.pk, cohort.pk])
    opened = as_analyst.get(url, headers=IN_A_PAGE)
    assert reverse("cohort-forecast", args=[shop.pk, cohort.pk]) in opened.content.decode()
    assert "will be exported:" not in text_of(opened)
    for words in (text_of(as_analyst.get(url)), forecast_of(as_analyst, shop, cohort.pk, crm)):
        assert "Pro users : 3 of 4 users will be exported" in words
        assert "1 without $onesignal_user_id" in words
        assert "A new segment is made, and 3 users enter it." in words


def test_beginning_makes_a_sync_with_a_queued_run(as_analyst: Client, shop: Project, crm: Connection) -> None:
    cohort = make_cohort(shop)
    url = reverse("cohort-export", args=[shop.pk, cohort.pk])
    answer = as_analyst.post(url, {"connection": crm.pk, "mode": "dynamic"}, headers=IN_A_PAGE)
    sync = Sync.objects.get()
    assert answer.headers["HX-Redirect"] == reverse("sync", args=[shop.pk, sync.pk])
    assert (sync.mode, sync.status) == ("dynamic", "active")
    assert sync.created_by is not None
    assert sync.runs.get().status == "queued"
    # Beginning again takes up the same one.
    as_analyst.post(url, {"connection": crm.pk, "mode": "one_time"})
    assert Sync.objects.get().mode == "one_time"


def test_what_is_said_beforehand_is_what_the_run_does(
    as_analyst: Client, shop: Project, crm: Connection, onesignal: SandboxApp
) -> None:
    cohort = make_cohort(shop)
    sync, _ = export(cohort, crm)
    set_property(shop, ["ann"], "plan", "free")
    make_people(shop, shoppers(["dan", "eve"], plan="pro"))
    words = forecast_of(as_analyst, shop, cohort.pk, crm)
    assert "2 will be added, 1 removed, 2 stay as they are." in words
    assert "is exported on" in text_of(as_analyst.get(reverse("cohort-export", args=[shop.pk, cohort.pk])))
    # Looking wrote nothing.
    assert Run.objects.count() == 1
    assert onesignal.segment_users(sync.ledger.segment_id) == {"ann", "bob", "cat"}


def test_people_onesignal_does_not_know_are_counted_apart(as_analyst: Client, shop: Project, crm: Connection) -> None:
    make_people(shop, shoppers(["nobody-there"], plan="pro"))
    cohort = make_cohort(shop)
    export(cohort, crm)
    words = forecast_of(as_analyst, shop, cohort.pk, crm)
    assert "0 will be added, 0 removed, 3 stay as they are." in words
    assert "1 more OneSignal did not know or refused when last asked" in words


def test_nobody_is_promised_whom_another_export_found_unknown(
    as_analyst: Client, shop: Project, crm: Connection
) -> None:
    make_people(shop, shoppers(["nobody-there"], plan="pro"))
    export(make_cohort(shop), crm)
    words = forecast_of(as_analyst, shop, make_cohort(shop, "Pro users again").pk, crm)
    assert "A new segment is made, and 3 users enter it." in words
    assert "1 more OneSignal did not know or refused when last asked" in words


def test_a_shared_id_is_one_user_over_there(as_analyst: Client, shop: Project, crm: Connection) -> None:
    make_people(shop, {"ann-2": {"plan": "pro", "$onesignal_user_id": "ann"}})
    assert "as 3 OneSignal users: some share an id" in forecast_of(as_analyst, shop, make_cohort(shop).pk, crm)


def test_ids_that_events_from_onesignal_would_miss_are_counted_on_simplified_merge(
    as_analyst: Client, shop: Project, crm: Connection
) -> None:
    make_people(shop, {"u-7": {"plan": "pro", "$onesignal_user_id": "dan"}})
    cohort = make_cohort(shop)
    assert "not the profile’s own id" not in forecast_of(as_analyst, shop, cohort.pk, crm)
    Project.objects.filter(pk=shop.pk).update(id_merge="simplified")
    words = forecast_of(as_analyst, shop, cohort.pk, crm)
    assert "1 profile of this project carries a $onesignal_user_id that is not the profile’s own id." in words


def test_a_connection_that_cannot_send_is_not_offered(
    as_analyst: Client, as_owner: Client, shop: Project, crm: Connection
) -> None:
    cohort = make_cohort(shop)
    Connection.objects.filter(pk=crm.pk).update(status="error", error="The key was refused.")
    url = reverse("cohort-export", args=[shop.pk, cohort.pk])
    assert "An owner or admin of this project can connect it" in text_of(as_analyst.get(url))
    assert reverse("integrations", args=[shop.pk]) in as_owner.get(url, headers=IN_A_PAGE).content.decode()
    answer = as_analyst.post(url, {"connection": crm.pk, "mode": "one_time"})
    assert answer.status_code == 422
    assert not Sync.objects.exists()


@pytest.mark.parametrize("sent", [{}, {"mode": "weekly"}, {"mode": "dynamic", "connection": "x"}])
def test_nonsense_begins_nothing(as_analyst: Client, shop: Project, crm: Connection, sent: dict[str, Any]) -> None:
    url = reverse("cohort-export", args=[shop.pk, make_cohort(shop).pk])
    answer = as_analyst.post(url, {"connection": crm.pk, **sent})
    assert answer.status_code == 422
    assert not Sync.objects.exists()


def test_simplified_id_merge_is_warned_about(as_analyst: Client, shop: Project, crm: Connection) -> None:
    url = reverse("cohort-export", args=[shop.pk, make_cohort(shop).pk])
    assert "simplified ID merge" not in text_of(as_analyst.get(url))
    Project.objects.filter(pk=shop.pk).update(id_merge="simplified")
    assert "This project uses simplified ID merge" in text_of(as_analyst.get(url))
