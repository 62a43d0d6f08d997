"""The fault `apply_after_ms`: a write that is accepted now and stored later, over whatever was stored in between.

OneSignal's 202 only says that a write was accepted (contract/onesignal.md, section 3, consistency). What is due is kept
in the journal, so that it is stored even when the process ends before.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import asdict

from integrations.destinations.onesignal.sandbox.apps import App, LateWrite
from integrations.destinations.onesignal.sandbox.state import State


class LateWrites:
    """The clock of the late writes of all apps."""

    def __init__(self, state: State) -> None:
        self._state = state

    def resume(self) -> None:
        """Set the clock for what an earlier process accepted; call it once the loop runs."""
        for app_id, app in self._state.apps.items():
            for late_id, late in app.late_writes.items():
                self._schedule(app_id, late_id, late)

    def accept(self, app: App, number: int, tags: dict[str, str], properties: dict[str, object]) -> None:
        """Keep a write of tags and properties that is due after the app's `late_ms`."""
        late_id = str(uuid.uuid4())
        late = LateWrite(time.time() + app.faults.late_ms / 1000, number, tags, properties)
        self._state.record("late", app.settings.id, late_id, asdict(late))
        self._schedule(app.settings.id, late_id, late)

    def _schedule(self, app_id: str, late_id: str, late: LateWrite) -> None:
        delay_seconds = max(late.due_at - time.time(), 0)
        asyncio.get_running_loop().call_later(delay_seconds, self._store, app_id, late_id)

    def _store(self, app_id: str, late_id: str) -> None:
        app = self._state.apps.get(app_id)
        if app is not None and late_id in app.late_writes:
            self._state.record("late_stored", app_id, late_id)
            self._state.flush()
