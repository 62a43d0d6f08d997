"""Where a connection sends: the one place that turns an app's stored address into a base URL."""

from __future__ import annotations

from django.conf import settings

from integrations.destinations.base import Account
from integrations.encryption import CredentialUnreadable
from integrations.errors import CredentialRefused
from integrations.models import Connection

# Stored instead of an address, because the sandbox may listen on another port after a restart.
SANDBOX_ADDRESS = "sandbox"


def account_of(connection: Connection) -> Account:
    """Return the connection's account. Raises CredentialRefused when its key is unreadable or its sandbox not run."""
    base_url: str | None = connection.app.base_url
    if base_url == SANDBOX_ADDRESS:
        base_url = settings.SANDBOX_URL
    if base_url is None:
        raise CredentialRefused(
            "This connection uses the sandbox, which this installation does not run. "
            "Start it with `make up`, or make a connection to OneSignal itself."
        )
    try:
        return Account(base_url, connection.app.remote_id, connection.credential)
    except CredentialUnreadable as error:
        raise CredentialRefused(str(error)) from error
