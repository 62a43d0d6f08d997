"""The project that a client's walk sends to, in a recording's replay as in a live walk."""

from __future__ import annotations

from django.utils import timezone

from cohorts.access import hash_secret
from cohorts.models import MatchProperty, Project, ServiceAccount
from tests.cast import MATCH_PROPERTY


def make_target(*, token: str, username: str, password: str, project_id: int | None = None) -> Project:
    """Store a project with this token, and a service account that may import to it."""
    project = Project.objects.create(pk=project_id, name=f"Clients of {token[:6]}", token=token)
    MatchProperty.objects.create(project=project, name=MATCH_PROPERTY, completed_at=timezone.now())
    ServiceAccount.objects.create(project=project, username=username, secret_hash=hash_secret(password), role="admin")
    return project
