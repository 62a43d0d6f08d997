"""OneSignal as a destination: tags on existing users, plus a segment that filters on the tag."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from django.conf import settings

from integrations.destinations.base import Account, Destination, Settings
from integrations.destinations.onesignal.client import PLAN_REFUSAL, OneSignalClient
from integrations.destinations.onesignal.forms import OneSignalForm
from integrations.errors import Invalid

WHERE_IT_IS_SHOWN = "OneSignal shows it under Settings > Keys & IDs"


class OneSignal(Destination):
    kind = "onesignal"
    label = "OneSignal"
    summary = "Export cohorts to create custom segments for your campaigns."
    requirement = f"OneSignal must be on a paid plan. On the free plan a sync ends with “{PLAN_REFUSAL}”."
    documentation_url = "https://documentation.onesignal.com/"
    remote_label = "App ID"
    form_class = OneSignalForm
    max_requests_per_second = 1000  # contract/onesignal.md, section 5

    def read_settings(self, *, config: Mapping[str, object], credentials: Mapping[str, object]) -> Settings:
        for name in sorted(set(config) - {"app_id", "sandbox"}):
            raise Invalid(f"config.{name}", "A OneSignal connection's config holds app_id and, if wanted, sandbox.")
        is_sandbox = config.get("sandbox", False)
        if not isinstance(is_sandbox, bool):
            raise Invalid("config.sandbox", "Give true or false.")
        if is_sandbox and settings.SANDBOX_URL is None:
            raise Invalid("config.sandbox", "This installation has no sandbox; it comes with `make up` only.")
        account = Account(
            base_url=str(settings.SANDBOX_URL if is_sandbox else settings.ONESIGNAL_API_URL),
            remote_id=_app_id(config.get("app_id")),
            credential=_api_key(credentials.get("api_key")),
        )
        return Settings(account=account, is_sandbox=is_sandbox)

    def client(self, account: Account) -> OneSignalClient:
        return OneSignalClient(account)


def _app_id(value: object) -> str:
    try:
        return str(uuid.UUID(value.strip() if isinstance(value, str) else ""))
    except ValueError:
        raise Invalid(
            "config.app_id",
            f"Give the App ID, a UUID like 5b1d3c9e-7f0a-4c1e-9a53-0c3f1a2b4d5e; {WHERE_IT_IS_SHOWN}.",
        ) from None


def _api_key(value: object) -> str:
    key = value.strip() if isinstance(value, str) else ""
    if not key:
        raise Invalid("credentials.api_key", f"Give the App API Key; {WHERE_IT_IS_SHOWN}, once, when it is made.")
    if len(key) > 512 or not key.isascii() or any(not character.isprintable() or character == " " for character in key):
        raise Invalid("credentials.api_key", "This holds characters that no OneSignal key has; copy the key again.")
    return key


DESTINATION = OneSignal()
