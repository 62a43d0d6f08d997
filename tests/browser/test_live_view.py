"""Events appear while one looks, stand still while one reads; secrets are shown once; all of it without script too."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from cohorts.models import Membership, Project, ServiceAccount, User
from cohorts.models.projects import Role
from tests.browser.axe import serious_barriers
from tests.browser.conftest import LogIn
from tests.browser.watching import OpenPage
from tests.cast import make_project
from tests.ingest.wire import event, send

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("owner@example.com")


@pytest.fixture
def shop(owner: User) -> Project:
    project = make_project("Shop")
    Membership.objects.create(project=project, user=owner, role=Role.OWNER)
    return project


def track(project: Project, name: str, **properties: object) -> None:
    assert send(Client(), "/track", [event(project, name, **properties)]) == (200, b"1")


def test_the_first_event_and_the_next_ones_appear_by_themselves(
    live_server: LiveServer, page: Page, log_in: LogIn, owner: User, shop: Project
) -> None:
    log_in(page, owner)
    page.goto(f"{live_server}/projects/{shop.pk}/events/")
    expect(page.get_by_text("No events yet")).to_be_visible()
    track(shop, "Signed Up")
    expect(page.get_by_role("link", name="Signed Up")).to_be_visible(timeout=10_000)
    track(shop, "Purchase")
    expect(page.get_by_role("link", name="Purchase")).to_be_visible(timeout=10_000)


def test_nothing_moves_while_an_event_is_open(
    live_server: LiveServer, page: Page, log_in: LogIn, owner: User, shop: Project
) -> None:
    track(shop, "Signed Up", plan="pro")
    log_in(page, owner)
    page.goto(f"{live_server}/projects/{shop.pk}/events/")
    page.get_by_text("1 property").click()
    expect(page.get_by_role("definition").filter(has_text="pro")).to_be_visible()
    track(shop, "Purchase")
    page.wait_for_timeout(4500)
    expect(page.get_by_role("link", name="Purchase")).to_have_count(0)
    expect(page.get_by_role("definition").filter(has_text="pro")).to_be_visible()
    page.get_by_text("1 property").click()
    expect(page.get_by_role("link", name="Purchase")).to_be_visible(timeout=10_000)


def test_a_paused_view_stands_still_until_it_is_resumed(
    live_server: LiveServer, page: Page, log_in: LogIn, owner: User, shop: Project
) -> None:
    track(shop, "Signed Up")
    log_in(page, owner)
    page.goto(f"{live_server}/projects/{shop.pk}/events/")
    page.get_by_role("link", name="Pause").click()
    expect(page.get_by_text("What comes in now is not shown.")).to_be_visible()
    track(shop, "Purchase")
    page.wait_for_timeout(4000)
    expect(page.get_by_role("link", name="Purchase")).to_have_count(0)
    page.get_by_role("link", name="Resume").click()
    expect(page.get_by_role("link", name="Purchase")).to_be_visible()


def test_a_service_account_is_made_in_a_dialog_that_shows_its_secret(
    live_server: LiveServer, page: Page, log_in: LogIn, owner: User, shop: Project
) -> None:
    log_in(page, owner)
    page.goto(f"{live_server}/projects/{shop.pk}/settings/")
    page.get_by_role("link", name="New service account").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Nightly import")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_text("This is the only time the secret is shown")).to_be_visible()
    assert serious_barriers(page) == []
    dialog.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_role("rowheader", name=re.compile("nightly-import"))).to_be_visible()
    page.get_by_role("link", name=re.compile("Delete nightly-import")).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No service accounts")).to_be_visible()
    assert not ServiceAccount.objects.exists()


def test_everything_around_ingestion_works_without_script(
    live_server: LiveServer, open_page: OpenPage, log_in: LogIn, owner: User, shop: Project
) -> None:
    send(Client(), "/track", [event(shop, "Signed Up", time=1_000_000_000)])
    track(shop, "Purchase", plan="pro")
    page = open_page(javascript=False)
    log_in(page, owner)
    page.goto(f"{live_server}/projects/{shop.pk}/events/")
    page.get_by_text("1 property").click()
    expect(page.get_by_role("definition").filter(has_text="pro")).to_be_visible()
    track(shop, "Refund")
    page.get_by_role("link", name="Reload").click()
    expect(page.get_by_role("link", name="Refund")).to_be_visible()
    page.get_by_role("link", name="Data health").click()
    expect(page.get_by_role("heading", name="The time is too long ago")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Links between ids")).to_be_visible()
    page.get_by_role("link", name="Settings").click()
    page.get_by_text("Flutter", exact=True).click()
    expect(page.get_by_text("mixpanel.setServerURL")).to_be_visible()
    # One at a time: the browser closes the one that was open.
    expect(page.get_by_text('import mixpanel from "mixpanel-browser"')).to_be_hidden()
    page.get_by_role("link", name="New service account").click()
    page.get_by_label("Name").fill("Nightly")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("This is the only time the secret is shown")).to_be_visible()
