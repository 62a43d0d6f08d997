"""Segments: contract/onesignal.md, section 2."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.cast import App, SandboxProcess, errors, some_uuid, tag_filter

PLAN_REFUSAL = "This API is not available for applications on your plan."


def test_a_segment_is_created_listed_viewed_renamed_and_deleted(app: App) -> None:
    app.add_users("ann", "bob")
    app.patch("ann", {"cs_1": "1"})
    segment_id = some_uuid()
    created = app.create_segment("Buyers", id=segment_id, description="They bought")
    assert (created.status_code, created.json()) == (201, {"success": True, "id": segment_id})
    (listed,) = app.call("GET", "/segments").json()["segments"]
    assert (listed["id"], listed["name"], listed["app_id"]) == (segment_id, "Buyers", app.app_id)
    assert (listed["description"], listed["read_only"], listed["is_active"]) == ("They bought", False, True)
    assert listed["created_at"].endswith("Z")
    assert app.call("GET", f"/segments/{segment_id}").json() == {"subscriber_count": 1}
    payload = app.call("GET", f"/segments/{segment_id}?include-segment-detail=true").json()["payload"]
    assert (payload["name"], payload["source"], payload["filters"]) == ("Buyers", "custom", [tag_filter("cs_1")])
    assert isinstance(payload["created_at"], int)
    renamed = app.call("PATCH", f"/segments/{segment_id}", {"name": "Clients", "description": ""})
    assert (renamed.status_code, renamed.json()) == (200, {"success": True, "id": segment_id})
    payload = app.call("GET", f"/segments/{segment_id}?include-segment-detail=true").json()["payload"]
    assert (payload["name"], payload["description"], payload["filters"]) == ("Clients", None, [tag_filter("cs_1")])
    deleted = app.call("DELETE", f"/segments/{segment_id}")
    assert (deleted.status_code, deleted.json()) == (200, {"success": True})
    assert app.tags("ann") == {"cs_1": "1"}


def test_an_unknown_segment_is_not_found_in_three_ways(app: App) -> None:
    path = f"/segments/{some_uuid()}"
    viewed = app.call("GET", path)
    assert (viewed.status_code, viewed.json()) == (404, {"errors": ["segment not found"]})
    renamed = app.call("PATCH", path, {"name": "x"})
    assert (renamed.status_code, renamed.json()) == (404, {"success": False, "errors": ["segment not found"]})
    deleted = app.call("DELETE", path)
    assert (deleted.status_code, deleted.json()) == (404, {"success": False})


def test_the_same_id_is_a_conflict_even_with_the_same_name(app: App) -> None:
    segment_id = some_uuid()
    app.create_segment(id=segment_id)
    again = app.create_segment(id=segment_id)
    assert again.status_code == 409
    assert again.json() == {"success": False, "errors": ["Segment with the given id already exists."]}


def test_a_name_is_taken_once_per_app(app: App, sandbox: SandboxProcess) -> None:
    app.create_segment("Buyers")
    other_id = app.create_segment("Others").json()["id"]
    for refused in (app.create_segment("Buyers"), app.call("PATCH", f"/segments/{other_id}", {"name": "Buyers"})):
        assert refused.status_code == 400
        assert refused.json() == {"success": False, "errors": ["Segment name is already taken."]}
    assert app.call("PATCH", f"/segments/{other_id}", {"name": "Others"}).status_code == 200
    assert App(sandbox.url).create_segment("Buyers").status_code == 201


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": None}, "name is required"),
        ({"name": "   "}, "name is required"),
        ({"name": 7}, "name must be a string."),
        ({"name": "x" * 129}, "name is too long (maximum is 128 characters)"),
        ({"description": "x" * 256}, "description is too long (maximum is 255 characters)"),
        ({"id": "mine"}, "id must be a UUID"),
        ({"filters": []}, "filters must be an array of 1 to 200 entries, operators included."),
        ({"filters": [tag_filter("a")] * 201}, "filters must be an array of 1 to 200 entries, operators included."),
        ({"filters": None}, "filters must be an array of 1 to 200 entries, operators included."),
        ({"filters": ["x"]}, "filters entry 1 must be an object."),
        ({"filters": [{"field": "external_id"}]}, "filters entry 1: field must be one of"),
        ({"filters": [tag_filter("a", "like")]}, "filters entry 1: relation of tag must be one of"),
        ({"filters": [tag_filter("")]}, "filters entry 1: a tag filter needs a key."),
        ({"filters": [tag_filter("a", "=", None)]}, "filters entry 1: tag needs value."),
        ({"filters": [{**tag_filter("a"), "value": 1}]}, "filters entry 1: every value must be a string without NUL."),
        ({"filters": [tag_filter("a"), {"operator": "OR"}]}, "filters must not end with an operator."),
        ({"filters": [{"operator": "OR"}, tag_filter("a")]}, "filters entry 1: an operator must stand between"),
        ({"filters": [tag_filter("a"), {"operator": "XOR"}]}, "filters entry 2: operator must be AND or OR."),
        (
            {"filters": [{"field": "last_session", "relation": ">", "hours_ago": "x"}]},
            "filters entry 1: hours_ago must be a number.",
        ),
        (
            {"filters": [{"field": "country", "relation": "in_array", "value": ",".join("abcdefghijklmnopqrstu")}]},
            "filters entry 1: value must list at most 20 values.",
        ),
    ],
)
def test_what_is_wrong_with_a_segment_is_said(app: App, fields: dict[str, Any], sentence: str) -> None:
    refused = app.create_segment(**fields) if "name" in fields else app.create_segment("Buyers", **fields)
    assert refused.status_code == 400
    assert refused.json()["success"] is False
    assert errors(refused)[0].startswith(sentence)
    assert app.call("GET", "/segments").json()["total_count"] == 0


def test_a_name_of_128_characters_and_200_filters_are_accepted(app: App) -> None:
    assert app.create_segment("x" * 128, filters=[tag_filter("a")] * 200).status_code == 201


def test_a_rename_needs_the_name_and_never_empties_the_filters(app: App) -> None:
    segment_id = app.create_segment().json()["id"]
    assert errors(app.call("PATCH", f"/segments/{segment_id}", {"description": "x"})) == ["name is required"]
    assert app.call("PATCH", f"/segments/{segment_id}", {"name": "Buyers", "filters": []}).status_code == 400


def test_the_free_plan_reads_segments_but_does_not_write_them(app: App) -> None:
    segment_id = app.create_segment().json()["id"]
    app.control("PATCH", "", {"plan": "free"})
    for refused in (app.create_segment("Second"), app.call("DELETE", f"/segments/{segment_id}")):
        assert (refused.status_code, refused.json()) == (403, {"errors": [PLAN_REFUSAL]})
    renamed = app.call("PATCH", f"/segments/{segment_id}", {"name": "Other"})
    assert (renamed.status_code, renamed.json()) == (403, {"success": False, "errors": [PLAN_REFUSAL]})
    assert app.call("GET", "/segments").json()["total_count"] == 1
    assert app.call("GET", f"/segments/{segment_id}").status_code == 200


@pytest.mark.parametrize(("plan", "limit"), [("growth", 10), ("professional", 20)])
def test_a_plan_has_room_for_so_many_segments(sandbox: SandboxProcess, plan: str, limit: int) -> None:
    app = App(sandbox.url, plan=plan)
    for number in range(limit):
        assert app.create_segment(f"Segment {number}").status_code == 201
    refused = app.create_segment("One too many")
    assert refused.status_code == 422
    assert refused.json() == {"errors": ["You have reached the maximum number of segments allowed for your plan."]}
    app.control("PATCH", "", {"segment_limit": limit + 1})
    assert app.create_segment("One too many").status_code == 201


def test_segments_are_listed_in_pages_oldest_first(sandbox: SandboxProcess) -> None:
    app = App(sandbox.url, plan="enterprise")
    for number in range(305):
        app.create_segment(f"Segment {number}")
    first = app.call("GET", "/segments").json()
    assert (first["total_count"], first["offset"], first["limit"]) == (305, 0, 300)
    second = app.call("GET", "/segments?offset=300&limit=1000").json()
    assert (second["offset"], second["limit"]) == (300, 300)
    names = [segment["name"] for page in (first, second) for segment in page["segments"]]
    assert names == [f"Segment {number}" for number in range(305)]
    for query in ("limit=0", "limit=x", "offset=-1", "offset=" + "9" * 30):
        refused = app.call("GET", f"/segments?{query}")
        assert (refused.status_code, errors(refused)[0]["code"]) == (400, "request-0")


def test_a_segment_that_a_journey_uses_cannot_be_changed(app: App) -> None:
    segment_id = app.create_segment().json()["id"]
    app.control("PATCH", f"/segments/{segment_id}", {"used_by_journey": True})
    refused = app.call("PATCH", f"/segments/{segment_id}", {"name": "Other"})
    assert (refused.status_code, refused.json()["success"]) == (400, False)
    app.control("PATCH", f"/segments/{segment_id}", {"used_by_journey": False})
    assert app.call("PATCH", f"/segments/{segment_id}", {"name": "Other"}).status_code == 200


def test_a_paused_segment_says_so(app: App) -> None:
    segment_id = app.create_segment().json()["id"]
    app.control("PATCH", f"/segments/{segment_id}", {"is_active": False})
    assert app.call("GET", "/segments").json()["segments"][0]["is_active"] is False


def test_a_segment_counts_opted_in_subscriptions_not_users(app: App) -> None:
    app.add_users("ann")
    app.control("POST", "/users", {"users": [{"external_id": "bob", "subscriptions": [some_uuid(), some_uuid()]}]})
    app.control("POST", "/users", {"users": [{"external_id": "cat", "subscriptions": []}]})
    for name in ("ann", "bob", "cat"):
        app.patch(name, {"cs_1": "1"})
    segment_id = app.create_segment().json()["id"]
    assert app.members(segment_id) == {"ann", "bob", "cat"}
    assert app.call("GET", f"/segments/{segment_id}").json() == {"subscriber_count": 3}
    held = app.call("GET", "/users/by/external_id/bob").json()["subscriptions"]
    app.call(
        "PATCH",
        f"/subscriptions/{held[0]['id']}",
        {"subscription": {"type": held[0]["type"], "token": held[0]["token"], "enabled": False}},
    )
    assert app.call("GET", f"/segments/{segment_id}").json() == {"subscriber_count": 2}
