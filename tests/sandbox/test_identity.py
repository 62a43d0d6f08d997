"""Aliases and subscriptions: contract/onesignal.md, section 3."""

from __future__ import annotations

from typing import Any

from tests.sandbox.cast import App, errors, some_uuid, user_path

NO_SUBSCRIPTION = [{"code": "subscription-0", "title": "Subscription not found"}]


def with_subscription(app: App, external_id: str, subscription_id: str) -> None:
    app.control("POST", "/users", {"users": [{"external_id": external_id, "subscriptions": [subscription_id]}]})


def subscription_ids(app: App, external_id: str) -> list[str]:
    return [each["id"] for each in app.call("GET", user_path(external_id)).json()["subscriptions"]]


def test_a_player_id_leads_to_the_user_and_their_tags(app: App) -> None:
    player_id = some_uuid()
    with_subscription(app, "ann", player_id)
    identity = app.call("GET", f"/subscriptions/{player_id}/user/identity").json()["identity"]
    assert identity["external_id"] == "ann"
    path = user_path(identity["onesignal_id"], "onesignal_id")
    assert app.call("PATCH", path, {"properties": {"tags": {"a": "1"}}}).status_code == 202
    assert app.tags("ann") == {"a": "1"}


def test_a_user_made_in_bulk_has_a_subscription_that_can_be_looked_up(app: App) -> None:
    app.add_users("ann", "bob")
    (player_id,) = subscription_ids(app, "bob")
    answer = app.call("GET", f"/subscriptions/{player_id.upper()}/user/identity")
    assert answer.json()["identity"]["external_id"] == "bob"


def test_an_unknown_or_malformed_subscription_is_told_apart(app: App) -> None:
    for method, path, body in (
        ("GET", "/user/identity", None),
        ("PATCH", "/user/identity", {"identity": {"crm": "1"}}),
        ("PATCH", "", {"subscription": {"type": "Email", "token": "a@example.com"}}),
        ("DELETE", "", None),
        ("PATCH", "/owner", {"identity": {"external_id": "ann"}}),
    ):
        unknown = app.call(method, f"/subscriptions/{some_uuid()}{path}", body)
        assert (unknown.status_code, errors(unknown)) == (404, NO_SUBSCRIPTION)
        assert app.call(method, f"/subscriptions/nonsense{path}", body).status_code == 400


def test_a_transferred_subscription_leads_to_its_new_owner(app: App) -> None:
    player_id = some_uuid()
    with_subscription(app, "ann", player_id)
    app.add_users("bob")
    answer = app.call("PATCH", f"/subscriptions/{player_id}/owner", {"identity": {"external_id": "bob"}})
    assert answer.status_code == 200
    assert answer.json()["identity"]["external_id"] == "bob"
    assert app.call("GET", f"/subscriptions/{player_id}/user/identity").json()["identity"]["external_id"] == "bob"
    assert subscription_ids(app, "ann") == []
    assert player_id in subscription_ids(app, "bob")
    missing = app.call("PATCH", f"/subscriptions/{player_id}/owner", {"identity": {"external_id": "nobody"}})
    assert missing.status_code == 404
    for identity in ({}, {"external_id": "bob", "crm": "1"}):
        refused = app.call("PATCH", f"/subscriptions/{player_id}/owner", {"identity": identity})
        assert refused.status_code == 400


def test_a_subscription_made_in_bulk_can_be_transferred_and_deleted(app: App) -> None:
    app.add_users("ann", "bob")
    (player_id,) = subscription_ids(app, "ann")
    app.call("PATCH", f"/subscriptions/{player_id}/owner", {"identity": {"external_id": "bob"}})
    assert (len(subscription_ids(app, "ann")), len(subscription_ids(app, "bob"))) == (0, 2)
    assert app.call("DELETE", f"/subscriptions/{player_id}").status_code == 202
    assert app.call("DELETE", f"/subscriptions/{player_id}").status_code == 404
    assert len(subscription_ids(app, "bob")) == 1


def test_a_subscription_is_created_updated_and_taken_over_by_its_token(app: App) -> None:
    app.control("POST", "/users", {"users": [{"external_id": "ann", "subscriptions": []}]})
    app.control("POST", "/users", {"users": [{"external_id": "bob", "subscriptions": []}]})
    subscription = {"subscription": {"type": "Email", "token": "x@example.com", "app_version": "1.2"}}
    created = app.call("POST", f"{user_path('ann')}/subscriptions", subscription)
    assert (created.status_code, created.json()) == (200, {})
    (shown,) = app.call("GET", user_path("ann")).json()["subscriptions"]
    assert (shown["app_id"], shown["app_version"], shown["enabled"]) == (app.app_id, "1.2", True)
    taken = app.call("POST", f"{user_path('bob')}/subscriptions", subscription)
    assert (taken.status_code, taken.json()["subscription"]["id"]) == (202, shown["id"])
    assert subscription_ids(app, "ann") == []
    change: dict[str, Any] = {"type": "Email", "token": "y@example.com", "enabled": False}
    updated = app.call("PATCH", f"/subscriptions/{shown['id']}", {"subscription": change})
    assert updated.status_code == 200
    (shown,) = app.call("GET", user_path("bob")).json()["subscriptions"]
    assert (shown["token"], shown["enabled"]) == ("y@example.com", False)
    for wrong in ({}, {"type": "Pigeon", "token": "x"}, {"type": "Email"}, {"type": "Email", "token": 1}):
        refused = app.call("POST", f"{user_path('ann')}/subscriptions", {"subscription": wrong})
        assert refused.status_code == 400


def test_a_user_has_at_most_20_subscriptions(app: App) -> None:
    ids = [some_uuid() for _ in range(20)]
    app.control("POST", "/users", {"users": [{"external_id": "ann", "subscriptions": ids}]})
    one_more = {"subscription": {"type": "Email", "token": "x@example.com"}}
    refused = app.call("POST", f"{user_path('ann')}/subscriptions", one_more)
    assert (refused.status_code, errors(refused)[0]["code"]) == (409, "subscription-1")


def test_aliases_are_set_shown_used_and_taken_away(app: App) -> None:
    app.add_users("ann")
    answer = app.call("PATCH", f"{user_path('ann')}/identity", {"identity": {"crm": "c-1", "external_id": "ann2"}})
    assert answer.status_code == 200
    identity = answer.json()["identity"]
    assert (identity["crm"], identity["external_id"]) == ("c-1", "ann2")
    assert app.call("GET", user_path("ann")).status_code == 404
    assert app.call("GET", f"{user_path('c-1', 'crm')}/identity").json() == {"identity": identity}
    removed = app.call("DELETE", f"{user_path('ann2')}/identity/crm")
    assert (removed.status_code, "crm" in removed.json()["identity"]) == (200, False)
    assert app.call("GET", f"{user_path('c-1', 'crm')}/identity").status_code == 404
    assert app.call("DELETE", f"{user_path('ann2')}/identity/crm").status_code == 404
    assert app.call("DELETE", f"{user_path('ann2')}/identity/onesignal_id").status_code == 400


def test_an_alias_that_another_user_has_is_a_conflict(app: App) -> None:
    app.add_users("ann")
    player_id = some_uuid()
    with_subscription(app, "bob", player_id)
    for path in (f"{user_path('bob')}/identity", f"/subscriptions/{player_id}/user/identity"):
        answer = app.call("PATCH", path, {"identity": {"external_id": "ann"}})
        assert answer.status_code == 409
        assert errors(answer) == [
            {
                "code": "user-2",
                "title": "One or more Aliases claimed by another User",
                "meta": {"external_id": "ann"},
            }
        ]
    assert app.call("PATCH", f"{user_path('bob')}/identity", {"identity": {"external_id": "bob"}}).status_code == 200


def test_aliases_have_limits(app: App) -> None:
    app.add_users("ann")
    for identity in ({}, {"crm": 1}, {"crm": ""}, {"crm": "x" * 129}, {"onesignal_id": some_uuid()}, {"": "x"}):
        assert app.call("PATCH", f"{user_path('ann')}/identity", {"identity": identity}).status_code == 400
    many = {f"label{number}": "x" for number in range(20)}
    assert app.call("PATCH", f"{user_path('ann')}/identity", {"identity": many}).status_code == 200
    assert app.call("PATCH", f"{user_path('ann')}/identity", {"identity": {"more": "x"}}).status_code == 400
