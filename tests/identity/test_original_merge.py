"""Original ID merge: `$identify`, `$create_alias` and `$merge` as SDKs send them, each row of the contract (3.2)."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from cohorts.models import Event, Person, Project, Redirect, Refusal
from tests.identity.world import counted, persons, sweep
from tests.ingest.wire import account_of, basic, event, ids_of, keys, people, refused, send, update

DEVICE = "18b2a6b1f0c1a2-0a1b2c3d4e5f67-1a525637-1fa400-18b2a6b1f0d2e3"
OTHER_DEVICE = "11111111-2222-4333-8444-555555555555"


def track(client: Client, *records: dict[str, Any]) -> None:
    assert send(client, "/track", records) == (200, b"1")


def verb(project: Project, name: str, **properties: Any) -> dict[str, Any]:
    """Return an identity event; names without a dollar sign in Python get theirs."""
    record = event(project, name, **{key.replace("_S_", "$"): value for key, value in properties.items()})
    if "distinct_id" not in properties:
        del record["properties"]["distinct_id"]
    return record


def identify(project: Project, identified: str, anonymous: str) -> dict[str, Any]:
    """Return what the browser SDK sends."""
    return verb(
        project,
        "$identify",
        distinct_id=identified,
        _S_anon_distinct_id=anonymous,
        _S_user_id=identified,
        _S_device_id=anonymous.removeprefix("$device:"),
    )


def alias(project: Project, existing: str, new: str) -> dict[str, Any]:
    return verb(project, "$create_alias", distinct_id=existing, alias=new)


@pytest.mark.parametrize("anonymous", [DEVICE, OTHER_DEVICE, f"$device:{OTHER_DEVICE}"])
def test_identifying_makes_the_anonymous_past_the_users(client: Client, shop: Project, anonymous: str) -> None:
    track(client, event(shop, distinct_id=anonymous), event(shop, distinct_id="ann"))
    track(client, identify(shop, "ann", anonymous))
    assert persons(shop) == {"ann": {"ann", anonymous}}
    assert counted(shop, 2, "Purchase") == {"ann"}
    sweep()
    assert counted(shop, 2, "Purchase") == {"ann"}
    assert not refused(shop)


def test_the_form_of_the_api_links_too(client: Client, shop: Project) -> None:
    track(client, event(shop, distinct_id=DEVICE))
    track(client, verb(shop, "$identify", _S_identified_id="ann", _S_anon_id=DEVICE))
    assert persons(shop) == {"ann": {"ann", DEVICE}}
    assert Event.objects.get(name="$identify").distinct_id == "ann"


def test_a_null_is_no_id(client: Client, shop: Project) -> None:
    record = identify(shop, "ann", DEVICE)
    record["properties"] |= {"$identified_id": None, "$anon_id": None}
    track(client, record)
    assert persons(shop) == {"ann": {"ann", DEVICE}}


def test_an_unknown_user_takes_over_the_device_without_moving_an_event(client: Client, shop: Project) -> None:
    track(client, event(shop, distinct_id=DEVICE))
    before = Person.objects.get()
    track(client, identify(shop, "ann", DEVICE))
    after = Person.objects.get()
    assert (after.pk, after.distinct_id) == (before.pk, "ann")
    assert after.identified_at is not None
    assert not Redirect.objects.exists()


def test_an_id_that_is_new_and_linked_in_one_request_is_one_person(client: Client, shop: Project) -> None:
    track(
        client,
        event(shop, distinct_id=DEVICE),
        identify(shop, "ann", DEVICE),
        event(shop, distinct_id="ann"),
        identify(shop, "ann", OTHER_DEVICE),
        alias(shop, "ann", "ann@example.com"),
    )
    assert persons(shop) == {"ann": {"ann", DEVICE, OTHER_DEVICE, "ann@example.com"}}
    assert not Redirect.objects.exists()


@pytest.mark.parametrize(
    ("identified", "anonymous", "reason"),
    [
        ("ann", "ann", "errSameIDs"),
        ("ann", "bob", "errAnonDistinctIdNonGUIDForm"),
        ("ann", "", "An id of an identity event is missing or names nobody"),
        ("null", DEVICE, "An id of an identity event is missing or names nobody"),
    ],
)
def test_an_identify_that_cannot_be_is_stored_with_the_reason(
    client: Client, shop: Project, identified: str, anonymous: str, reason: str
) -> None:
    track(client, identify(shop, identified, anonymous))
    stored = Event.objects.get()
    assert stored.properties["$failure_reason"] == reason
    assert stored.properties["$failure_description"]
    assert refused(shop) == {reason: 1}
    assert all(len(ids) == 1 for ids in persons(shop).values())


def test_a_device_of_one_user_is_not_given_to_another(client: Client, shop: Project) -> None:
    track(client, identify(shop, "ann", DEVICE))
    track(client, identify(shop, "bob", DEVICE))
    assert persons(shop) == {"ann": {"ann", DEVICE}, "bob": {"bob"}}
    assert refused(shop) == {"errAnonDistinctIdAssignedAlready": 1}
    # Nor within one request.
    track(client, identify(shop, "cem", OTHER_DEVICE), identify(shop, "dan", OTHER_DEVICE))
    assert persons(shop)["cem"] == {"cem", OTHER_DEVICE}
    assert refused(shop) == {"errAnonDistinctIdAssignedAlready": 2}


def test_identifying_again_changes_nothing(client: Client, shop: Project) -> None:
    record = identify(shop, "ann", DEVICE)
    record["properties"] |= {"$insert_id": "i1", "time": 1_790_000_000}
    assert send(client, "/import?strict=1", [record], **basic(shop.token))[0] == 200
    identified_at = Person.objects.get().identified_at
    assert send(client, "/import?strict=1", [record], **basic(shop.token))[0] == 200
    assert Person.objects.get().identified_at == identified_at
    assert Event.objects.count() == 1
    assert not refused(shop)


def test_a_refused_identify_sent_again_is_the_same_event(client: Client, shop: Project) -> None:
    record = identify(shop, "ann", "bob")
    record["properties"] |= {"$insert_id": "i1", "time": 1_790_000_000}
    for _ in range(2):
        assert send(client, "/import?strict=1", [record], **basic(shop.token))[0] == 200
    assert Event.objects.get().properties["$failure_reason"] == "errAnonDistinctIdNonGUIDForm"


def test_an_alias_is_another_id_and_aliases_chain(client: Client, shop: Project) -> None:
    track(client, alias(shop, "u1", "u2"), alias(shop, "u2", "u3"))
    assert persons(shop) == {"u1": {"u1", "u2", "u3"}}
    track(client, alias(shop, "u1", "u3"))
    assert not refused(shop)


@pytest.mark.parametrize("in_one_request", [True, False])
def test_an_id_that_was_used_is_no_alias_any_more(client: Client, shop: Project, in_one_request: bool) -> None:
    records = [event(shop, distinct_id="u2"), alias(shop, "u1", "u2")]
    for batch in [records] if in_one_request else [[each] for each in records]:
        track(client, *batch)
    assert persons(shop) == {"u1": {"u1"}, "u2": {"u2"}}
    assert refused(shop) == {"errAliasAlreadyExists": 1}


def test_an_id_used_after_it_became_an_alias_is_the_persons(client: Client, shop: Project) -> None:
    track(client, alias(shop, "u1", "u2"), event(shop, distinct_id="u2"))
    assert persons(shop) == {"u1": {"u1", "u2"}}
    assert counted(shop, 1, "Purchase") == {"u1"}


def merge(project: Project, first: object, second: object) -> dict[str, Any]:
    return verb(project, "$merge", _S_distinct_ids=[first, second])


def test_a_merge_makes_two_users_one(client: Client, shop: Project) -> None:
    track(client, identify(shop, "ann", DEVICE), event(shop, distinct_id="ann"))
    track(client, identify(shop, "bob", OTHER_DEVICE), event(shop, distinct_id="bob"))
    assert send(client, "/import?strict=1", [merge(shop, "bob", "ann")], **account_of(shop))[0] == 200
    # The id identified first stays the canonical one, whatever the order in the merge.
    assert persons(shop) == {"ann": {"ann", "bob", DEVICE, OTHER_DEVICE}}
    assert counted(shop, 2, "Purchase") == {"ann"}


@pytest.mark.parametrize("path", ["/track", "/import"])
def test_a_merge_needs_a_service_account(client: Client, shop: Project, path: str) -> None:
    track(client, event(shop, distinct_id="ann"), event(shop, distinct_id="bob"))
    assert send(client, path, [merge(shop, "ann", "bob")], **basic(shop.token)) == (200, b"1")
    assert persons(shop) == {"ann": {"ann"}, "bob": {"bob"}}
    assert refused(shop) == {"A $merge came without a service account": 1}


@pytest.mark.parametrize("ids", [["ann"], ["ann", "bob", "cem"], "ann", None, ["ann", None], [{}, []]])
def test_a_merge_of_anything_but_two_ids_is_refused(client: Client, shop: Project, ids: object) -> None:
    track(client, event(shop, distinct_id="ann"), event(shop, distinct_id="bob"))
    record = verb(shop, "$merge", _S_distinct_ids=ids)
    assert send(client, "/import", [record], **account_of(shop)) == (200, b"1")
    assert persons(shop) == {"ann": {"ann"}, "bob": {"bob"}}


def test_the_canonical_profile_wins_and_the_other_fills_what_is_missing(client: Client, shop: Project) -> None:
    send(client, "/engage", [update(shop, DEVICE, set={"plan": "free", "color": "red"})])
    send(client, "/engage", [update(shop, "ann", set={"plan": "pro", "$onesignal_user_id": "K"})])
    track(client, identify(shop, "ann", DEVICE))
    assert people(shop) == {"ann": {"plan": "pro", "color": "red", "$onesignal_user_id": "K"}}
    kept = Redirect.objects.get()
    assert kept.loser_properties == {"plan": "free", "color": "red"}
    assert kept.winner_properties == {"plan": "pro", "$onesignal_user_id": "K"}


def test_the_key_goes_with_the_profile(client: Client, shop: Project) -> None:
    send(client, "/engage", [update(shop, DEVICE, set={"$onesignal_user_id": "K"}), update(shop, "ann", set={"a": 1})])
    track(client, identify(shop, "ann", DEVICE))
    assert keys(shop) == {"ann": "K"}
    send(client, "/engage", [update(shop, OTHER_DEVICE, set={"$onesignal_user_id": "L"})])
    track(client, identify(shop, "ann", OTHER_DEVICE))
    assert keys(shop) == {"ann": "K"}
    assert ids_of(shop, "ann") == sorted(["K", "L", "ann", DEVICE, OTHER_DEVICE])


def test_merges_of_merged_persons_leave_one_without_chains(client: Client, shop: Project) -> None:
    importer = account_of(shop)
    for each in "abcdefgh":
        track(client, event(shop, distinct_id=each))
    for pair in ["ab", "cd", "ac", "ef", "gh", "ge", "ga"]:
        assert send(client, "/import", [merge(shop, pair[0], pair[1])], **importer) == (200, b"1")
    survivor = Person.objects.get()
    assert {each.winner_id for each in Redirect.objects.all()} == {survivor.pk}
    assert counted(shop, 8, "Purchase") == {survivor.distinct_id}
    sweep(max_events=3)
    assert {each.person_id for each in Event.objects.all()} == {survivor.pk}
    assert counted(shop, 8, "Purchase") == {survivor.distinct_id}


def test_merges_of_one_request_go_in_order(client: Client, shop: Project) -> None:
    track(client, *(event(shop, distinct_id=each) for each in "abcd"))
    records = [merge(shop, "a", "b"), merge(shop, "c", "d"), merge(shop, "d", "b")]
    assert send(client, "/import", records, **account_of(shop)) == (200, b"1")
    assert list(persons(shop).values()) == [{"a", "b", "c", "d"}]


def test_a_person_has_at_most_500_ids(client: Client, shop: Project) -> None:
    track(client, *(alias(shop, "ann", f"a{number}") for number in range(498)))
    track(client, alias(shop, "bob", "b1"))
    assert send(client, "/import", [merge(shop, "ann", "bob")], **account_of(shop)) == (200, b"1")
    assert refused(shop) == {"errManyIDs": 1}
    Refusal.objects.all().delete()
    track(client, alias(shop, "ann", "last"), alias(shop, "ann", "too many"), identify(shop, "ann", DEVICE))
    assert refused(shop) == {"errManyIDs": 2}
    assert len(persons(shop)["ann"]) == 500


def test_identity_events_are_nobodys_behaviour(client: Client, shop: Project) -> None:
    track(client, identify(shop, "ann", DEVICE))
    assert counted(shop, 0) == {"ann"}


def test_of_equal_events_in_one_request_each_links(client: Client, shop: Project) -> None:
    records = [identify(shop, "ann", DEVICE), identify(shop, "ann", OTHER_DEVICE)]
    for record in records:
        record["properties"] |= {"time": 1_790_000_000, "$insert_id": "same"}
    assert send(client, "/import", records, **account_of(shop)) == (200, b"1")
    assert persons(shop) == {"ann": {"ann", DEVICE, OTHER_DEVICE}}
    assert Event.objects.count() == 1


def test_a_united_profile_has_room_for_2000_properties(client: Client, shop: Project) -> None:
    mine, its = ({f"{name}{n}": 1 for n in range(1500)} for name in ("mine", "its"))
    send(client, "/engage", [update(shop, DEVICE, set=its), update(shop, "ann", set=mine)])
    track(client, identify(shop, "ann", DEVICE))
    united = people(shop)["ann"]
    assert len(united) == 2000
    assert united.keys() >= mine.keys()
