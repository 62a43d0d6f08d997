"""Events, partitioned by month, and what was refused at the door."""

from __future__ import annotations

from django.db import models

from cohorts.models.erasures import ErasedPerson
from cohorts.models.projects import Project


class EventQuerySet(models.QuerySet["Event"]):
    def visible(self) -> EventQuerySet:
        """Return the events without those of erased persons that are not swept yet (`cohorts/erasing/`)."""
        return self.alias(
            is_erased=models.Exists(
                ErasedPerson.objects.filter(
                    project_id=models.OuterRef("project_id"), person_id=models.OuterRef("person_id")
                )
            )
        ).filter(is_erased=False)


class Event(models.Model):
    """What happened. Made in SQL (migration 0002): partitioned by `dedup_at`, unique on the deduplication key.

    `dedup_at` is the time as sent (none sent: the UTC day of arrival); `occurred_at` is the same time after clamping.
    `dedup_hash` is 16 bytes over project, `dedup_at`, event name, distinct_id as sent and `$insert_id` (laws.md, L3),
    and so names a row over all projects.
    """

    dedup_hash = models.UUIDField(primary_key=True)
    project = models.ForeignKey(Project, on_delete=models.DO_NOTHING, db_constraint=False)
    dedup_at = models.DateTimeField()
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    name = models.TextField()
    # NULL where the distinct_id names nobody (empty, `null`, `anonymous`...): kept, and no part of any behaviour.
    person_id = models.BigIntegerField(null=True)
    distinct_id = models.TextField()
    insert_id = models.TextField(null=True)
    # 8 bytes over name and properties: a repeated event whose content is the same is not written again.
    content_hash = models.BigIntegerField()
    properties = models.JSONField(default=dict)

    objects = EventQuerySet.as_manager()

    class Meta:
        db_table = "cohorts_event"

    def __str__(self) -> str:
        return f"{self.name} at {self.occurred_at:%Y-%m-%d %H:%M:%S}"


class Refusal(models.Model):
    """Records refused on one day for one reason: how many, and a few samples, so that a person can see them."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="refusals")
    refused_date = models.DateField()
    endpoint = models.CharField(max_length=32)
    reason = models.CharField(max_length=255)
    count = models.BigIntegerField(default=0)
    samples = models.JSONField(default=list)
    last_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "refused_date", "endpoint", "reason"], name="one_refusal_row_per_day_and_reason"
            )
        ]

    def __str__(self) -> str:
        return f"{self.reason} ({self.count})"
