"""npm `mixpanel-browser` in a headless Chromium, on a page of another origin. Run by `tests/clients/walking.py`.

`SCRIPT` names the library's file and `CHROMIUM` the browser. The SDK reports only what it gives up, so a call counts as
done when its request was answered 200 and let through by CORS, the SDK's queues are empty and nothing complained.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from playwright.sync_api import BrowserContext, Page, Request, sync_playwright

from tests.browser import chromium
from tests.clients.walks.target import TARGET, run, tell

SHORTLY = 300  # milliseconds between flushes, 5000 by default
LATER = 2000
SECONDS = 20


class Site(BaseHTTPRequestHandler):
    """Another origin than the target's: the library, and empty pages with and without it."""

    def do_GET(self) -> None:
        pages = {
            "/mixpanel.js": ("text/javascript", Path(os.environ["SCRIPT"]).read_bytes()),
            "/shop": ("text/html", b"<!doctype html><title>Shop</title><script src=/mixpanel.js></script>"),
        }
        kind, body = pages.get(self.path, ("text/html", b"<!doctype html><title>Elsewhere</title>"))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


class Visit:
    """A visitor's browser: what it sent to the target and how that ended."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.page: Page = context.new_page()
        self.origin = origin
        self.answers: list[tuple[str, str, int]] = []
        self.records = 0
        self.complaints: list[str] = []
        context.on("requestfinished", self._note)
        context.on("requestfailed", lambda request: self._complain(request, request.failure or "failed"))
        self.page.on("console", lambda message: self._hear(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, **config: Any) -> None:
        """Load the page and start the SDK."""
        self.page.goto(f"{self.origin}/shop")
        wishes = {
            "api_host": TARGET["url"],
            "persistence": "localStorage",
            "track_pageview": False,
            "batch_flush_interval_ms": SHORTLY,
            **config,
        }
        self.page.evaluate(
            "([token, config]) => { window.complaints = []; const error_reporter = (...what) =>"
            " window.complaints.push(String(what[0])); mixpanel.init(token, {...config, error_reporter}) }",
            [TARGET["token"], wishes],
        )

    def do(self, script: str) -> Any:
        """Run a script on the page."""
        return self.page.evaluate(script)

    def settled(self, records: int) -> None:
        """Wait until so many records were answered and the queues are empty; raise what went wrong."""
        ends_at = time.monotonic() + SECONDS
        while self.records < records or self._queued():
            if time.monotonic() > ends_at:
                raise AssertionError(f"{self.records} records answered, {self._queued()} queued; {self.complaints}")
            self.page.wait_for_timeout(50)
        self.check()

    def check(self) -> None:
        """Raise what went wrong."""
        self.complaints += self.do("() => window.complaints || []")
        if bad := [answer for answer in self.answers if answer[2] not in {200, 204}]:
            raise AssertionError(f"answered {bad}")
        if self.complaints:
            raise AssertionError("; ".join(self.complaints))

    def _queued(self) -> int:
        queued: int = self.do(
            "() => Object.keys(localStorage).filter(key => /^__mpq_.*_(ev|pp|gr)$/.test(key))"
            ".map(key => JSON.parse(localStorage[key]).length || 0).reduce((a, b) => a + b, 0)"
        )
        return queued

    def _note(self, request: Request) -> None:
        if request.url.startswith(TARGET["url"]):
            answer = request.response()
            self.answers.append((request.method, request.url, answer.status if answer else 0))
            # A beacon may be reported or not, and its records come again.
            self.records += _count(request.post_data) if request.resource_type != "ping" else 0

    def _complain(self, request: Request, failure: str) -> None:
        # A beacon outlives its page, and nobody is told how it ended.
        if request.url.startswith(TARGET["url"]) and request.resource_type != "ping":
            self.complaints.append(f"{request.url}: {failure}")

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error" and "favicon" not in text:
            self.complaints.append(text)


def _count(body: str | None) -> int:
    """Return how many records a request holds."""
    data = parse_qs(body or "").get("data", ["[]"])[0]
    # The SDK's base64 holds the two halves of an emoji as if each were a character.
    text = data if data.startswith(("[", "{")) else base64.b64decode(data).decode("utf-8", "surrogatepass")
    records = json.loads(text)
    return len(records) if isinstance(records, list) else 1


@contextlib.contextmanager
def visit() -> Iterator[Visit]:
    """A browser of a person who was never here."""
    site = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = chromium.start(playwright, Path(os.environ["CHROMIUM"]))
        yield Visit(browser.new_context(), f"http://127.0.0.1:{site.server_port}")
        browser.close()
    site.shutdown()


def tracking() -> None:
    with visit() as visitor:
        visitor.open()
        visitor.do(
            "() => { mixpanel.register({plan: 'pro'}); mixpanel.track('Opened', {note: 'ä & 🙂 >>>???~~~ÿ'});"
            " for (let n = 0; n < 12; n++) mixpanel.track('Scrolled', {n}); mixpanel.track_pageview() }"
        )
        tell("track, in batches", lambda: visitor.settled(14))


def profiles() -> None:
    with visit() as visitor:
        visitor.open()
        # Several tabs share the queue, so the SDK queues under a lock and does not keep the order of calls.
        visitor.do(
            "() => { mixpanel.people.set({$name: 'Änn 🙂', $onesignal_user_id: 'os-ann', old: 1});"
            " mixpanel.identify('ann'); const p = mixpanel.people; p.set_once({plan: 'free'});"
            " p.increment({visits: 3}); p.increment('visits');"
            " p.append('seen', 'a'); p.union({tags: ['x', 'y']}); p.clear_charges() }"
        )
        # The event $identify, what was set before it and after it, and $initial_referrer.
        tell("identify and people.*", lambda: visitor.settled(9))
        visitor.do(
            "() => { const p = mixpanel.people; p.set_once('plan', 'pro'); p.unset('old'); p.remove('tags', 'x') }"
        )
        tell("people.* of what is there", lambda: visitor.settled(12))


def groups() -> None:
    with visit() as visitor:
        visitor.open()
        visitor.do(
            "() => { mixpanel.set_group('company', 'acme'); const g = mixpanel.get_group('company', 'acme');"
            " g.set({plan: 'pro', old: 1}); g.union('tags', ['x', 'y']); mixpanel.track('Grouped') }"
        )
        tell("groups", lambda: visitor.settled(3))
        visitor.do(
            "() => { const g = mixpanel.get_group('company', 'acme'); g.set_once({plan: 'free', first: true});"
            " g.remove('tags', 'x'); g.unset('old') }"
        )
        tell("groups of what is there", lambda: visitor.settled(6))


def unload() -> None:
    with visit() as visitor:
        visitor.open(batch_flush_interval_ms=LATER)
        visitor.page.wait_for_timeout(500)  # the first flush comes with the start
        visitor.do("() => { mixpanel.track('Left', {n: 1}); mixpanel.track('Left', {n: 2}) }")
        visitor.page.wait_for_timeout(200)
        visitor.page.goto(f"{visitor.origin}/elsewhere")
        # What the beacon took stays queued, for nobody tells the SDK how it ended; it is due after two intervals.
        visitor.page.wait_for_timeout(2 * LATER)
        visitor.open()
        tell("beacon on unload, sent again on the next load", lambda: visitor.settled(2))


def json_bodies() -> None:
    with visit() as visitor:
        visitor.open(api_payload_format="json")
        visitor.do(
            "() => { mixpanel.track('Opened', {note: 'ä & 🙂'}); mixpanel.identify('ann');"
            " mixpanel.people.set('a', '🙂') }"
        )
        tell("api_payload_format json", lambda: visitor.settled(4))


def one_by_one() -> None:
    with visit() as visitor:
        visitor.open(batch_requests=False)
        scripts = (
            "() => new Promise(done => mixpanel.track('Single', {note: 'ä'}, {send_immediately: true}, done))",
            "() => { mixpanel.identify('ann'); return new Promise(done => mixpanel.people.set({a: 1}, done)) }",
        )
        for script in scripts:
            tell("a callback", partial(_do_with_success, visitor, script))
        visitor.do("() => mixpanel.track('Beacon', {}, {transport: 'sendBeacon'})")
        visitor.page.wait_for_timeout(500)
        tell("one by one", visitor.check)


def by_get() -> None:
    with visit() as visitor:
        visitor.open(batch_requests=False, api_method="GET")
        script = "() => new Promise(done => mixpanel.track('By GET', {note: 'ä >>>???~~~ÿ'}, done))"
        tell("track by GET", lambda: _do_with_success(visitor, script))
        tell("by GET", visitor.check)


def _do_with_success(visitor: Visit, script: str) -> None:
    answer = visitor.do(script)
    if answer != 1 and (not isinstance(answer, dict) or answer.get("status") != 1):
        raise AssertionError(f"the callback got {answer!r}")


run(
    {
        "events": tracking,
        "profiles": profiles,
        "groups": groups,
        "unload": unload,
        "json": json_bodies,
        "singles": one_by_one,
        "get": by_get,
    }
)
