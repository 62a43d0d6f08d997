"""Which key opens what: contract/onesignal.md, section 1.1."""

from __future__ import annotations

import pytest

from tests.sandbox.cast import DENIED, App, SandboxProcess, errors, some_uuid, user_path


@pytest.mark.parametrize("scheme", ["Key", "key", "KEY", "Basic", "basic"])
def test_the_apps_own_key_opens_segments_with_either_scheme(app: App, scheme: str) -> None:
    answer = app.call("GET", "/segments?limit=1&offset=0", headers={"Authorization": f"{scheme} {app.api_key}"})
    assert answer.status_code == 200
    assert answer.json() == {"total_count": 0, "offset": 0, "limit": 1, "segments": []}


@pytest.mark.parametrize("header", ["Key wrong", "Basic wrong", "Bearer {key}", "{key}", "Key", ""])
def test_any_bad_key_gets_the_one_refusal(app: App, header: str) -> None:
    headers = {"Authorization": header.format(key=app.api_key)}
    for method, path in (("GET", "/segments"), ("GET", "/segments/x"), ("DELETE", "/segments/x"), ("GET", "")):
        answer = app.call(method, path, headers=headers)
        assert (answer.status_code, answer.json()) == (403, {"errors": [DENIED]})
    answer = app.call_any("POST", f"/players/csv_export?app_id={app.app_id}", {}, headers=headers)
    assert (answer.status_code, answer.json()) == (403, {"errors": [DENIED]})


def test_another_apps_key_is_a_bad_key(app: App, sandbox: SandboxProcess) -> None:
    other = App(sandbox.url)
    answer = app.call("GET", "/segments", headers={"Authorization": f"Key {other.api_key}"})
    assert (answer.status_code, answer.json()) == (403, {"errors": [DENIED]})


def test_a_rotated_key_is_a_bad_key_at_once(app: App) -> None:
    app.control("PATCH", "", {"api_key": "os_v2_app_new"})
    assert app.call("GET", "/segments").status_code == 403
    assert app.call("GET", "/segments", headers={"Authorization": "Key os_v2_app_new"}).status_code == 200


def test_a_missing_header_is_named(app: App) -> None:
    for path in ("/segments", "/segments/x"):
        answer = app.call("GET", path, headers={})
        assert answer.status_code == 400
        assert answer.json() == {"errors": ["Please include a case-sensitive header of Authorization"]}


def test_users_endpoints_check_no_key(app: App) -> None:
    app.add_users("ann")
    for headers in ({}, {"Authorization": "Key wrong"}):
        answer = app.call("PATCH", user_path("ann"), {"properties": {"tags": {"a": "1"}}}, headers=headers)
        assert answer.status_code == 202
        assert app.call("GET", user_path("ann"), headers=headers).status_code == 200


def test_an_unknown_app_is_refused_everywhere(app: App) -> None:
    unknown = some_uuid()
    answer = app.call_any("GET", f"/apps/{unknown}/segments")
    assert (answer.status_code, answer.json()) == (403, {"errors": [DENIED]})
    answer = app.call_any("POST", f"/players/csv_export?app_id={unknown}", {})
    assert (answer.status_code, answer.json()) == (403, {"errors": [DENIED]})
    answer = app.call_any("GET", f"/apps/{unknown}")
    assert (answer.status_code, errors(answer)) == (404, [f"Couldn't find app with id = {unknown}"])
    answer = app.call_any("PATCH", f"/apps/{unknown}{user_path('ann')}", {})
    assert (answer.status_code, errors(answer)[0]["code"]) == (404, "app-0")


def test_an_app_id_that_is_none_is_malformed(app: App) -> None:
    answer = app.call_any("GET", "/apps/nonsense/segments")
    assert answer.status_code == 400
    assert answer.json() == {
        "errors": ["app_id not found. You may be missing a Content-Type: application/json header."],
        "reference": ["/docs/accounts-and-keys#section-keys-ids"],
    }
    answer = app.call_any("POST", "/players/csv_export?app_id=nonsense", {})
    assert (answer.status_code, errors(answer)) == (
        400,
        ["Request is malformed: Failed to parse app_id from request"],
    )
    answer = app.call_any("GET", f"/apps/nonsense{user_path('ann')}")
    assert (answer.status_code, errors(answer)[0]["code"]) == (400, "request-1")


def test_the_list_of_apps_needs_an_organisations_key(app: App) -> None:
    answer = app.call_any("GET", "/apps")
    assert answer.status_code == 403
    assert answer.json() == {"errors": ["Current organization permissions do not allow this action."]}
    assert app.call_any("GET", "/apps", headers={"Authorization": "Key wrong"}).json() == {"errors": [DENIED]}


def test_the_view_of_an_app_counts_unless_asked_for_its_configuration(app: App) -> None:
    app.add_users("ann", "bob")
    shown = app.call("GET", "").json()
    assert (shown["id"], shown["players"], shown["messageable_players"]) == (app.app_id, 2, 2)
    assert "players" not in app.call("GET", "?view=config").json()


def test_the_older_prefix_reaches_the_same_app(app: App) -> None:
    app.add_users("ann")
    assert app.call_any("GET", f"/api/v1/apps/{app.app_id}/segments").status_code == 200
    assert app.call_any("GET", f"/api/v1/apps/{app.app_id}{user_path('ann')}").status_code == 200


def test_a_body_needs_its_content_type(app: App) -> None:
    for path in ("/segments", "/users"):
        answer = app.session.post(
            f"{app.url}/apps/{app.app_id}{path}", data=b"{}", headers={"Authorization": f"Key {app.api_key}"}
        )
        assert answer.status_code == 400
        assert "You may be missing a Content-Type: application/json header." in answer.text
