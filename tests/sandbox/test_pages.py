"""The pages for people."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
import requests

from tests.sandbox.cast import App, SandboxProcess, some_uuid, tag_filter

NASTY = "<script>alert('1')</script>&amp;\"x"
VOID = {"meta", "link", "br"}


class Tags(HTMLParser):
    """Collects a page's elements, and fails on one that is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not any(name == "style" or name.startswith("on") for name, _ in attrs)
        self.seen.append(tag)
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def page(url: str, path: str = "/", *, status: int = 200) -> str:
    answer = requests.get(url + path, timeout=10)
    assert answer.status_code == status
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "script" not in Tags(answer.text).seen
    return answer.text


def test_an_empty_sandbox_says_how_to_begin(own_sandbox: SandboxProcess) -> None:
    assert "No apps yet" in page(own_sandbox.url)
    head = requests.head(own_sandbox.url, timeout=5)
    assert (head.status_code, head.content) == (200, b"")


def test_an_apps_segments_and_users_are_shown_and_nothing_of_theirs_is_markup(own_sandbox: SandboxProcess) -> None:
    app = App(own_sandbox.url, name=NASTY, plan="growth")
    app.add_users(NASTY, "bob")
    app.patch(NASTY, {"cs_1": "1", "note": NASTY})
    segment_id = app.create_segment(NASTY).json()["id"]
    app.control("PATCH", f"/segments/{segment_id}", {"is_active": False})
    first = page(app.url)
    assert "growth plan" in first
    assert "2 users" in first
    assert "paused" in first
    assert "tag cs_1 = 1" in first
    assert first.count("&lt;script&gt;") == 2
    members = page(app.url, f"/view/{app.app_id}/{segment_id}")
    assert "1 user<" in members
    assert "bob" not in members
    assert "note = &lt;script&gt;" in members
    assert "bob" in page(app.url, f"/view/{app.app_id}")


def test_filters_are_written_with_every_and(app: App) -> None:
    filters = [tag_filter("a"), tag_filter("b", "exists", None), {"operator": "OR"}, tag_filter("c")]
    segment_id = app.create_segment(filters=filters).json()["id"]
    written = re.sub("<[^>]*>", "", page(app.url, f"/view/{app.app_id}/{segment_id}"))
    assert "Everybody with tag a = 1 AND tag b exists OR tag c = 1." in written


def test_an_app_without_segments_or_users_has_a_page(app: App) -> None:
    assert "No segments yet." in page(app.url)
    assert "Nobody." in page(app.url, f"/view/{app.app_id}")


def test_many_users_come_in_pages(app: App) -> None:
    app.add_users(*[f"user-{number:05}" for number in range(250)])
    path = f"/view/{app.app_id}"
    assert "Page 1 of 3" in page(app.url, path)
    last = page(app.url, f"{path}?page=3")
    assert ("user-00249" in last, "user-00199" in last, "Next" in last) == (True, False, False)
    for query in ("0", "-1", "x", "99999999999999", "4", ""):
        assert "of 3" in page(app.url, f"{path}?page={query}")


@pytest.mark.parametrize("path", ["/view/nonsense", "/view/nonsense/x"])
def test_what_is_not_there_has_a_page_that_says_so(app: App, path: str) -> None:
    assert "No such" in page(app.url, path, status=404)
    assert "No such" in page(app.url, f"/view/{app.app_id}/{some_uuid()}", status=404)


def test_the_style_sheet_serves_light_and_dark(app: App) -> None:
    style = requests.get(f"{app.url}/style.css", timeout=5)
    assert style.headers["Content-Type"].startswith("text/css")
    assert "prefers-color-scheme: dark" in style.text


def test_it_tells_that_it_is_well(app: App) -> None:
    answer = requests.get(f"{app.url}/healthz", timeout=5)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
