"""Users and their tags: contract/onesignal.md, section 3."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.cast import App, SandboxProcess, errors, some_uuid, user_path

TAG_LIMIT = {
    "code": "entitlements-tag-limit",
    "title": "The tags for this user exceed the limit for this organization's plan.",
}


def test_tags_are_set_overwritten_and_deleted_by_an_empty_string(app: App) -> None:
    app.add_users("ann")
    answer = app.patch("ann", {"a": "1", "b": "2"})
    assert (answer.status_code, answer.json()) == (202, {"properties": {"tags": {"a": "1", "b": "2"}}})
    app.patch("ann", {"a": "3"})
    assert app.tags("ann") == {"a": "3", "b": "2"}
    app.patch("ann", {"b": "", "never": ""})
    assert app.tags("ann") == {"a": "3"}


def test_an_unknown_user_is_not_found_and_never_created(app: App) -> None:
    answer = app.patch("nobody", {"a": "1"})
    assert answer.status_code == 404
    assert errors(answer) == [{"code": "user-0", "title": "User not found"}]
    assert app.call("GET", user_path("nobody")).status_code == 404
    assert app.control("GET")["users"] == 0


@pytest.mark.parametrize("external_id", ["a/b", "a b", "😀 ünïcode", "50%", "?#&=+", "../x", "'\"<b>", "x" * 128])
def test_an_id_of_any_characters_names_one_user(app: App, external_id: str) -> None:
    app.add_users(external_id, "a", "b")
    assert app.patch(external_id, {"cs_1": "1"}).status_code == 202
    assert app.call("GET", user_path(external_id)).json()["identity"]["external_id"] == external_id
    assert app.members(app.create_segment().json()["id"]) == {external_id}


@pytest.mark.parametrize(
    "external_id",
    ["NA", "NULL", "0", "1", "-1", "all", "00000000-0000-0000-0000-000000000000", "x" * 129, "😀" * 129, "a\0b"],
)
def test_an_id_that_onesignal_does_not_allow_is_malformed(app: App, external_id: str) -> None:
    for method in ("PATCH", "GET", "DELETE"):
        answer = app.call(method, user_path(external_id), {} if method == "PATCH" else None)
        assert answer.status_code == 400
        assert errors(answer)[0]["code"] == "request-0"
    created = app.call("POST", "/users", {"identity": {"external_id": external_id}})
    assert created.status_code == 400


def test_an_onesignal_id_must_be_a_uuid(app: App) -> None:
    answer = app.call("GET", user_path("123", "onesignal_id"))
    assert answer.status_code == 400
    assert errors(answer) == [{"code": "request-1", "title": "Invalid UUID", "meta": {"onesignal_id": "123"}}]
    assert app.call("GET", user_path(some_uuid(), "onesignal_id")).status_code == 404


@pytest.mark.parametrize(
    "tags",
    [
        {"a": 1},
        {"a": True},
        {"a": None},
        {"a": ["1"]},
        {"a": {"b": "1"}},
        {"": "1"},
        {"x" * 256: "1"},
        {"a": "x" * 1025},
        {"a": "\0"},
        {"message": "1"},
        {"custom_data": "1"},
        {f"key{number}": "" for number in range(101)},
    ],
)
def test_tags_that_onesignal_refuses_leave_the_user_as_they_were(app: App, tags: dict[str, Any]) -> None:
    app.add_users("ann")
    app.patch("ann", {"kept": "1"})
    answer = app.patch("ann", {**tags, "other": "1"})
    assert answer.status_code == 400
    assert set(errors(answer)[0]) == {"code", "title"}
    assert app.tags("ann") == {"kept": "1"}


@pytest.mark.parametrize(("plan", "limit"), [("free", 2), ("growth", 10), ("professional", 100), ("enterprise", None)])
def test_a_plan_has_room_for_so_many_tags(sandbox: SandboxProcess, plan: str, limit: int | None) -> None:
    app = App(sandbox.url, plan=plan)
    app.add_users("ann")
    count = limit or 100
    assert app.patch("ann", {f"key{number}": "1" for number in range(count)}).status_code == 202
    answer = app.patch("ann", {"one_more": "1"})
    if limit is None:
        assert answer.status_code == 202
    else:
        assert (answer.status_code, errors(answer)) == (409, [TAG_LIMIT])
        assert len(app.tags("ann")) == limit


def test_at_the_tag_limit_a_deletion_makes_room_for_the_next_request_only(app: App) -> None:
    app.add_users("ann")
    app.control("PATCH", "", {"tag_limit": 2})
    assert app.patch("ann", {"a": "1", "b": "1"}).status_code == 202
    assert app.patch("ann", {"a": "2"}).status_code == 202
    assert app.patch("ann", {"a": "", "c": "1"}).status_code == 409
    assert app.tags("ann") == {"a": "2", "b": "1"}
    assert app.patch("ann", {"a": ""}).status_code == 202
    assert app.patch("ann", {"c": "1"}).status_code == 202
    app.control("PATCH", "", {"tag_limit": 1})
    assert app.patch("ann", {"b": "5"}).status_code == 202
    app.control("PATCH", "", {"tag_limit": None})
    assert app.patch("ann", {"d": "1"}).status_code == 202


def test_properties_and_deltas_are_kept_and_answered(app: App) -> None:
    app.add_users("ann")
    purchase = {"sku": "s", "amount": "1.99", "iso": "USD", "count": 1}
    answer = app.patch(
        "ann",
        properties={"language": "de", "lat": 52, "last_active": 1_700_000_000, "tags": {"a": "1"}},
        deltas={"session_count": 2, "session_time": 60, "purchases": [purchase]},
    )
    assert answer.status_code == 202
    assert answer.json()["properties"]["purchases"] == [purchase]
    shown = app.call("GET", user_path("ann")).json()["properties"]
    assert (shown["language"], shown["lat"], shown["last_active"]) == ("de", 52, 1_700_000_000)
    assert app.patch("ann", properties={"language": 7}).status_code == 400
    assert app.patch("ann", deltas={"session_count": "x"}).status_code == 400


def test_a_user_is_created_once_and_updated_after(app: App) -> None:
    body = {"identity": {"external_id": "ann", "crm": "c-1"}, "properties": {"tags": {"a": "1"}, "language": "en"}}
    created = app.call("POST", "/users", body)
    assert created.status_code == 200
    onesignal_id = created.json()["identity"]["onesignal_id"]
    again = app.call(
        "POST",
        "/users",
        {
            "identity": {"crm": "c-1"},
            "properties": {"tags": {"b": "2"}},
            "subscriptions": [{"type": "Email", "token": "ann@example.com"}],
        },
    )
    assert again.status_code == 202
    assert again.json()["identity"]["onesignal_id"] == onesignal_id
    shown = app.call("GET", user_path(onesignal_id, "onesignal_id")).json()
    assert shown["identity"] == {"external_id": "ann", "crm": "c-1", "onesignal_id": onesignal_id}
    assert shown["properties"]["tags"] == {"a": "1", "b": "2"}
    (subscription,) = shown["subscriptions"]
    assert (subscription["type"], subscription["token"], subscription["enabled"]) == ("Email", "ann@example.com", True)


def test_a_user_needs_an_identifier_and_one_owner_of_all_aliases(app: App) -> None:
    assert app.call("POST", "/users", {"properties": {"tags": {"a": "1"}}}).status_code == 400
    app.call("POST", "/users", {"identity": {"external_id": "ann", "crm": "c-1"}})
    app.call("POST", "/users", {"identity": {"external_id": "bob", "crm": "c-2"}})
    answer = app.call("POST", "/users", {"identity": {"external_id": "ann", "crm": "c-2"}})
    assert answer.status_code == 409
    (error,) = errors(answer)
    assert error["code"] == "Conflict"
    assert error["meta"] == {"conflicting_aliases": {"external_id": "ann", "crm": "c-2"}}
    unknown = {"identity": {"onesignal_id": some_uuid()}}
    assert app.call("POST", "/users", unknown).status_code == 404


def test_a_user_without_aliases_is_found_by_their_subscription(app: App) -> None:
    body = {"subscriptions": [{"type": "Email", "token": "someone@example.com"}]}
    created = app.call("POST", "/users", body)
    again = app.call("POST", "/users", {**body, "properties": {"tags": {"a": "1"}}})
    assert (created.status_code, again.status_code) == (200, 202)
    assert created.json()["identity"] == again.json()["identity"]


def test_the_tag_limit_holds_for_new_users_too(app: App) -> None:
    app.control("PATCH", "", {"tag_limit": 1})
    body = {"identity": {"external_id": "ann"}, "properties": {"tags": {"a": "1", "b": "1"}}}
    assert app.call("POST", "/users", body).status_code == 409
    assert app.call("GET", user_path("ann")).status_code == 404


def test_a_deleted_user_is_gone_with_tags_and_subscriptions_and_may_come_again(app: App) -> None:
    app.add_users("ann", "bob")
    app.patch("ann", {"cs_1": "1"})
    before = app.call("GET", user_path("ann")).json()
    answer = app.call("DELETE", user_path("ann"))
    assert answer.status_code == 202
    assert answer.json() == {"identity": {"onesignal_id": before["identity"]["onesignal_id"]}}
    assert app.call("DELETE", user_path("ann")).status_code == 404
    assert app.call("GET", f"/subscriptions/{before['subscriptions'][0]['id']}/user/identity").status_code == 404
    segment_id = app.create_segment().json()["id"]
    assert app.members(segment_id) == set()
    app.add_users("ann")
    assert app.tags("ann") == {}
    assert app.call("GET", user_path("ann")).json()["identity"] != before["identity"]
