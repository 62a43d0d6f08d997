"""All apps, and the changes to them: `record` makes a change and keeps it, a new start makes the kept ones again.

`calls/` decides what a request changes and records it by name; nothing else changes an app. The names and their
arguments are the journal's format (`journal.py`), so a change never depends on the time or on chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

from integrations.destinations.onesignal.sandbox.apps import App, AppSettings, LateWrite
from integrations.destinations.onesignal.sandbox.faults import Dice, Faults
from integrations.destinations.onesignal.sandbox.journal import Change, Journal, unusable
from integrations.destinations.onesignal.sandbox.segments import Segment
from integrations.destinations.onesignal.sandbox.users import Subscription, UserRow

USERS_PER_CHANGE = 5000
# Rewriting the journal is worth it when it is at least this much longer than what it would become.
SPARE_CHANGES = 1000


class State:
    """Every app by id, kept in a journal."""

    def __init__(self, journal: Journal) -> None:
        """Take up what the journal holds. Raises JournalError."""
        self.apps: dict[str, App] = {}
        self._journal = journal
        change_count = 0
        for change in journal.read():
            self._make_again(change)
            change_count += 1
        if change_count > 2 * sum(1 for _ in self._least_changes()) + SPARE_CHANGES:
            journal.replace(self._least_changes())

    def record(self, change: str, app_id: str, *arguments: object) -> None:
        """Make a change and keep it with the next flush."""
        CHANGES[change](self, app_id, *arguments)
        self._journal.append([change, app_id, *arguments])

    def flush(self) -> None:
        """Write what was recorded. Raises JournalError."""
        self._journal.flush()

    def close(self) -> None:
        """Write the rest and let go of the journal."""
        self._journal.close()

    def app_with_key(self, api_key: str) -> App | None:
        """Return the app whose key this is."""
        return next((app for app in self.apps.values() if app.settings.api_key == api_key), None)

    def _make_again(self, change: Change) -> None:
        try:
            name, app_id, *arguments = change
            CHANGES[str(name)](self, str(app_id), *arguments)
        except (LookupError, TypeError, ValueError, AttributeError):
            raise unusable(f"the change {str(change)[:80]}") from None

    def _least_changes(self) -> Iterator[list[object]]:
        """Yield changes that lead from nothing to the present state."""
        for app_id, app in self.apps.items():
            yield ["app", app_id, asdict(app.settings)]
            yield ["faults", app_id, asdict(app.faults)]
            rows = app.users.rows()
            while chunk := list(islice(rows, USERS_PER_CHANGE)):
                yield ["users", app_id, chunk]
            if app.users.next_number:
                yield ["numbers", app_id, app.users.next_number]
            for subscription in app.users.kept_subscriptions():
                yield ["subscription", app_id, asdict(subscription)]
            for segment in app.segments.values():
                yield ["segment", app_id, asdict(segment)]
            for late_id, late in app.late_writes.items():
                yield ["late", app_id, late_id, asdict(late)]


def _put_app(state: State, app_id: str, row: dict[str, Any]) -> None:
    settings = AppSettings(**row)
    if app_id in state.apps:
        state.apps[app_id].settings = settings
    else:
        state.apps[app_id] = App(settings)


def _delete_app(state: State, app_id: str) -> None:
    del state.apps[app_id]


def _put_faults(state: State, app_id: str, row: dict[str, Any]) -> None:
    app = state.apps[app_id]
    app.faults = Faults(**row)
    app.dice = Dice(app.faults)


def _add_users(state: State, app_id: str, rows: list[UserRow]) -> None:
    state.apps[app_id].users.add(rows)


def _add_external_ids(state: State, app_id: str, first_number: int, external_ids: list[str], at: float) -> None:
    """Add users in bulk, each with a computed subscription."""
    state.apps[app_id].users.add(
        (number, external_id, at, True, {}, {}, {}) for number, external_id in enumerate(external_ids, first_number)
    )


def _use_numbers(state: State, app_id: str, next_number: int) -> None:
    """Use up the numbers before `next_number`: those of deleted users never come again."""
    state.apps[app_id].users.use_numbers(next_number)


def _delete_user(state: State, app_id: str, number: int) -> None:
    state.apps[app_id].users.delete(number)


def _set_tags(state: State, app_id: str, number: int, tags: dict[str, str]) -> None:
    state.apps[app_id].users.set_tags(number, tags)


def _set_properties(state: State, app_id: str, number: int, properties: dict[str, object]) -> None:
    state.apps[app_id].users.set_properties(number, properties)


def _set_alias(state: State, app_id: str, number: int, label: str, alias_id: str | None) -> None:
    state.apps[app_id].users.set_alias(number, label, alias_id)


def _put_subscription(state: State, app_id: str, row: dict[str, Any]) -> None:
    state.apps[app_id].users.put_subscription(Subscription(**row))


def _delete_subscription(state: State, app_id: str, subscription_id: str) -> None:
    state.apps[app_id].users.delete_subscription(subscription_id)


def _put_segment(state: State, app_id: str, row: dict[str, Any]) -> None:
    segment = Segment(**row)
    state.apps[app_id].segments[segment.id] = segment


def _delete_segment(state: State, app_id: str, segment_id: str) -> None:
    del state.apps[app_id].segments[segment_id]


def _accept_late_write(state: State, app_id: str, late_id: str, row: dict[str, Any]) -> None:
    state.apps[app_id].late_writes[late_id] = LateWrite(**row)


def _store_late_write(state: State, app_id: str, late_id: str) -> None:
    """Store what was accepted earlier, whatever was stored since: that is the fault."""
    app = state.apps[app_id]
    late = app.late_writes.pop(late_id)
    app.users.set_tags(late.number, late.tags)
    app.users.set_properties(late.number, late.properties)


CHANGES: dict[str, Any] = {
    "app": _put_app,
    "app_deleted": _delete_app,
    "faults": _put_faults,
    "users": _add_users,
    "external_ids": _add_external_ids,
    "numbers": _use_numbers,
    "user_deleted": _delete_user,
    "tags": _set_tags,
    "properties": _set_properties,
    "alias": _set_alias,
    "subscription": _put_subscription,
    "subscription_deleted": _delete_subscription,
    "segment": _put_segment,
    "segment_deleted": _delete_segment,
    "late": _accept_late_write,
    "late_stored": _store_late_write,
}
