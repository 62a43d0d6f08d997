"""The main job from the first page to the filled segment, in a real browser on the product as it is shipped."""

from __future__ import annotations

import json
import re
import time
import uuid
from typing import Any

import requests
from playwright.sync_api import Page, expect

from tests.browser.watching import Watch
from tests.installation import Installation
from tests.sandbox_app import SandboxApp

PRO = [f"pro-{n}@example.com" for n in range(12)]
FREE = [f"free-{n}@example.com" for n in range(5)]
# Known here as pro and to nobody at OneSignal.
STRANGER = "nobody@example.com"


def login_of(installation: Installation, *, seconds: float = 20) -> dict[str, Any]:
    """Return the line that bootstrap printed for the demo project; it comes a moment after the pages answer."""
    ends_at = time.monotonic() + seconds
    while not (kept := installation.data_dir / "demo.json").exists():
        assert time.monotonic() < ends_at, installation.output()
        time.sleep(0.1)
    told: dict[str, Any] = json.loads(kept.read_text())
    return told


def send_people(installation: Installation, token: str) -> None:
    """Send profiles as an SDK does, and an event."""
    profiles = [
        {"$token": token, "$distinct_id": each, "$set": {"plan": plan, "$onesignal_user_id": each}}
        for plan, people in (("pro", [*PRO, STRANGER]), ("free", FREE))
        for each in people
    ]
    without_id = {"$token": token, "$distinct_id": "no-id", "$set": {"plan": "pro"}}
    stored = requests.post(f"{installation.url}/engage", json=[*profiles, without_id], timeout=10)
    assert stored.text == "1"
    event = {"event": "App Opened", "properties": {"token": token, "distinct_id": PRO[0], "time": int(time.time())}}
    assert requests.post(f"{installation.url}/track", json=[event], timeout=10).text == "1"


def test_from_the_login_to_a_dynamic_segment(installation: Installation, page: Page, watch: Watch) -> None:
    told = login_of(installation)
    sandbox = SandboxApp(installation.sandbox_url())
    sandbox.add_users(*PRO, *FREE)
    send_people(installation, told["token"])

    page.goto(installation.url)
    page.get_by_label("Email").fill(told["login"]["email"])
    page.get_by_label("Password").fill(told["login"]["password"])
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="First steps")).to_be_visible()

    # Connect: a wrong key first. The browser tells a refused form on its console.
    watch.expect("status of 422")
    page.get_by_role("link", name="Integrations").click()
    page.get_by_role("link", name="Connect OneSignal").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("These settings apply to your current project")
    dialog.get_by_label("Connector name").fill("CRM")
    dialog.get_by_label("API Key").fill("wrong-key-0123456789")
    dialog.get_by_label("App ID").fill(sandbox.app_id)
    dialog.get_by_label(re.compile("sandbox")).check()
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog).to_contain_text("OneSignal refused the API Key")
    expect(dialog.get_by_label("API Key")).to_be_focused()
    expect(dialog.get_by_label("App ID")).to_have_value(sandbox.app_id)
    dialog.get_by_label("API Key").fill(sandbox.api_key)
    dialog.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Connected", exact=True).first).to_be_visible()
    expect(page.get_by_role("status").first).to_contain_text("Connected: OneSignal accepts the key")

    # Define a cohort.
    page.get_by_role("link", name="Cohorts", exact=True).click()
    page.get_by_role("link", name="New cohort").first.click()
    name = f"Pro users {uuid.uuid4().hex[:6]}"
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("What they do").select_option("property")
    page.get_by_label("Property", exact=True).fill("plan")
    page.get_by_label("Values").fill("pro")
    page.get_by_role("button", name="Save cohort").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(page.get_by_label("Coverage")).to_contain_text("13 can be exported (93 %)")

    # Export it from its three-dot menu.
    page.get_by_role("navigation").get_by_role("link", name="Cohorts").click()
    page.get_by_label(f"Actions for {name}").click()
    page.get_by_role("link", name="Export to OneSignal").click()
    expect(dialog).to_contain_text(f"{name}: 13 of 14 users will be exported")
    expect(dialog.get_by_label(re.compile("One-time export"))).to_be_checked()
    dialog.get_by_role("button", name="Begin Sync").click()

    # Watch it arrive: nobody reloads.
    page.wait_for_url("**/syncs/*/")
    expect(page.get_by_text("The segment equals the cohort, apart from 1 member unknown to OneSignal.")).to_be_visible(
        timeout=30_000
    )
    expect(page.locator("#history")).to_contain_text("Succeeded")
    segments = [each for each in sandbox.segments() if each["name"].endswith(name)]
    assert len(segments) == 1
    assert sandbox.segment_users(segments[0]["id"]) == set(PRO)

    # The one whom OneSignal does not know is told on the run's page.
    page.locator("#history").get_by_role("rowheader").get_by_role("link").first.click()
    expect(page.get_by_role("row", name=re.compile(STRANGER))).to_contain_text("OneSignal does not know this id.")
    page.go_back()

    # Switch to dynamic.
    page.get_by_role("button", name="Make it a dynamic sync").click()
    expect(page.get_by_text("Dynamic sync: every 15 minutes")).to_be_visible()
    expect(page.locator("#main")).to_contain_text(re.compile(r"Next run\s*(\d+\s|an?\s)(second|minute)s? from now"))

    # And see the users where OneSignal keeps them.
    page.get_by_role("link", name="See its users in the sandbox").click()
    for each in PRO:
        expect(page.get_by_text(each, exact=True).first).to_be_visible()
    expect(page.get_by_text(FREE[0], exact=True)).to_have_count(0)
