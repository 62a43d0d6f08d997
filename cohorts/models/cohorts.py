"""Cohorts: the rule, who owns it and how many it last selected."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from cohorts.models.projects import Project, User


class CohortQuerySet(models.QuerySet["Cohort"]):
    def visible_to(self, user: User | None) -> CohortQuerySet:
        """Return the cohorts `user` may see: the shared ones and their own. A program sees the shared ones."""
        return self.filter(
            models.Q(visibility=Cohort.Visibility.PROJECT) | models.Q(created_by=user, created_by__isnull=False)
        )


class Cohort(models.Model):
    """A named definition. Its members are computed at each use, as of that moment."""

    class Visibility(models.TextChoices):
        PRIVATE = "private"
        PROJECT = "project"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="cohorts")
    name = models.CharField(max_length=255)
    description = models.TextField(blank=True, default="")
    definition = models.JSONField()
    visibility = models.CharField(max_length=8, choices=Visibility.choices, default=Visibility.PROJECT)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    # Raised by every change of the definition; a run stores the version it resolved.
    version = models.PositiveIntegerField(default=1)
    count = models.BigIntegerField(null=True, blank=True)
    counted_at = models.DateTimeField(null=True, blank=True)

    objects = CohortQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "id"], name="cohort_of_project")]

    def __str__(self) -> str:
        return self.name
