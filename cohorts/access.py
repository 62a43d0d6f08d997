"""The one place that decides who may do what in a project.

Everything starts from a project that the visitor, a user or a service account, has access to; a stranger is told that
there is no such project, so that ids say nothing. Roles contain each other: owner > admin > analyst > consumer. Called
by the REST API (`cohortsync/api/`), the pages and the endpoints that take a service account's credentials; the
projects and accounts themselves are made in `cohorts/projects.py`.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import hmac
from dataclasses import dataclass

from cohorts.models import Membership, Project, ServiceAccount, User
from cohorts.models.projects import Role

# From the most powerful role down; a role includes every role after it.
_ORDER = (Role.OWNER, Role.ADMIN, Role.ANALYST, Role.CONSUMER)


class Action(enum.Enum):
    """What can be done in a project: the least role that may, and the words for it in a refusal (api.md, "Who may")."""

    READ = (Role.CONSUMER, "Reading")
    WRITE_COHORTS = (Role.ANALYST, "Creating, changing or deleting cohorts")
    SYNC = (Role.ANALYST, "Exporting cohorts and running syncs")
    DOWNLOAD = (Role.ANALYST, "Downloading records")
    CONNECT = (Role.ADMIN, "Connecting, changing or disconnecting destinations")
    ADMINISTER = (Role.ADMIN, "Changing the project and its service accounts")
    ERASE = (Role.ADMIN, "Erasing people")

    def __init__(self, least_role: Role, words: str) -> None:
        self.least_role = least_role
        self.words = words


class NotFound(Exception):
    """There is no such thing, or it is none of the visitor's business: both read the same. `field` names the input."""

    def __init__(self, sentence: str, field: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.field = field


class AccessDenied(Exception):
    """The visitor belongs to the project, but their role is too low."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class Actor:
    """A user or a service account in one project, with the role they have there."""

    visitor: User | ServiceAccount
    project: Project
    role: Role

    @property
    def user(self) -> User | None:
        """Return the person, or None for a program."""
        return self.visitor if isinstance(self.visitor, User) else None


def hash_secret(secret: str) -> str:
    """Return what is stored of a service account's secret: SHA-256, hexadecimal.

    No slow hash: secrets are 256 random bits, so there is nothing to guess, and every request checks one.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def authenticate_service_account(*, username: str, secret: str, now: dt.datetime) -> ServiceAccount | None:
    """Return the service account with these credentials; None for a wrong pair and for an expired account.

    An unknown username costs the same comparison as a wrong secret, so the time taken tells nothing.
    """
    # PostgreSQL refuses NUL in a text, so no account is called so.
    account = (
        None if "\0" in username else ServiceAccount.objects.select_related("project").filter(username=username).first()
    )
    stored = account.secret_hash if account else hash_secret("")
    is_same = hmac.compare_digest(stored, hash_secret(secret))
    if account is None or not is_same or (account.expires_at is not None and account.expires_at <= now):
        return None
    return account


def actor_for(*, visitor: User | ServiceAccount, project_id: int) -> Actor:
    """Return the visitor's place in a project. Raises NotFound when they have none, whether or not it exists."""
    if isinstance(visitor, ServiceAccount):
        if visitor.project_id == project_id:
            return Actor(visitor, visitor.project, Role(visitor.role))
    else:
        membership = Membership.objects.select_related("project").filter(user=visitor, project_id=project_id).first()
        if membership:
            return Actor(visitor, membership.project, Role(membership.role))
    raise NotFound(f"There is no project {project_id} that these credentials may enter.")


def has_role(role: Role, least_role: Role) -> bool:
    """Return whether `role` includes `least_role`."""
    return _ORDER.index(role) <= _ORDER.index(least_role)


def roles_up_to(role: Role) -> list[Role]:
    """Return the roles that somebody with this one may give: at most their own, the most powerful first (Mixpanel)."""
    return [each for each in _ORDER if has_role(role, each)]


def require(actor: Actor, action: Action) -> None:
    """Return if the actor may do this. Raises AccessDenied with the role it takes."""
    if not has_role(actor.role, action.least_role):
        raise AccessDenied(
            f"{action.words} takes the role {action.least_role} or higher, and yours in this project is {actor.role}; "
            "an owner or admin of the project can raise it."
        )
