"""Group profiles: what is known of a company, a team, an account. No cohort and no sync looks at them.

The table is made in SQL (migration 0004) like those of persons: its key leads with `project_id`.
"""

from __future__ import annotations

from django.db import models

from cohorts.models.projects import Project


class GroupProfile(models.Model):
    """The profile of one group: `group_key` is the property that names groups (`company`), `group_id` its value."""

    id = models.BigAutoField(primary_key=True)
    project = models.ForeignKey(Project, on_delete=models.DO_NOTHING, db_constraint=False)
    group_key = models.TextField()
    group_id = models.TextField()
    properties = models.JSONField(default=dict)
    # The last operation through an ingestion endpoint.
    profile_updated_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "cohorts_groupprofile"

    def __str__(self) -> str:
        return f"{self.group_key} {self.group_id}"
