"""Every page at both widths and in both themes: no serious barrier, nothing wider than the screen, no complaint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection as database
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from cohorts.arrivals import arrivals
from cohorts.models import Cohort, Membership, Project, ServiceAccount, User
from cohorts.models.projects import Role
from cohorts.refusals import Reason, RefusedRecord, record_refusals
from integrations.models import Connection, Ledger, Run, Sync
from tests.browser.axe import serious_barriers
from tests.browser.conftest import LogIn
from tests.browser.watching import DESKTOP, PHONE, OpenPage, Watch
from tests.cast import make_cohort, make_connection, make_people, make_project, make_sync, shoppers
from tests.ingest import wire

pytestmark = pytest.mark.django_db(transaction=True)
LOOKS = [pytest.param(DESKTOP, "light", id="1440-light"), pytest.param(PHONE, "dark", id="390-dark")]
LONG = "x" * 200


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("owner@example.com", first_name="Olga", last_name="Owner")


@pytest.fixture
def empty(owner: User) -> Project:
    """A project in which nothing has happened yet."""
    project = make_project("Empty")
    Membership.objects.create(project=project, user=owner, role=Role.OWNER)
    return project


@pytest.fixture
def shop(owner: User) -> Project:
    """A project with people and cohorts, ordinary ones and with names that nobody thought of."""
    project = make_project("Shop " + LONG[:60])
    Membership.objects.create(project=project, user=owner, role=Role.OWNER)
    make_people(project, shoppers([f"user-{n}" for n in range(14)], plan="pro") | {LONG: {"plan": "pro"}, "anon": {}})
    for name in ("Pro users", LONG, "Paused ones"):
        cohort = make_cohort(project, name)
        Cohort.objects.filter(pk=cohort.pk).update(
            created_by=owner, description=f"About {name}", count=1_000_000, counted_at=timezone.now()
        )
    return project


@pytest.fixture
def sync(shop: Project, owner: User) -> Sync:
    """The sync of the first cohort with a run in each state, another one paused with a long reason."""
    first, _, last = Cohort.objects.filter(project=shop).order_by("id")
    made = make_sync(first, delivered=1_000_000)
    paused = make_sync(last, made.connection)
    Sync.objects.filter(pk=paused.pk).update(
        status="paused", paused_by="failure", pause_reason=f"OneSignal refused it: {LONG}"
    )
    now = timezone.now()
    counts = {"members": 5, "anonymous": 1, "without_match_property": 1, "invalid_id": 0, "matched_profiles": 3}
    counts |= {"matched_keys": 3, "to_add": 3, "added": 2, "rejected": 1}
    ServiceAccount.objects.create(project=shop, username=LONG[:128], secret_hash="x", role="owner")
    refused = [RefusedRecord(n, reason, "", LONG, "", LONG * 2) for n, reason in enumerate(Reason)]
    with database.cursor() as cursor:
        record_refusals(cursor, project_id=shop.pk, endpoint="/track", refusals=refused, now=now)
    events = [wire.event(shop, "Purchase"), wire.event(shop, LONG, distinct_id=LONG, **{LONG: LONG, "null": None})]
    assert wire.send(Client(), "/track", [*events, wire.event(shop, "Ghost", distinct_id="null")])[1] == b"1"
    for status, fields in (
        ("succeeded", {**counts, "rejected": 0, "unmatched": 1}),
        ("partial", counts),
        ("failed", {"error": f"OneSignal said {LONG}", "error_kind": "permanent"}),
        ("cancelled", {"error": "The sync was paused."}),
    ):
        Run.objects.create(
            project=shop,
            sync=made,
            trigger="manual",
            status=status,
            queued_at=now,
            started_at=now,
            finished_at=now,
            as_of=now if "members" in fields else None,
            **fields,
        )
    return made


def check(page: Page, address: str) -> None:
    """Open an address and look at it; what the page complains about is asserted when the test ends."""
    page.goto(address)
    page.wait_for_load_state("networkidle")
    assert serious_barriers(page) == [], address
    width, room = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= room, address


@pytest.mark.parametrize(("viewport", "scheme"), LOOKS)
def test_what_a_stranger_sees(live_server: LiveServer, open_page: OpenPage, viewport: object, scheme: object) -> None:
    page = open_page(viewport=viewport, scheme=scheme)  # type: ignore[arg-type]
    for path in ("accounts/login/", "accounts/password/reset/", "accounts/signup/"):
        check(page, f"{live_server}/{path}")


@pytest.mark.parametrize(("viewport", "scheme"), LOOKS)
def test_an_empty_project(
    live_server: LiveServer,
    open_page: OpenPage,
    log_in: LogIn,
    owner: User,
    empty: Project,
    viewport: object,
    scheme: object,
) -> None:
    page = open_page(viewport=viewport, scheme=scheme)  # type: ignore[arg-type]
    log_in(page, owner)
    paths = ("", "cohorts/", "cohorts/new/", "integrations/", "integrations/onesignal/connect/")
    for path in (*paths, "events/", "data-health/", "settings/", "settings/service-accounts/new/"):
        check(page, f"{live_server}/projects/{empty.pk}/{path}")
    for path in ("accounts/password/change/", "accounts/2fa/", "accounts/logout/"):
        check(page, f"{live_server}/{path}")


@pytest.mark.parametrize(("viewport", "scheme"), LOOKS)
def test_a_project_with_everything(
    live_server: LiveServer,
    open_page: OpenPage,
    log_in: LogIn,
    owner: User,
    sync: Sync,
    viewport: object,
    scheme: object,
) -> None:
    page = open_page(viewport=viewport, scheme=scheme)  # type: ignore[arg-type]
    log_in(page, owner)
    project, cohort, connection = sync.project_id, sync.cohort_id, sync.connection_id
    paths = [
        "",
        "cohorts/",
        f"cohorts/{cohort}/",
        f"cohorts/{cohort}/members/",
        f"cohorts/{cohort}/edit/",
        f"cohorts/{cohort}/export/",
        f"cohorts/{cohort}/delete/",
        "integrations/",
        "integrations/onesignal/",
        f"connections/{connection}/settings/",
        f"connections/{connection}/key/",
        f"connections/{connection}/disconnect/",
        f"syncs/{sync.pk}/",
        f"syncs/{sync.pk + 1}/",
        f"syncs/{sync.pk}/delete/",
        *(f"runs/{pk}/" for pk in sync.runs.values_list("pk", flat=True)),
        "events/",
        "events/?paused=1&event=Nope",
        *(f"events/{each.key}/" for each in arrivals(project=sync.project, limit=2).shown),
        "data-health/",
        f"data-health/?reason={quote(Reason.TIME_TOO_OLD)}",
        "data-health/?endpoint=/import",
        "settings/",
        f"settings/service-accounts/{ServiceAccount.objects.get().pk}/delete/",
    ]
    for path in paths:
        check(page, f"{live_server}/projects/{project}/{path}")


@pytest.mark.parametrize(("viewport", "scheme"), LOOKS)
def test_a_connection_to_the_sandbox(
    live_server: LiveServer,
    open_page: OpenPage,
    log_in: LogIn,
    owner: User,
    sync: Sync,
    settings: Any,
    viewport: object,
    scheme: object,
) -> None:
    settings.SANDBOX_URL = "http://127.0.0.1:1"
    Connection.objects.filter(pk=sync.connection_id).update(is_sandbox=True)
    Ledger.objects.filter(pk=sync.ledger_id).update(segment_seen_at=timezone.now())
    page = open_page(viewport=viewport, scheme=scheme)  # type: ignore[arg-type]
    log_in(page, owner)
    check(page, f"{live_server}/projects/{sync.project_id}/integrations/onesignal/")
    expect(page.get_by_role("link", name="Open in the sandbox")).to_be_visible()
    check(page, f"{live_server}/projects/{sync.project_id}/syncs/{sync.pk}/")
    expect(page.get_by_role("link", name="See its users in the sandbox")).to_be_visible()


def test_what_is_not_there_or_not_allowed_is_a_page_too(
    live_server: LiveServer, page: Page, watch: Watch, log_in: LogIn, empty: Project
) -> None:
    watch.expect("status of 404")
    watch.expect("status of 403")
    consumer = User.objects.create_user("consumer@example.com")
    Membership.objects.create(project=empty, user=consumer, role=Role.CONSUMER)
    log_in(page, consumer)
    check(page, f"{live_server}/projects/999999/")
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    check(page, f"{live_server}/projects/{empty.pk}/integrations/")
    expect(page.get_by_text("takes the role admin or higher")).to_be_visible()


@pytest.fixture
def at_cohorts(live_server: LiveServer, page: Page, log_in: LogIn, owner: User) -> Callable[[Project], Page]:
    """Return how to open a project's cohorts."""

    def open_list(project: Project) -> Page:
        log_in(page, owner)
        page.goto(f"{live_server}/projects/{project.pk}/cohorts/")
        return page

    return open_list


def test_a_menu_works_with_the_keyboard(at_cohorts: Callable[[Project], Page], shop: Project) -> None:
    page = at_cohorts(shop)
    dots = page.get_by_label("Actions for Pro users")
    dots.focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="Export to OneSignal")).to_be_focused()
    page.keyboard.press("End")
    expect(page.get_by_role("link", name="Delete")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="Export to OneSignal")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Export to OneSignal")).to_be_hidden()
    expect(dots).to_be_focused()


def test_a_dialog_takes_the_focus_and_gives_it_back(at_cohorts: Callable[[Project], Page], shop: Project) -> None:
    page = at_cohorts(shop)
    page.get_by_label("Actions for Pro users").click()
    page.get_by_role("link", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete this cohort?")
    expect(dialog).to_be_visible()
    assert page.evaluate("document.getElementById('dialog').contains(document.activeElement)")
    assert serious_barriers(page) == []
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_label("Actions for Pro users")).to_be_focused()


def test_a_toast_is_a_list_that_is_read_out(at_cohorts: Callable[[Project], Page], shop: Project) -> None:
    page = at_cohorts(shop)
    page.get_by_label("Actions for Pro users").click()
    page.get_by_role("button", name="Duplicate").click()
    expect(page.get_by_role("status").get_by_role("listitem")).to_contain_text("is yours alone until you share it.")
    assert serious_barriers(page) == []


def test_the_buttons_of_a_dialog_stay_in_sight(
    live_server: LiveServer, open_page: OpenPage, log_in: LogIn, owner: User, sync: Sync
) -> None:
    page = open_page(viewport={"width": 390, "height": 600})
    log_in(page, owner)
    page.goto(f"{live_server}/projects/{sync.project_id}/cohorts/")
    page.get_by_label("Actions for Pro users").click()
    page.get_by_role("link", name="Export to OneSignal").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("14 of 15 users will be exported")
    assert dialog.evaluate("dialog => dialog.scrollHeight > dialog.clientHeight")
    expect(dialog.get_by_role("button", name="Begin Sync")).to_be_in_viewport(ratio=1)


def test_the_search_of_syncs_stands_in_one_line(
    live_server: LiveServer, page: Page, log_in: LogIn, owner: User, sync: Sync
) -> None:
    log_in(page, owner)
    page.goto(f"{live_server}/projects/{sync.project_id}/integrations/onesignal/")
    field, button = (
        page.get_by_role("searchbox").bounding_box(),
        page.get_by_role("button", name="Search").bounding_box(),
    )
    assert field
    assert button
    assert field["x"] + field["width"] <= button["x"]
    assert field["y"] <= button["y"] <= field["y"] + field["height"]


def test_the_progress_of_a_run_stands_apart_from_its_facts(
    live_server: LiveServer, page: Page, log_in: LogIn, owner: User, sync: Sync
) -> None:
    now = timezone.now()
    counts = {"members": 9, "anonymous": 0, "without_match_property": 0, "invalid_id": 0, "matched_profiles": 9}
    counts |= {"matched_keys": 9, "to_add": 9, "added": 4, "left_to_add": 5}
    run = Run.objects.create(
        project=sync.project,
        sync=sync,
        trigger="manual",
        status="running",
        queued_at=now,
        started_at=now,
        as_of=now,
        **counts,
    )
    log_in(page, owner)
    page.goto(f"{live_server}/projects/{sync.project_id}/runs/{run.pk}/")
    assert serious_barriers(page) == []
    words, facts = page.locator(".progress-words").bounding_box(), page.locator("#run .facts").bounding_box()
    assert words
    assert facts
    assert facts["y"] - words["y"] - words["height"] >= 12


def test_the_first_steps_lead_to_an_export_in_two_clicks(
    live_server: LiveServer, page: Page, log_in: LogIn, owner: User, shop: Project
) -> None:
    make_connection(shop)
    log_in(page, owner)
    page.goto(f"{live_server}/projects/{shop.pk}/")
    page.get_by_role("link", name="Export “Pro users”").click()
    expect(page.get_by_role("dialog")).to_contain_text("14 of 15 users will be exported")
    page.get_by_role("button", name="Begin Sync").click()
    expect(page.get_by_role("status")).to_contain_text("The export of Pro users has begun.")


def test_everything_of_an_export_works_without_script(
    live_server: LiveServer, open_page: OpenPage, log_in: LogIn, owner: User, sync: Sync
) -> None:
    page = open_page(javascript=False)
    log_in(page, owner)
    page.goto(f"{live_server}/projects/{sync.project_id}/cohorts/")
    page.get_by_label("Actions for Pro users").click()
    page.get_by_role("link", name="Export to OneSignal").click()
    expect(page.get_by_text("14 of 15 users will be exported")).to_be_visible()
    page.get_by_label("Dynamic sync").check()
    page.get_by_role("button", name="Begin Sync").click()
    expect(page).to_have_url(f"{live_server}/projects/{sync.project_id}/syncs/{sync.pk}/")
    expect(page.get_by_role("status")).to_contain_text("The export of Pro users has begun.")
    assert sync.runs.filter(status="queued").exists()
