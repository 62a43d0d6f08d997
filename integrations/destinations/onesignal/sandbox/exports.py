"""The CSV export: one gzip file per request, written piece by piece beside the other work (contract, section 4).

Rows are subscriptions as they are when their piece is written, so a long export is no snapshot, as over there. A file
gets its name when it is whole; until then its URL answers 404 `NoSuchKey`. Files are kept for three days.
"""

from __future__ import annotations

import asyncio
import csv
import datetime as dt
import gzip
import io
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import orjson

from integrations.destinations.onesignal.sandbox.apps import App
from integrations.destinations.onesignal.sandbox.filters import seen_at
from integrations.destinations.onesignal.sandbox.segments import Segment
from integrations.destinations.onesignal.sandbox.users import Subscription, User

ROWS_PER_PIECE = 1000
KEPT_SECONDS = 3 * 24 * 3600
FILE_NAME = re.compile(r"users_[0-9a-f]{32}_\d{4}-\d{2}-\d{2}\.csv\.gz")
COLUMNS = (
    *("id", "identifier", "session_count", "language", "timezone", "game_version", "device_os", "device_type"),
    *("device_model", "ad_id", "tags", "last_active", "playtime", "amount_spent", "created_at", "invalid_identifier"),
    "badge_count",
)
EXTRA_COLUMNS = (
    *("external_user_id", "onesignal_id", "location", "country", "rooted", "ip", "web_auth", "web_p256"),
    *("unsubscribed_at", "notification_types", "timezone_id"),
)
# OneSignal's numbers of device types (its documentation of players).
DEVICE_TYPES = {
    "iOSPush": 0,
    "AndroidPush": 1,
    "FireOSPush": 2,
    "ChromeExtensionPush": 4,
    "ChromePush": 5,
    "WindowsPush": 6,
    "SafariLegacyPush": 7,
    "FirefoxPush": 8,
    "macOSPush": 9,
    "Email": 11,
    "HuaweiPush": 13,
    "SMS": 14,
    "SafariPush": 17,
}


@dataclass(frozen=True, slots=True)
class ExportWish:
    """What an export shall hold."""

    extra_columns: tuple[str, ...]
    segment: Segment | None
    is_unsubscribed_included: bool
    last_active_since: float | None


class Exports:
    """The files of all apps in one folder, and the exports that are being written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: set[asyncio.Task[None]] = set()

    def start(self, app: App, wish: ExportWish) -> str:
        """Begin an export and return the name of its file, which appears when it is whole and the delay is over."""
        today = dt.datetime.now(dt.UTC).date()
        name = f"users_{secrets.token_hex(16)}_{today.isoformat()}.csv.gz"
        app.is_exporting = True
        task = asyncio.get_running_loop().create_task(self._write(app, wish, name))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return name

    def read(self, app_id: str, name: str) -> bytes | None:
        """Return a whole file, None when there is none (yet)."""
        if not FILE_NAME.fullmatch(name):
            return None
        try:
            return (self._folder / app_id / name).read_bytes()
        except OSError:
            return None

    def forget(self, app_id: str) -> None:
        """Delete the files of an app."""
        shutil.rmtree(self._folder / app_id, ignore_errors=True)

    def remove_old(self, *, now: float) -> None:
        """Delete what is older than three days, and what an earlier process did not finish."""
        for file in self._folder.glob("*/*"):
            if file.suffix == ".part" or file.stat().st_mtime < now - KEPT_SECONDS:
                file.unlink(missing_ok=True)

    async def _write(self, app: App, wish: ExportWish, name: str) -> None:
        try:
            ready_at = time.monotonic() + app.faults.export_delay_ms / 1000
            folder = self._folder / app.settings.id
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f"{name}.part"
            rows = _rows(app, wish)
            with gzip.open(part, "wb", compresslevel=1) as file:
                file.write(_csv([[*COLUMNS, *wish.extra_columns]]))
                while piece := list(islice(rows, ROWS_PER_PIECE)):
                    file.write(_csv(piece))
                    await asyncio.sleep(0)
            await asyncio.sleep(max(ready_at - time.monotonic(), 0))
            part.replace(folder / name)
        finally:
            app.is_exporting = False


def _csv(rows: list[list[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _rows(app: App, wish: ExportWish) -> Iterator[list[object]]:
    numbers = app.users.present if wish.segment is None else app.members(wish.segment, now=time.time())
    is_opted_in_only = wish.segment is not None and not wish.is_unsubscribed_included
    # Copied: users may come and go while the file is being written.
    for user in app.users.select(numbers.copy()):
        if wish.last_active_since is not None and seen_at(user, "last_active") <= wish.last_active_since:
            continue
        for subscription in app.users.subscriptions_of(user):
            if subscription.is_enabled or not is_opted_in_only:
                extra = _extra_values(app, user, subscription)
                yield [*_values(user, subscription), *(extra[column] for column in wish.extra_columns)]


def _values(user: User, subscription: Subscription) -> list[object]:
    details = subscription.details
    return [
        subscription.id,
        subscription.token,
        details.get("session_count", 1),
        user.properties.get("language", "en"),
        0,
        details.get("app_version", ""),
        details.get("device_os", ""),
        DEVICE_TYPES[subscription.type],
        details.get("device_model", ""),
        "",
        orjson.dumps(dict(user.tags)).decode(),
        _moment(seen_at(user, "last_active")),
        details.get("session_time", 0),
        0,
        _moment(subscription.created_at),
        "f" if subscription.is_enabled else "t",
        0,
    ]


def _extra_values(app: App, user: User, subscription: Subscription) -> dict[str, object]:
    """Return the values of all `EXTRA_COLUMNS`."""
    properties, details = user.properties, subscription.details
    latitude, longitude = properties.get("lat"), properties.get("long")
    return {
        "external_user_id": user.external_id or "",
        "onesignal_id": app.users.user_ids.of(user.number),
        "location": "" if latitude is None or longitude is None else f"{latitude},{longitude}",
        "country": properties.get("country", ""),
        "rooted": "f",
        "ip": properties.get("ip", ""),
        "web_auth": details.get("web_auth", ""),
        "web_p256": details.get("web_p256", ""),
        "unsubscribed_at": "",
        "notification_types": details.get("notification_types", 1 if subscription.is_enabled else -2),
        "timezone_id": properties.get("timezone_id", ""),
    }


def _moment(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
