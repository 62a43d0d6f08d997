"""The stories that run in this process share the sandbox and the short clocks of the sync engine's tests."""

from __future__ import annotations

from tests.sandbox_app import onesignal, sandbox_url
from tests.sync.conftest import short_clocks

__all__ = ["onesignal", "sandbox_url", "short_clocks"]
