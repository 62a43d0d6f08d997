"""Projects (the tenant), the people who may enter and the programs that may call (`cohorts/access.py` decides)."""

from __future__ import annotations

import secrets
import zoneinfo
from typing import Any, ClassVar

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models


def new_token() -> str:
    """Return a fresh public project token: 32 hexadecimal characters, as Mixpanel's."""
    return secrets.token_hex(16)


def validate_timezone(name: str) -> None:
    """Raise ValidationError unless `name` is an IANA timezone."""
    if name not in zoneinfo.available_timezones():
        raise ValidationError(f"{name!r} is not an IANA timezone such as Europe/Berlin or UTC.")


class UserManager(BaseUserManager["User"]):
    """Makes users who log in with their e-mail address."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Store and return a user; the address is kept in lower case so that it is found however it is typed."""
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Store and return an operator, who may use Django's admin for everything."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        """Return the user with this address, however it is typed."""
        return self.get(email=(username or "").strip().lower())


class User(AbstractUser):
    """A person who logs in, by e-mail address."""

    username = None  # type: ignore[assignment]
    email = models.EmailField("e-mail address", unique=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()  # type: ignore[assignment, misc]

    def __str__(self) -> str:
        return self.email


class Role(models.TextChoices):
    """What a member may do; each includes the ones after it (`cohorts/access.py` has the order)."""

    OWNER = "owner"
    ADMIN = "admin"
    ANALYST = "analyst"
    CONSUMER = "consumer"


class ProjectQuerySet(models.QuerySet["Project"]):
    def for_user(self, user: User) -> ProjectQuerySet:
        """Return the projects `user` is a member of."""
        return self.filter(memberships__user=user)


class Project(models.Model):
    """The tenant. Its token is public: it identifies, it does not authenticate."""

    class IdMerge(models.TextChoices):
        ORIGINAL = "original", "Original ID merge"
        SIMPLIFIED = "simplified", "Simplified ID merge"

    name = models.CharField(max_length=255)
    token = models.CharField(max_length=32, unique=True, default=new_token)
    timezone = models.CharField(max_length=64, default="UTC", validators=[validate_timezone])
    id_merge = models.CharField(max_length=10, choices=IdMerge.choices, default=IdMerge.ORIGINAL)
    # Raised with every new match property: ingest holds this row FOR SHARE while it writes keys, so the raise waits
    # for every writer that has not seen the new property (laws.md, L6).
    match_properties_version = models.PositiveIntegerField(default=0)
    # How long events are kept; none: for ever (`cohorts/retention.py`).
    retention_months = models.PositiveSmallIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(retention_months__gte=1), name="project_retention_is_a_month"),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user's role in a project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="one_role_per_project_and_user"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.project}: {self.role}"


class ServiceAccount(models.Model):
    """A program's credentials in one project. Only a hash of the secret is kept; the secret is shown once."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="service_accounts")
    username = models.CharField(max_length=128, unique=True)
    secret_hash = models.CharField(max_length=64)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.ADMIN)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="service_account_role_is_known"),
        ]

    def __str__(self) -> str:
        return self.username
