"""The pages of the sandbox, for people: apps with their segments, and who is in a segment. Plain HTML, no script.

Also `/healthz` for the supervisor. Every text that came from a request is escaped; lists come in pages, so a million
users are no more work than a hundred.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

from pyroaring import BitMap

from integrations.destinations.onesignal.sandbox.apps import App
from integrations.destinations.onesignal.sandbox.routes import Call
from integrations.destinations.onesignal.sandbox.segments import Segment
from integrations.destinations.onesignal.sandbox.users import User, Users
from integrations.destinations.onesignal.sandbox.wire import Answer, json_answer

APPS_PER_PAGE = 20
USERS_PER_PAGE = 100
MAX_SHOWN_TAGS = 10
STYLE = (Path(__file__).parent / "style.css").read_bytes()

_GUARDS = (
    (b"content-security-policy", b"default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)
HTML_HEADERS = ((b"content-type", b"text/html; charset=utf-8"), *_GUARDS)
CSS_HEADERS = ((b"content-type", b"text/css; charset=utf-8"), (b"cache-control", b"max-age=3600"))


def show_apps(call: Call) -> Answer:
    """Show the apps, each with its plan and its segments."""
    apps = list(call.state.apps.values())
    page, pages = _page_of(call, len(apps), APPS_PER_PAGE)
    shown = apps[(page - 1) * APPS_PER_PAGE : page * APPS_PER_PAGE]
    content = "".join(_app_section(call, app) for app in shown) or (
        "<p>No apps yet. <code>POST /_control/apps</code> makes one; connect CohortSync to it "
        "with the App ID and the key that come back.</p>"
    )
    intro = "<p>A stand-in for OneSignal on this machine. Nothing here reaches a real device.</p>"
    return _html("Sandbox OneSignal", intro + content + _pager("/", page, pages))


def show_users(call: Call) -> Answer:
    """Show all users of an app."""
    app = call.state.apps.get(call.parameters["app_id"])
    if app is None:
        return _html("No such app", "<p>The sandbox has no app with this id.</p>", status=404)
    return _user_list(call, app, app.users.present, title="All users", address=f"/view/{_url(app.settings.id)}")


def show_segment(call: Call) -> Answer:
    """Show a segment with its filters and its users."""
    app = call.state.apps.get(call.parameters["app_id"])
    segment = app.segments.get(call.parameters["segment_id"]) if app is not None else None
    if app is None or segment is None:
        return _html("No such segment", "<p>The sandbox has no segment with this id.</p>", status=404)
    return _user_list(
        call,
        app,
        app.members(segment, now=call.now),
        title=segment.name,
        address=f"/view/{_url(app.settings.id)}/{_url(segment.id)}",
        intro=f"<p>Everybody with {_filters(segment)}.{_state(segment)}</p>",
    )


def show_style(_call: Call) -> Answer:
    """Return the style sheet of the pages."""
    return Answer(200, STYLE, CSS_HEADERS)


def show_health(_call: Call) -> Answer:
    """Tell that the sandbox answers."""
    return json_answer(200, {"status": "ok"})


def _app_section(call: Call, app: App) -> str:
    settings = app.settings
    rows = "".join(
        f'<tr><td><a href="/view/{_url(settings.id)}/{_url(segment.id)}">{escape(segment.name)}</a>{_state(segment)}'
        f"</td><td>{_filters(segment)}</td>"
        f'<td class="count">{len(app.members(segment, now=call.now)):,}</td></tr>'
        for segment in app.segments.values()
    )
    table = (
        '<div class="wide"><table><thead><tr><th>Segment</th><th>Filters</th><th class="count">Users</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        if rows
        else "<p>No segments yet.</p>"
    )
    users = _counted(len(app.users.present), "user")
    return (
        f"<section><h2>{escape(settings.name or settings.id)}</h2>"
        f"<p><code>{escape(settings.id)}</code> · {escape(settings.plan)} plan · "
        f'<a href="/view/{_url(settings.id)}">{users}</a></p>{table}</section>'
    )


def _user_list(call: Call, app: App, numbers: BitMap, *, title: str, address: str, intro: str = "") -> Answer:
    page, pages = _page_of(call, len(numbers), USERS_PER_PAGE)
    shown = numbers[(page - 1) * USERS_PER_PAGE : page * USERS_PER_PAGE]
    rows = "".join(_user_row(app.users, user) for user in app.users.select(shown))
    table = (
        '<div class="wide"><table class="cards"><thead><tr><th>External ID</th><th>OneSignal ID</th><th>Tags</th>'
        f'<th class="count">Subscriptions</th></tr></thead><tbody>{rows}</tbody></table></div>'
        if rows
        else "<p>Nobody.</p>"
    )
    name = escape(app.settings.name or app.settings.id)
    head = f'<p><a href="/">Apps</a> › {name} · {_counted(len(numbers), "user")}</p>'
    return _html(title, head + intro + table + _pager(address, page, pages))


def _user_row(users: Users, user: User) -> str:
    tags = [f"{escape(key)} = {escape(value)}" for key, value in list(user.tags.items())[:MAX_SHOWN_TAGS]]
    if len(user.tags) > MAX_SHOWN_TAGS:
        tags.append(f"and {len(user.tags) - MAX_SHOWN_TAGS} more")
    external_id = "" if user.external_id is None else escape(user.external_id)
    cells = (
        ("External ID", "id", external_id),
        ("OneSignal ID", "id", f"<code>{users.user_ids.of(user.number)}</code>"),
        ("Tags", "id", "<br>".join(tags)),
        ("Subscriptions", "count", str(len(users.subscriptions_of(user)))),
    )
    # The label is shown instead of the head where the screen is narrow.
    row = "".join(f'<td class="{kind}" data-label="{label}">{content}</td>' for label, kind, content in cells)
    return f"<tr>{row}</tr>"


def _filters(segment: Segment) -> str:
    """Write the filters with every AND, which requests may leave out."""
    words: list[str] = []
    for before, entry in zip([{"operator": ""}, *segment.filters], segment.filters, strict=False):
        if "operator" not in before and "operator" not in entry:
            words.append("AND")
        words.append(_filter(entry))
    return " ".join(words)


def _filter(entry: dict[str, str]) -> str:
    if "operator" in entry:
        return escape(entry["operator"])
    operand = {"value": "{}", "hours_ago": "{} hours ago", "radius": "within {} m"}
    words: Iterable[str] = (
        entry["field"],
        entry.get("key", ""),
        entry.get("relation", ""),
        *(text.format(entry[name]) for name, text in operand.items() if name in entry),
    )
    return f"<code>{escape(' '.join(word for word in words if word))}</code>"


def _state(segment: Segment) -> str:
    notes = []
    if not segment.is_active:
        notes.append("paused")
    if segment.is_used_by_journey:
        notes.append("used by a Journey")
    return f' <span class="note">{", ".join(notes)}</span>' if notes else ""


def _page_of(call: Call, count: int, per_page: int) -> tuple[int, int]:
    """Return the page that the query asks for, within those there are, and how many there are."""
    pages = max(-(-count // per_page), 1)
    asked = call.request.query_values().get("page", "1")
    page = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) <= 9 else 1
    return min(max(page, 1), pages), pages


def _pager(address: str, page: int, pages: int) -> str:
    if pages == 1:
        return ""
    before = f'<a href="{address}?page={page - 1}" rel="prev">Previous</a>' if page > 1 else ""
    after = f'<a href="{address}?page={page + 1}" rel="next">Next</a>' if page < pages else ""
    return f'<nav aria-label="Pages">{before} <span>Page {page:,} of {pages:,}</span> {after}</nav>'


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _url(text: str) -> str:
    """Return an id of ours (a UUID) for an address."""
    return escape(text)


def _html(title: str, content: str, *, status: int = 200) -> Answer:
    document = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="/style.css"></head>'
        f"<body><main><h1>{escape(title)}</h1>{content}</main></body></html>"
    )
    return Answer(status, document.encode(), HTML_HEADERS)
