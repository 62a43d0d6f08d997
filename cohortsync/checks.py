"""System checks: wrong configuration is said at start-up, with what to do."""

from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.db.backends.postgresql.psycopg_any import is_psycopg3


@register()
def check_driver(**_: Any) -> list[CheckMessage]:
    """Refuse psycopg 3: Django would prefer it silently and `cursor.copy_expert` would be gone."""
    if is_psycopg3:
        return [
            Error(
                "psycopg 3 is installed and Django uses it instead of psycopg2.",
                hint="Uninstall the package `psycopg`: CohortSync's bulk paths need psycopg2's COPY.",
                id="cohortsync.E001",
            )
        ]
    return []


@register()
def check_credential_keys(**_: Any) -> list[CheckMessage]:
    """Every entry of CREDENTIAL_KEYS must be a Fernet key; the first one encrypts."""
    if not settings.CREDENTIAL_KEYS:
        return [
            Error(
                "CREDENTIAL_KEYS is empty, so no destination's credentials can be stored.",
                hint="Set it to one key or several separated by commas, newest first; make one with: "
                "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'",
                id="cohortsync.E002",
            )
        ]
    for position, key in enumerate(settings.CREDENTIAL_KEYS, start=1):
        try:
            Fernet(key)
        except ValueError:
            return [
                Error(
                    f"Key number {position} of CREDENTIAL_KEYS is not a Fernet key.",
                    hint="A Fernet key is 32 bytes in URL-safe base64 (44 characters).",
                    id="cohortsync.E003",
                )
            ]
    return []


@register()
def check_interval(**_: Any) -> list[CheckMessage]:
    """SYNC_INTERVAL_MINUTES must be a whole number of minutes from 1 to 1440."""
    if not 1 <= settings.SYNC_INTERVAL_MINUTES <= 1440:
        return [
            Error(
                f"SYNC_INTERVAL_MINUTES is {settings.SYNC_INTERVAL_MINUTES}; it must lie between 1 and 1440.",
                hint="15 is the interval of dynamic syncs in the product this replaces.",
                id="cohortsync.E004",
            )
        ]
    return []


@register()
def check_lease(**_: Any) -> list[CheckMessage]:
    """A lease must outlast the longest request by enough to send anything at all."""
    longest = settings.HTTP_CONNECT_TIMEOUT_SECONDS + settings.HTTP_READ_TIMEOUT_SECONDS + 5
    if longest + 2 * settings.LEASE_HEARTBEAT_SECONDS > settings.LEASE_TTL_SECONDS:
        return [
            Error(
                f"LEASE_TTL_SECONDS is {settings.LEASE_TTL_SECONDS:g}, too short to send anything under it.",
                hint=f"It must be at least the longest request and its margin ({longest:g} s) plus two heartbeats "
                f"({2 * settings.LEASE_HEARTBEAT_SECONDS:g} s).",
                id="cohortsync.E005",
            )
        ]
    return []


@register()
def check_refusals_kept(**_: Any) -> list[CheckMessage]:
    """REFUSALS_KEPT_DAYS must be a number of days that a page can show."""
    if not 1 <= settings.REFUSALS_KEPT_DAYS <= 366:
        return [
            Error(
                f"REFUSALS_KEPT_DAYS is {settings.REFUSALS_KEPT_DAYS}; it must lie between 1 and 366.",
                hint="The samples hold parts of what senders sent: 30 days are enough to find the sender.",
                id="cohortsync.E006",
            )
        ]
    return []
