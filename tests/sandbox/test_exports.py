"""The CSV export: contract/onesignal.md, section 4."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import Any

import pytest
import requests

from tests.sandbox.cast import App, errors, some_uuid, user_path, wait_until

BUSY = "User already running another CSV export. Please wait until your other CSV exporter finishes and try again."
DEFAULT_COLUMNS = [
    *("id", "identifier", "session_count", "language", "timezone", "game_version", "device_os", "device_type"),
    *("device_model", "ad_id", "tags", "last_active", "playtime", "amount_spent", "created_at", "invalid_identifier"),
    "badge_count",
]


def ask(app: App, **wish: Any) -> requests.Response:
    return app.call_any("POST", f"/players/csv_export?app_id={app.app_id}", wish)


def rows(app: App, **wish: Any) -> list[dict[str, str]]:
    """Export and return the rows once the file is there."""
    url = ask(app, extra_fields=["external_user_id", "onesignal_id"], **wish).json()["csv_file_url"]
    wait_until(lambda: requests.get(url, timeout=5).status_code == 200)
    content = gzip.decompress(requests.get(url, timeout=5).content).decode()
    return list(csv.DictReader(io.StringIO(content)))


@pytest.fixture
def shop(app: App) -> App:
    app.control("PUT", "/faults", {"export_delay_ms": 0})
    app.add_users("ann", 'b,"ob\n😀')
    app.control("POST", "/users", {"users": [{"external_id": "silent", "subscriptions": []}]})
    for name in ("ann", "silent"):
        app.patch(name, {"cs_1": "1", "note": 'a "quoted", text'})
    app.create_segment("Buyers")
    return app


def test_the_file_has_a_row_for_every_subscription_with_tags_and_ids(shop: App) -> None:
    exported = rows(shop)
    assert list(exported[0]) == [*DEFAULT_COLUMNS, "external_user_id", "onesignal_id"]
    assert [row["external_user_id"] for row in exported] == ["ann", 'b,"ob\n😀']
    assert json.loads(exported[0]["tags"]) == {"cs_1": "1", "note": 'a "quoted", text'}
    shown = shop.call("GET", user_path("ann")).json()
    assert exported[0]["onesignal_id"] == shown["identity"]["onesignal_id"]
    assert exported[0]["id"] == shown["subscriptions"][0]["id"]


def test_a_segments_file_has_its_opted_in_subscriptions_or_all(shop: App) -> None:
    player_id = some_uuid()
    shop.control("POST", "/users", {"users": [{"external_id": "ann", "subscriptions": [player_id]}]})
    token = shop.call("GET", user_path("ann")).json()["subscriptions"][1]["token"]
    off = {"subscription": {"type": "AndroidPush", "token": token, "enabled": False}}
    assert shop.call("PATCH", f"/subscriptions/{player_id}", off).status_code == 200
    assert [row["external_user_id"] for row in rows(shop, segment_name="Buyers")] == ["ann"]
    everything = rows(shop, segment_name="Buyers", include_unsubscribed=True)
    assert [(row["external_user_id"], row["invalid_identifier"]) for row in everything] == [("ann", "f"), ("ann", "t")]
    assert len(rows(shop)) == 3


def test_the_file_is_missing_until_it_is_ready_and_one_export_runs_at_a_time(shop: App) -> None:
    shop.control("PUT", "/faults", {"export_delay_ms": 700})
    url = ask(shop).json()["csv_file_url"]
    missing = requests.get(url, timeout=5)
    assert missing.status_code == 404
    assert "<Code>NoSuchKey</Code>" in missing.text
    busy = ask(shop)
    assert (busy.status_code, errors(busy)) == (400, [BUSY])
    assert ask(App(shop.url)).status_code == 200
    wait_until(lambda: requests.get(url, timeout=5).status_code == 200)
    assert ask(shop).status_code == 200


def test_only_who_was_active_since_is_exported(shop: App) -> None:
    shop.patch("ann", properties={"last_active": 1_600_000_000})
    exported = rows(shop, last_active_since="1700000000")
    assert [row["external_user_id"] for row in exported] == ['b,"ob\n😀']


@pytest.mark.parametrize(
    "wish",
    [
        {"extra_fields": "external_user_id"},
        {"extra_fields": ["secrets"]},
        {"segment_name": "Nobody's"},
        {"segment_name": 7},
        {"include_unsubscribed": "yes"},
        {"last_active_since": "yesterday"},
    ],
)
def test_a_wish_that_makes_no_sense_is_refused_and_blocks_nothing(shop: App, wish: dict[str, Any]) -> None:
    assert ask(shop, **wish).status_code == 400
    assert ask(shop).status_code == 200


def test_the_app_may_be_named_in_the_body_and_under_the_older_prefix(shop: App) -> None:
    headers = {"Authorization": f"Key {shop.api_key}"}
    url = f"{shop.url}/api/v1/players/csv_export"
    assert requests.post(url, json={"app_id": shop.app_id}, headers=headers, timeout=5).status_code == 200


def test_no_other_file_is_served(shop: App) -> None:
    for name in ("..%2F..%2Fjournal.ndjson", "journal.ndjson", "users_x.csv.gz"):
        assert requests.get(f"{shop.url}/csv_exports/{shop.app_id}/{name}", timeout=5).status_code == 404
