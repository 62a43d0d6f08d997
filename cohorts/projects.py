"""Projects and the credentials of the programs that call them: made here, checked in `cohorts/access.py`.

`bootstrap` is the way in on a fresh installation: the command of that name prints what it returns.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import connection, transaction
from django.utils.text import slugify

from cohorts.access import NotFound, hash_secret
from cohorts.match_keys import ensure_default_match_property
from cohorts.models import Event, Membership, Person, Project, ServiceAccount, User
from cohorts.models.projects import Role

# Serialises bootstraps, so that two at once do not make two projects. The number only has to be our own.
_BOOTSTRAP_LOCK = 7_205_116_301
# What a person types of a service account's username.
_NAME_CHARACTERS = 64


class InvalidProject(ValueError):
    """An input that makes no project or account; the message is one sentence."""


@dataclass(frozen=True)
class Bootstrapped:
    """A project with its way in. A secret is None unless this call made or renewed it."""

    project: Project
    account: ServiceAccount
    secret: str | None
    login: User
    password: str | None


def create_project(*, name: str, timezone: str, id_merge: str, owner: User) -> Project:
    """Make a project with its owner and its default match property. Raises InvalidProject."""
    project = Project(name=name, timezone=timezone, id_merge=id_merge)
    try:
        project.full_clean()
    except ValidationError as error:
        raise InvalidProject(" ".join(error.messages)) from error
    with transaction.atomic():
        project.save()
        Membership.objects.create(project=project, user=owner, role=Role.OWNER)
        ensure_default_match_property(project)
    return project


def create_service_account(
    *, project: Project, username: str, role: str, now: dt.datetime, expires_at: dt.datetime | None = None
) -> tuple[ServiceAccount, str]:
    """Make a program's credentials in a project; return them with the secret, which cannot be read again.

    Raises InvalidProject when they would have expired already.
    """
    if expires_at is not None and expires_at <= now:
        raise InvalidProject(
            f"{username} would have expired already at {expires_at:%Y-%m-%d %H:%M}: choose a later time."
        )
    secret = _new_secret()
    account = ServiceAccount.objects.create(
        project=project,
        username=username,
        role=role,
        secret_hash=hash_secret(secret),
        expires_at=expires_at,
    )
    return account, secret


def username_for(name: str) -> str:
    """Return the username of a new service account: the words given and a random end, since names are not unique.

    So nobody learns which names other projects use.
    """
    words = slugify(name)[:_NAME_CHARACTERS].strip("-") or "account"
    return f"{words}.{secrets.token_hex(4)}"


def service_account_for(*, project: Project, account_id: int) -> ServiceAccount:
    """Return a service account of the project. Raises NotFound."""
    account = ServiceAccount.objects.filter(project=project, pk=account_id).first()
    if account is None:
        raise NotFound("There is no such service account in this project.")
    return account


def delete_service_account(*, account: ServiceAccount) -> None:
    """Delete a program's credentials; its next call is refused. What it made stays."""
    account.delete()


def has_received(project: Project) -> bool:
    """Return whether the project holds events or people: from then on its ID merge is fixed (Mixpanel)."""
    return Event.objects.filter(project_id=project.pk).exists() or Person.objects.filter(project_id=project.pk).exists()


def update_project(*, project: Project, name: str, timezone: str, id_merge: str) -> Project:
    """Change a project's settings and return it. Raises InvalidProject, also for another ID merge once there is data.

    Ingestion holds the project's row while it writes, so the first event and a change of the mode exclude each other.
    """
    with transaction.atomic():
        project = Project.objects.select_for_update().get(pk=project.pk)
        if id_merge != project.id_merge and has_received(project):
            raise InvalidProject(
                f"The ID merge of {project.name} is fixed, because events or people have come in: it stays "
                f"{project.get_id_merge_display()}. Make another project for the other mode."
            )
        project.name, project.timezone, project.id_merge = name, timezone, id_merge
        try:
            project.full_clean()
        except ValidationError as error:
            raise InvalidProject(" ".join(error.messages)) from error
        project.save(update_fields=["name", "timezone", "id_merge"])
    return project


def rotate_service_account(*, account: ServiceAccount) -> str:
    """Give the account a new secret and return it; the old one stops working at once."""
    secret = _new_secret()
    account.secret_hash = hash_secret(secret)
    account.save(update_fields=["secret_hash"])
    return secret


def bootstrap(
    *,
    email: str,
    project_name: str,
    timezone: str | None,
    id_merge: str | None,
    is_staff: bool,
    is_rotating: bool,
    now: dt.datetime,
) -> Bootstrapped:
    """Make sure that `email` owns a project of that name with an admin service account; doing it again changes nothing.

    A project is found by its name among those the login owns, since names are not unique over tenants. Existing
    credentials are kept and not shown, unless `is_rotating` renews both. Raises InvalidProject, also when the project
    exists with another timezone or ID merge than the given one.
    """
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError as error:
        raise InvalidProject(f"{email!r} is no e-mail address.") from error
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_BOOTSTRAP_LOCK])
        login, password = _login(email=email, is_staff=is_staff, is_rotating=is_rotating)
        project = (
            Project.objects.filter(name=project_name, memberships__user=login, memberships__role=Role.OWNER)
            .order_by("id")
            .first()
        )
        if project is None:
            project = create_project(
                name=project_name,
                timezone=timezone or "UTC",
                id_merge=id_merge or Project.IdMerge.ORIGINAL,
                owner=login,
            )
        for given, kept, words in (
            (timezone, project.timezone, "timezone"),
            (id_merge, project.id_merge, "ID merge"),
        ):
            if given is not None and given != kept:
                raise InvalidProject(
                    f"Project {project.pk} ({project.name}) exists with the {words} {kept}, and bootstrap does not "
                    f"change it to {given}: leave the option out, or choose another project name."
                )
        username = f"bootstrap-{project.pk}"
        account = ServiceAccount.objects.filter(project=project, username=username).first()
        secret = None
        if account is None:
            account, secret = create_service_account(project=project, username=username, role=Role.ADMIN, now=now)
        elif is_rotating:
            secret = rotate_service_account(account=account)
    return Bootstrapped(project=project, account=account, secret=secret, login=login, password=password)


def _login(*, email: str, is_staff: bool, is_rotating: bool) -> tuple[User, str | None]:
    """Return the user with this address, made if there is none, and the password if this call set one."""
    user = User.objects.filter(email=email).first()
    password = secrets.token_urlsafe(15) if user is None or is_rotating else None
    if user is None:
        user = User.objects.create_user(email, password)
    elif password:
        user.set_password(password)
        user.save(update_fields=["password"])
    if is_staff and not (user.is_staff and user.is_superuser):
        user.is_staff = user.is_superuser = True
        user.save(update_fields=["is_staff", "is_superuser"])
    return user, password


def _new_secret() -> str:
    return secrets.token_urlsafe(32)
