"""How far a request to erase is: done when no event and no value of it is left here."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet

from cohorts.erasing.keys import has_due_keys
from cohorts.models import ErasedPerson, Erasure, Project


def erasures_of(project: Project) -> QuerySet[Erasure]:
    """Return the project's requests."""
    return Erasure.objects.filter(project=project)


def erasure_by_task(*, project: Project, task_id: str) -> Erasure | None:
    """Return the request with this task id, None if the project has none such."""
    try:
        return erasures_of(project).filter(task_id=uuid.UUID(task_id)).first()
    except ValueError:
        return None


def is_complete(erasure: Erasure) -> bool:
    """Return whether every event is swept and every value erased that nobody else has too.

    A value waits until each destination that may hold a tag under it has answered the tag's removal.
    """
    return not ErasedPerson.objects.filter(erasure=erasure).exists() and not has_due_keys(erasure_id=erasure.pk)
