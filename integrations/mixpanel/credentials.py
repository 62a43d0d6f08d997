"""Who imports and who asks: `/import` is the one ingestion endpoint that authenticates (step 1; contract, 1.4), and the
Query API (`query/`) takes service accounts only, since a project's token is public.

A service account sends `Basic username:secret`; what it may do is `cohorts/access.py`. A single key, that is, a project
token, comes as `Basic key:` or as the parameter `api_key` (Node's option `key`, the Python SDK's old signature). A
project has no API secret here, and OAuth is not taken.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from dataclasses import dataclass

from cohorts.access import AccessDenied, Actor, NotFound, actor_for, authenticate_service_account, has_role
from cohorts.models import Project
from cohorts.models.projects import Role


class CredentialsRefused(Exception):
    """The request names no project it may import to; the message is what the sender is told."""

    def __init__(self, message: str = "Invalid credentials") -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Importer:
    """The project that a request imports to, and whether the sender proved more than to know its public token."""

    project: Project
    is_authenticated: bool


def importer(*, authorization: str, project_id: str, api_key: str, now: dt.datetime) -> Importer:
    """Return who imports, and to which project.

    `authorization` is the header's value, and wins over the parameter `api_key`; `project_id` is the parameter, which a
    service account may leave out, for it belongs to one project. Raises CredentialsRefused, and AccessDenied when the
    account's role is too low.
    """
    username, secret = basic_credentials(authorization) if authorization else (api_key, "")
    if "\0" in username:
        raise CredentialsRefused
    if not secret:
        project = Project.objects.filter(token=username).first() if username else None
        if project is None:
            raise CredentialsRefused
        return Importer(project, is_authenticated=False)
    account = authenticate_service_account(username=username, secret=secret, now=now)
    if account is None or project_id not in {"", str(account.project_id)}:
        raise CredentialsRefused
    if not has_role(Role(account.role), Role.ADMIN):
        raise AccessDenied(f"importing takes the role admin or higher, and the role of this account is {account.role}")
    return Importer(account.project, is_authenticated=True)


def querying_actor(*, authorization: str, project_id: str, now: dt.datetime) -> Actor:
    """Return the service account in the project it asks about; it may leave `project_id` out, as when it imports.

    Raises CredentialsRefused, and NotFound for a project that is not the account's.
    """
    username, secret = basic_credentials(authorization)
    account = authenticate_service_account(username=username, secret=secret, now=now)
    if account is None:
        raise CredentialsRefused
    if project_id and not (project_id.isascii() and project_id.isdecimal() and len(project_id) < 19):
        raise NotFound("project_id is the number of the service account's project.")
    return actor_for(visitor=account, project_id=int(project_id) if project_id else account.project_id)


def basic_credentials(authorization: str) -> tuple[str, str]:
    """Return username and secret of an Authorization header. Raises CredentialsRefused for anything but Basic."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() == "bearer":
        raise CredentialsRefused(
            "Invalid credentials: this server takes no OAuth tokens (Authorization: Bearer); send a service account's "
            "username and secret, or a project token as the username, by HTTP Basic"
        )
    if scheme.lower() != "basic":
        raise CredentialsRefused
    try:
        username, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise CredentialsRefused from error
    return username, secret
