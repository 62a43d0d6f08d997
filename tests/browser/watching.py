"""What pages do that no user sees: errors on the console, scripts that break, refusals of the CSP, calls elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal, Protocol
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    StorageState,
    ViewportSize,
    WebError,
)

DESKTOP = ViewportSize(width=1440, height=900)
PHONE = ViewportSize(width=390, height=844)
Scheme = Literal["light", "dark"]
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Watch:
    """The complaints of the pages of one test. Chromium reports a refusal of the CSP as an error on the console."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._expected: list[str] = []

    def follow(self, context: BrowserContext) -> None:
        """Note what any page of this context complains about from now on."""
        context.on("console", self._note_message)
        context.on("weberror", self._note_error)
        context.on("request", self._note_request)

    def expect(self, pattern: str) -> None:
        """Let complaints pass in which the regular expression is found; without any, the test fails."""
        self._expected.append(pattern)

    def faults(self) -> list[str]:
        """Return what nobody expected, and what was expected and did not come."""
        unexpected = [each for each in self.complaints if not any(re.search(one, each) for one in self._expected)]
        missing = [one for one in self._expected if not any(re.search(one, each) for each in self.complaints)]
        return [*unexpected, *(f"expected, but did not come: {one}" for one in missing)]

    def _note_message(self, message: ConsoleMessage) -> None:
        # Chromium asks for an icon whenever it finds the time, so whether a test meets the answer is chance.
        is_icon = message.location["url"].endswith("/favicon.ico")
        if message.type == "error" and not is_icon:
            self.complaints.append(f"console: {message.text} ({message.location['url']})")

    def _note_error(self, error: WebError) -> None:
        self.complaints.append(f"script: {error.error}")

    def _note_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.hostname is not None and address.hostname not in LOOPBACK:
            self.complaints.append(f"elsewhere: {request.url}")


def open_context(
    browser: Browser,
    *,
    viewport: ViewportSize = DESKTOP,
    scheme: Scheme = "light",
    javascript: bool = True,
    session: StorageState | None = None,
) -> BrowserContext:
    """Open a user's browser: cookies of its own or of a session kept, no movement on the pages, UTC."""
    context = browser.new_context(
        viewport=viewport,
        color_scheme=scheme,
        java_script_enabled=javascript,
        reduced_motion="reduce",
        timezone_id="UTC",
        storage_state=session,
    )
    context.set_default_timeout(10_000)
    return context


class OpenPage(Protocol):
    """Opens a page in a browser of its own: nothing is shared with the test's other pages."""

    def __call__(
        self, *, viewport: ViewportSize = DESKTOP, scheme: Scheme = "light", javascript: bool = True
    ) -> Page: ...


@contextmanager
def watched_pages(browser: Browser, watch: Watch) -> Iterator[OpenPage]:
    """Let the block open pages; close them after it. Raises AssertionError when the watch then has a fault."""
    with ExitStack() as opened:

        def open_one(*, viewport: ViewportSize = DESKTOP, scheme: Scheme = "light", javascript: bool = True) -> Page:
            context = open_context(browser, viewport=viewport, scheme=scheme, javascript=javascript)
            opened.enter_context(context)
            watch.follow(context)
            return context.new_page()

        yield open_one
    faults = watch.faults()
    assert faults == [], "\n".join(faults)
