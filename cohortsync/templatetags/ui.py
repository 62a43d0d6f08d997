"""The design system's words in templates: icons, tags, numbers, moments. Colours and sizes are in static/css/."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma, naturaltime
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from integrations.models import Connection, Run, Sync

register = template.Library()

DASH = "–"

# Kind of tag and the word on it. `partial` and `failed` never look like success.
RUN_TAGS: Mapping[str, tuple[str, str]] = {
    Run.Status.QUEUED: ("idle", "Queued"),
    Run.Status.RUNNING: ("live", "Running"),
    Run.Status.SUCCEEDED: ("ok", "Succeeded"),
    Run.Status.PARTIAL: ("warn", "Partial"),
    Run.Status.FAILED: ("error", "Failed"),
    Run.Status.HELD: ("warn", "Held"),
    Run.Status.CANCELLED: ("idle", "Cancelled"),
}
SYNC_TAGS: Mapping[str, tuple[str, str]] = {
    Sync.Status.ACTIVE: ("ok", "Active"),
    Sync.Status.PAUSED: ("warn", "Paused"),
    Sync.Status.FINISHED: ("idle", "Finished"),
}
CONNECTION_TAGS: Mapping[str, tuple[str, str]] = {
    Connection.Status.CONNECTED: ("ok", "Connected"),
    Connection.Status.ERROR: ("error", "Error"),
    Connection.Status.DISCONNECTED: ("idle", "Disconnected"),
}
MODES: Mapping[str, str] = {Sync.Mode.ONE_TIME: "One-time export", Sync.Mode.DYNAMIC: "Dynamic sync"}


@register.simple_tag
def icon(name: str) -> SafeString:
    """Show an icon of `cohortsync/vendoring.py`; the words beside it say what it means."""
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        static("vendor/icons.svg"),
        name,
    )


@register.simple_tag
def tag(kind: str, text: str, title: str = "") -> SafeString:
    """Show a tag: kind is ok, warn, error, live or idle."""
    about = format_html(' title="{}"', title) if title else ""
    return format_html('<span class="tag tag-{}"{}>{}</span>', kind, about, text)


@register.simple_tag
def run_tag(run: Run) -> SafeString:
    """Show a run's status, the error on hover."""
    return tag(*RUN_TAGS[run.status], run.error or "")


@register.simple_tag
def sync_tag(sync: Sync) -> SafeString:
    """Show a sync's status, the reason of a pause on hover."""
    if sync.deleting_at is not None:
        return tag("warn", "Being deleted")
    return tag(*SYNC_TAGS[sync.status], sync.pause_reason)


@register.simple_tag
def connection_tag(connection: Connection) -> SafeString:
    """Show a connection's status, the error on hover."""
    return tag(*CONNECTION_TAGS[connection.status], connection.error)


@register.filter
def mode_words(mode: str) -> str:
    """Return the words for a sync's mode."""
    return MODES[mode]


@register.filter
def number(value: float | None) -> str:
    """Return a number with thousands separators, or a dash for none."""
    return DASH if value is None else str(intcomma(value))


@register.filter
def share(part: float | None, whole: float | None) -> str:
    """Return the part of a whole in percent, never rounded to all or nothing when it is neither."""
    if part is None or not whole:
        return DASH
    percent = 100 * part / whole
    if 0 < percent < 1:
        return "under 1 %"
    if 99 < percent < 100:
        return "over 99 %"
    return f"{percent:.0f} %"


@register.filter
def ago(moment: dt.datetime | None) -> SafeString | str:
    """Return how long ago (or how soon) a moment is, with the exact time on hover."""
    if moment is None:
        return DASH
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        moment.isoformat(),
        moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S"),
        naturaltime(moment),
    )


@register.filter
def moment(value: dt.datetime | None) -> SafeString | str:
    """Return a moment in UTC, to the minute."""
    if value is None:
        return DASH
    utc = value.astimezone(dt.UTC)
    return format_html('<time datetime="{}">{}</time>', utc.isoformat(), utc.strftime("%Y-%m-%d %H:%M UTC"))


@register.filter
def duration(seconds: float | dt.timedelta | None) -> str:
    """Return a length of time in the two largest units that matter."""
    if seconds is None:
        return DASH
    total = seconds.total_seconds() if isinstance(seconds, dt.timedelta) else float(seconds)
    if total < 10:
        return f"{total:.1f} s"
    whole = round(total)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@register.filter
def until_now(moment: dt.datetime | None) -> dt.timedelta | None:
    """Return the time since a moment, for `duration`."""
    return None if moment is None else timezone.now() - moment
