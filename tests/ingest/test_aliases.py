"""Setting `$onesignal_user_id` makes its value an id of the person (contract, 3.4), in every case of the table."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from cohorts.models import DistinctId, Person, Project
from tests.ingest.wire import event, ids_of, keys, people, profile, refused, send, stored, update

TAKEN, TOO_MANY = "errAliasAlreadyExists", "errManyIDs"
UNUSABLE = "The value of $onesignal_user_id names nobody, so no alias was made"


def setting(project: Project, distinct_id: str, value: object, *, operation: str = "set") -> dict[str, Any]:
    return update(project, distinct_id, **{operation: {"$onesignal_user_id": value}})


def engage(client: Client, *records: dict[str, Any]) -> None:
    assert send(client, "/engage", records) == (200, b"1")


@pytest.mark.parametrize("operation", ["set", "set_once"])
def test_a_new_value_becomes_an_id_of_the_person(client: Client, shop: Project, operation: str) -> None:
    engage(client, setting(shop, "ann", "K", operation=operation))
    assert ids_of(shop, "K") == ["K", "ann"]
    send(client, "/track", event(shop, distinct_id="K"))
    send(client, "/track", event(shop, distinct_id="ann"))
    assert {row.person_id for row in stored(shop)} == {Person.objects.get().pk}
    assert not refused(shop)


def test_a_known_person_gets_the_alias_too(client: Client, shop: Project) -> None:
    send(client, "/track", event(shop))
    engage(client, setting(shop, "ann", "K"))
    assert ids_of(shop, "ann") == ["K", "ann"]
    engage(client, update(shop, "K", set={"a": 1}))
    assert people(shop) == {"ann": {"$onesignal_user_id": "K", "a": 1}}


def test_a_value_that_is_the_persons_own_id_changes_nothing(client: Client, shop: Project) -> None:
    engage(client, setting(shop, "ann", "ann"), setting(shop, "ann", "K"), setting(shop, "K", "K"))
    engage(client, setting(shop, "ann", "K"))
    assert ids_of(shop, "ann") == ["K", "ann"]
    assert not refused(shop)


def test_an_id_of_another_person_is_not_taken_away(client: Client, shop: Project) -> None:
    send(client, "/track", event(shop, distinct_id="K"))
    engage(client, setting(shop, "ann", "K"))
    assert (ids_of(shop, "ann"), ids_of(shop, "K")) == (["ann"], ["K"])
    assert profile(shop, "ann") == {"$onesignal_user_id": "K"}
    assert keys(shop) == {"ann": "K"}
    assert refused(shop) == {TAKEN: 1}


def test_of_two_persons_in_one_request_the_first_gets_it(client: Client, shop: Project) -> None:
    engage(client, setting(shop, "ann", "K"), setting(shop, "bob", "K"))
    assert (ids_of(shop, "ann"), ids_of(shop, "bob")) == (["K", "ann"], ["bob"])
    assert keys(shop) == {"ann": "K", "bob": "K"}
    assert refused(shop) == {TAKEN: 1}


def test_an_alias_made_by_one_update_addresses_the_next(client: Client, shop: Project) -> None:
    engage(client, setting(shop, "ann", "K"), update(shop, "K", set={"a": 1}))
    assert people(shop) == {"ann": {"$onesignal_user_id": "K", "a": 1}}


def test_an_id_used_before_it_could_be_an_alias_stays_its_own_person(client: Client, shop: Project) -> None:
    engage(client, update(shop, "K", set={"a": 1}), setting(shop, "ann", "K"))
    assert people(shop) == {"K": {"a": 1}, "ann": {"$onesignal_user_id": "K"}}
    assert refused(shop) == {TAKEN: 1}


@pytest.mark.parametrize("value", ["", "null", "ANONYMOUS", 5, True, ["K"], {"K": 1}])
def test_a_value_that_names_nobody_is_set_and_recorded(client: Client, shop: Project, value: object) -> None:
    engage(client, setting(shop, "ann", value))
    assert profile(shop, "ann") == {"$onesignal_user_id": value}
    assert ids_of(shop, "ann") == ["ann"]
    assert refused(shop) == {UNUSABLE: 1}


def test_a_null_is_no_value(client: Client, shop: Project) -> None:
    engage(client, setting(shop, "ann", None))
    assert people(shop) == {"ann": {}}
    assert not refused(shop)


def test_setting_once_what_is_set_makes_no_alias(client: Client, shop: Project) -> None:
    engage(client, setting(shop, "ann", "K1"), setting(shop, "ann", "K2", operation="set_once"))
    engage(client, setting(shop, "ann", "K3", operation="set_once"))
    assert ids_of(shop, "ann") == ["K1", "ann"]
    assert keys(shop) == {"ann": "K1"}


def test_setting_once_after_unsetting_makes_one(client: Client, shop: Project) -> None:
    engage(client, setting(shop, "ann", "K1"))
    engage(client, update(shop, "ann", unset=["$onesignal_user_id"]), setting(shop, "ann", "K2", operation="set_once"))
    engage(client, update(shop, "ann", delete=""), setting(shop, "ann", "K3", operation="set_once"))
    assert ids_of(shop, "ann") == ["K1", "K2", "K3", "ann"]


def test_a_changed_value_adds_an_id_and_keeps_the_old_one(client: Client, shop: Project) -> None:
    engage(client, setting(shop, "ann", "K1"))
    engage(client, setting(shop, "ann", "K2"))
    assert ids_of(shop, "ann") == ["K1", "K2", "ann"]
    assert keys(shop) == {"ann": "K2"}


@pytest.mark.parametrize("operation", [{"unset": ["$onesignal_user_id"]}, {"delete": ""}])
def test_links_are_irreversible(client: Client, shop: Project, operation: dict[str, object]) -> None:
    engage(client, setting(shop, "ann", "K"))
    engage(client, update(shop, "ann", **operation))
    assert ids_of(shop, "ann") == ["K", "ann"]
    assert keys(shop) == {}


def test_simplified_projects_make_no_aliases(client: Client, simple_shop: Project) -> None:
    engage(client, setting(simple_shop, "ann", "K"), setting(simple_shop, "bob", "null"))
    assert ids_of(simple_shop, "ann") == ["ann"]
    assert keys(simple_shop) == {"ann": "K", "bob": "null"}
    assert not refused(simple_shop)


def test_only_this_property_makes_aliases(client: Client, shop: Project) -> None:
    engage(client, update(shop, "ann", set={"$email": "a@example.com"}))
    assert list(DistinctId.objects.values_list("distinct_id", flat=True)) == ["ann"]


def test_a_person_has_at_most_500_ids(client: Client, shop: Project) -> None:
    engage(client, *[setting(shop, "ann", f"K{number}") for number in range(498)])
    engage(client, *[setting(shop, "ann", f"L{number}") for number in range(3)])
    assert len(ids_of(shop, "ann")) == 500
    assert profile(shop, "ann") == {"$onesignal_user_id": "L2"}
    assert refused(shop) == {TOO_MANY: 2}
