"""A browser for the tests of this folder: found or installed after collecting, started with the first test.

    def test_the_page_says_hello(live_server: LiveServer, page: Page) -> None:
        page.goto(f"{live_server}/hello/")
        expect(page.get_by_role("heading")).to_have_text("Hello")

At its end a test fails of whatever its pages complained about (watching.py), unless `watch.expect` named it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page, sync_playwright
from pytest_django.live_server_helper import LiveServer

from cohorts.models import User
from tests.browser import chromium
from tests.browser.watching import OpenPage, Watch, watched_pages
from tests.installation import Installation

PROGRAM = pytest.StashKey[Path]()
REASON = pytest.StashKey[str]()


class LogIn(Protocol):
    """Gives a page the session of a user on the test's server, past the form."""

    def __call__(self, page: Page, user: User) -> None: ...


def pytest_collection_finish(session: pytest.Session) -> None:
    """Get the browser when a selected test needs one: here no test's time runs, and no worker tests beside it."""
    if any(needs_browser(item) for item in session.items) and not session.config.option.collectonly:
        folder = Path(os.environ["DATA_DIR"])  # which the workers share, and which ends with the tests
        try:
            session.config.stash[PROGRAM] = chromium.provide(
                os.environ, folder, lambda sentence: tell(session.config, sentence)
            )
        except chromium.NoBrowserError as missing:
            session.config.stash[REASON] = str(missing)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave the test out before anything is made for it; all skip here, so that pytest folds them into one line."""
    reason = item.config.stash.get(REASON, None)
    if reason is None or not needs_browser(item):
        return
    if chromium.is_ci(os.environ):
        pytest.fail(f"CI needs a browser: {reason}", pytrace=False)
    pytest.skip(f"the browser tests were left out: {reason.splitlines()[0]}")


def tell(config: pytest.Config, sentence: str) -> None:
    """Say something now, past pytest's capturing; the workers of pytest-xdist share the terminal's stderr."""
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(sentence, file=sys.stderr, flush=True)


def needs_browser(item: pytest.Item) -> bool:
    """Tell whether a test asks for the browser, by whatever fixture."""
    return "browser" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="package")
def browser(pytestconfig: pytest.Config) -> Iterator[Browser]:
    """One browser for the tests of this folder, gone before the tests of the next."""
    with pytest.MonkeyPatch.context() as patch:
        # Playwright leaves its event loop marked as running between its calls, so Django takes the test for a coroutine
        # and refuses it the database. The loop runs only inside those calls: no query ever blocks or meets a coroutine.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        with sync_playwright() as playwright:
            running = chromium.start(playwright, pytestconfig.stash[PROGRAM])
            yield running
            running.close()


@pytest.fixture
def watch() -> Watch:
    """What the test's pages complain about."""
    return Watch()


@pytest.fixture
def open_page(browser: Browser, watch: Watch) -> Iterator[OpenPage]:
    """Open pages by the test's wishes: viewport, light or dark, without JavaScript."""
    with watched_pages(browser, watch) as open_one:
        yield open_one


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """A page on a desktop, light, with JavaScript."""
    return open_page()


@pytest.fixture
def log_in(live_server: LiveServer) -> LogIn:
    """Log a user in."""

    def give_session(page: Page, user: User) -> None:
        client = Client()
        client.force_login(user)
        name = settings.SESSION_COOKIE_NAME
        page.context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])

    return give_session


@pytest.fixture(scope="package")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The product as it is shipped, for stories: web, worker, beat and sandbox with a database of their own."""
    running = Installation(tmp_path_factory.mktemp("installation"))
    try:
        running.wait_until_healthy()
        yield running
    finally:
        running.stop()
