"""The Integrations page as an owner uses it: set up, look at, change, check, rotate, disconnect."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cohorts.models import Project
from integrations.connections import disconnect, update_connection
from integrations.destinations import destinations
from integrations.destinations.forms import ConnectionForm
from integrations.erasing import erase_people
from integrations.models import Connection, Sync
from integrations.removals import advance_removals
from tests.cast import make_cohort
from tests.free_ports import free_port
from tests.pages.words import text_of
from tests.sandbox_app import SandboxApp
from tests.sync.conftest import short_clocks
from tests.sync.stories import connect_to, export, work

__all__ = ["short_clocks"]

pytestmark = pytest.mark.django_db(transaction=True)
IN_A_PAGE = {"HX-Request": "true"}


def entered(onesignal: SandboxApp, **fields: Any) -> dict[str, Any]:
    """Return what somebody enters who does everything right."""
    right = {
        "name": "CRM",
        "user_id_property": "",
        "api_key": onesignal.api_key,
        "app_id": onesignal.app_id,
        "sandbox": "on",
        "segment_prefix": "(Shop) ",
        "max_requests_per_second": "",
    }
    return right | fields


def page_of(shop: Project, connection: Connection) -> str:
    return f"{reverse('destination', args=[shop.pk, 'onesignal'])}?connection={connection.pk}"


def test_without_a_connection_the_row_offers_to_connect(as_owner: Client, shop: Project) -> None:
    answer = as_owner.get(reverse("integrations", args=[shop.pk]))
    assert "OneSignal" in text_of(answer)
    assert reverse("connection-new", args=[shop.pk, "onesignal"]) in answer.content.decode()
    assert "Connected" not in text_of(answer)


def test_a_wrong_key_keeps_the_dialog_open_with_onesignals_words(
    as_owner: Client, shop: Project, onesignal: SandboxApp
) -> None:
    url = reverse("connection-new", args=[shop.pk, "onesignal"])
    assert "These settings apply to your current project Shop" in text_of(as_owner.get(url, headers=IN_A_PAGE))
    answer = as_owner.post(url, entered(onesignal, api_key="wrong-key-0123456789"), headers=IN_A_PAGE)
    assert answer.status_code == 422
    assert "OneSignal refused the API Key" in text_of(answer)
    page = answer.content.decode()
    assert 'id="id_api_key_error"' in page
    assert "wrong-key-0123456789" not in page
    assert onesignal.app_id in page
    assert "<html" not in page
    assert not Connection.objects.exists()


@pytest.mark.parametrize("headers", [{}, IN_A_PAGE])
def test_the_right_key_connects(
    as_owner: Client, shop: Project, onesignal: SandboxApp, headers: dict[str, str]
) -> None:
    answer = as_owner.post(reverse("connection-new", args=[shop.pk, "onesignal"]), entered(onesignal), headers=headers)
    connection = Connection.objects.get()
    where = answer.headers["HX-Redirect" if headers else "Location"]
    assert where == page_of(shop, connection)
    assert (connection.segment_prefix, connection.match_property.name) == ("(Shop) ", "$onesignal_user_id")
    page = as_owner.get(where)
    assert "1 active connection, 1 total connection" in text_of(page)
    assert "Connected" in text_of(page)
    assert "Owner Miller" in text_of(page)
    assert onesignal.api_key not in page.content.decode()


def test_onesignal_out_of_reach_is_said_and_nothing_is_stored(
    as_owner: Client, shop: Project, onesignal: SandboxApp, settings: Any
) -> None:
    settings.SANDBOX_URL = f"http://127.0.0.1:{free_port()}"
    answer = as_owner.post(reverse("connection-new", args=[shop.pk, "onesignal"]), entered(onesignal))
    assert answer.status_code == 422
    assert "OneSignal could not be reached" in text_of(answer)
    assert not Connection.objects.exists()


def test_without_a_sandbox_the_form_does_not_offer_it(as_owner: Client, shop: Project, settings: Any) -> None:
    settings.SANDBOX_URL = None
    page = as_owner.get(reverse("connection-new", args=[shop.pk, "onesignal"])).content.decode()
    assert 'name="sandbox"' not in page
    assert "External ID" in page


def test_empty_fields_are_each_named(as_owner: Client, shop: Project, onesignal: SandboxApp) -> None:
    answer = as_owner.post(reverse("connection-new", args=[shop.pk, "onesignal"]), {"max_requests_per_second": "x"})
    words = text_of(answer)
    assert answer.status_code == 422
    assert "Give the connection a name" in words
    assert "Give the App API Key" in words
    assert "Give the App ID" in words


def test_simplified_id_merge_is_warned_about(as_owner: Client, shop: Project) -> None:
    url = reverse("connection-new", args=[shop.pk, "onesignal"])
    assert "$user_id" not in text_of(as_owner.get(url))
    Project.objects.filter(pk=shop.pk).update(id_merge="simplified")
    assert "$user_id" in text_of(as_owner.get(url))


def test_the_projects_own_properties_are_offered(as_owner: Client, shop: Project) -> None:
    page = as_owner.get(reverse("connection-new", args=[shop.pk, "onesignal"])).content.decode()
    assert '<option value="plan">' in page


def test_the_table_lists_the_syncs_and_searching_narrows_it(
    as_owner: Client, shop: Project, onesignal: SandboxApp
) -> None:
    onesignal.add_users("ann", "bob", "cat")
    connection = connect_to(onesignal, shop)
    sync, run = export(make_cohort(shop, "Pro users"), connection, "dynamic")
    export(make_cohort(shop, "Others"), connection)
    page = as_owner.get(page_of(shop, connection))
    words = text_of(page)
    assert "Recurring" in words
    assert "One-time" in words
    assert "Not Active" in words
    assert reverse("sync-pause", args=[shop.pk, sync.pk]) in page.content.decode()
    assert reverse("api-v1:get_members", args=[shop.pk, run.pk]) in page.content.decode()
    found = text_of(as_owner.get(page_of(shop, connection), {"connection": str(connection.pk), "q": "pro"}))
    assert "Pro users" in found
    assert "Others" not in found


def test_settings_change_and_rename_the_segments(as_owner: Client, shop: Project, onesignal: SandboxApp) -> None:
    connection = connect_to(onesignal, shop)
    url = reverse("connection-settings", args=[shop.pk, connection.pk])
    assert onesignal.app_id in as_owner.get(url).content.decode()
    sent = {"name": "New CRM", "user_id_property": "$onesignal_user_id", "segment_prefix": "S: "}
    answer = as_owner.post(url, {**sent, "max_requests_per_second": "100"}, follow=True)
    connection.refresh_from_db()
    assert (connection.name, connection.segment_prefix, connection.max_requests_per_second) == ("New CRM", "S: ", 100)
    assert "The settings of “New CRM” are saved." in text_of(answer)
    refused = as_owner.post(url, {**sent, "max_requests_per_second": "100000"})
    assert refused.status_code == 422
    assert "Give a number from 1 to 1000" in text_of(refused)


def test_a_key_is_rotated_after_it_was_proved(as_owner: Client, shop: Project, onesignal: SandboxApp) -> None:
    connection = connect_to(onesignal, shop)
    url = reverse("connection-key", args=[shop.pk, connection.pk])
    assert as_owner.post(url, {"api_key": "wrong-key-0123456789"}).status_code == 422
    onesignal.change(api_key="second-key-0123456789")
    as_owner.post(reverse("connection-check", args=[shop.pk, connection.pk]))
    connection.refresh_from_db()
    assert connection.status == "error"
    page = as_owner.get(page_of(shop, connection))
    assert "OneSignal refused the API Key" in text_of(page)
    as_owner.post(url, {"api_key": "second-key-0123456789"})
    connection.refresh_from_db()
    assert (connection.status, connection.credential_hint) == ("connected", "6789")
    answer = as_owner.get(page_of(shop, connection))
    assert "ends with 6789" in text_of(answer)
    assert "second-key" not in answer.content.decode()


def test_disconnecting_stops_the_syncs_and_keeps_the_segments(
    as_owner: Client, shop: Project, onesignal: SandboxApp
) -> None:
    onesignal.add_users("ann", "bob", "cat")
    connection = connect_to(onesignal, shop)
    sync, _ = export(make_cohort(shop), connection, "dynamic")
    url = reverse("connection-disconnect", args=[shop.pk, connection.pk])
    assert "Disconnect" in text_of(as_owner.get(url, headers=IN_A_PAGE))
    answer = as_owner.post(url, {"segments": "leave"}, follow=True)
    connection.refresh_from_db()
    sync.refresh_from_db()
    assert (connection.status, connection.credential, sync.status) == ("disconnected", "", "paused")
    assert "Disconnected" in text_of(answer)
    assert onesignal.segment_users(sync.ledger.segment_id) == {"ann", "bob", "cat"}
    as_owner.post(reverse("connection-key", args=[shop.pk, connection.pk]), {"api_key": onesignal.api_key})
    assert Sync.objects.get().status == "active"


def test_disconnecting_without_a_choice_does_nothing(as_owner: Client, shop: Project, onesignal: SandboxApp) -> None:
    connection = connect_to(onesignal, shop)
    url = reverse("connection-disconnect", args=[shop.pk, connection.pk])
    assert as_owner.post(url, {"segments": "burn"}).status_code == 422
    connection.refresh_from_db()
    assert connection.status == "connected"


def test_a_destination_that_does_not_exist_is_not_found(as_owner: Client, shop: Project) -> None:
    for name in ("destination", "connection-new"):
        assert as_owner.get(reverse(name, args=[shop.pk, "pigeon"])).status_code == 404


def test_a_connection_of_another_project_is_not_found(as_owner: Client, shop: Project) -> None:
    assert as_owner.get(f"{reverse('destination', args=[shop.pk, 'onesignal'])}?connection=999999").status_code == 404


@pytest.mark.parametrize("kind", sorted(destinations()))
def test_every_destination_brings_its_own_form(kind: str) -> None:
    destination = destinations()[kind]
    form = destination.form_class(usual_property="$id", highest_rate=destination.max_requests_per_second)
    assert isinstance(form, ConnectionForm)
    assert set(form.credential_fields) <= set(form.fields)
    assert form.credential_fields
    assert destination.label
    assert destination.summary.endswith(".")


def test_a_disconnected_connection_says_how_many_erased_people_still_carry_which_tag_and_not_who(
    as_owner: Client, shop: Project, onesignal: SandboxApp
) -> None:
    onesignal.add_users("ann", "bob", "cat")
    crm = connect_to(onesignal, shop)
    sync, _ = export(make_cohort(shop), crm)
    erase_people(project=shop, distinct_ids=["ann", "bob"], requested_by="dpo", now=timezone.now())
    assert "were erased" not in text_of(as_owner.get(page_of(shop, crm)))
    disconnect(connection=crm, delete_segments=False, now=timezone.now())
    answer = as_owner.get(page_of(shop, crm))
    assert f"“(CohortSync) Pro users” ( {sync.ledger.tag}): 2 people" in text_of(answer)
    assert not {"ann", "bob"} & set(text_of(answer).split())
    update_connection(connection=crm, credentials={"api_key": onesignal.api_key}, now=timezone.now())
    advance_removals(now=timezone.now())
    work(crm)
    disconnect(connection=crm, delete_segments=False, now=timezone.now())
    advance_removals(now=timezone.now())
    assert "were erased" not in text_of(as_owner.get(page_of(shop, crm)))
