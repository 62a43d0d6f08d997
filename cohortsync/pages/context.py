"""What the frame of every page needs: the project, the projects to switch to, what the visitor may do."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from cohorts.access import Action, has_role
from cohorts.models import Membership, User
from cohortsync.pages.access import actor_in


def navigation(request: HttpRequest) -> dict[str, object]:
    """Return `project`, `may` (e.g. `may.connect`) and `memberships`, read from the database when they are shown."""
    actor = actor_in(request)
    user = getattr(request, "user", None)
    return {
        "project": actor.project if actor else None,
        "may": {action.name.lower(): has_role(actor.role, action.least_role) for action in Action} if actor else {},
        "memberships": SimpleLazyObject(lambda: _memberships(user)),
    }


def _memberships(user: object) -> QuerySet[Membership]:
    if not isinstance(user, User):
        return Membership.objects.none()
    return Membership.objects.filter(user=user).select_related("project").order_by("project__name", "project_id")
