"""Syncs (a cohort on a connection) and runs (one execution), with the bitmaps that explain each run."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.db import models

from cohorts.models import Cohort, Project
from integrations.models.connections import Connection
from integrations.models.ledgers import Ledger


def default_guard() -> dict[str, object]:
    """Return the guard of a new sync, in the shape of api.md."""
    return {"max_change_percent": 30, "min_members": 100, "hold_empty": True}


class SyncQuerySet(models.QuerySet["Sync"]):
    def due(self, now: dt.datetime) -> SyncQuerySet:
        """Return the syncs whose next run the schedule should start now."""
        return self.filter(
            next_run_at__lte=now,
            status=Sync.Status.ACTIVE,
            deleting_at=None,
            connection__status=Connection.Status.CONNECTED,
        )


class Sync(models.Model):
    """A cohort on a connection, one-time or dynamic."""

    class Mode(models.TextChoices):
        ONE_TIME = "one_time"
        DYNAMIC = "dynamic"

    class Status(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"
        FINISHED = "finished"

    class PausedBy(models.TextChoices):
        """Who paused: reconnecting resumes what the disconnect or a dead connection stopped, not what a person did."""

        PERSON = "person"
        DISCONNECT = "disconnect"
        CONNECTION = "connection"
        FAILURE = "failure"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="syncs")
    cohort = models.ForeignKey(Cohort, on_delete=models.PROTECT, related_name="syncs")
    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="syncs")
    ledger = models.OneToOneField(Ledger, on_delete=models.PROTECT, related_name="sync")
    mode = models.CharField(max_length=8, choices=Mode.choices)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.ACTIVE)
    paused_by = models.CharField(max_length=10, choices=PausedBy.choices, blank=True, default="")
    pause_reason = models.TextField(blank=True, default="")
    guard = models.JSONField(default=default_guard, null=True)
    next_run_at = models.DateTimeField(null=True)
    last_finished_at = models.DateTimeField(null=True)
    # Set when the sync is being deleted together with its segment; the row goes when the last removal is answered.
    deleting_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SyncQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "cohort"], name="one_sync_per_pair"),
            models.UniqueConstraint(fields=["project", "id"], name="sync_of_project"),
        ]
        indexes = [
            models.Index(fields=["next_run_at"], condition=models.Q(status="active"), name="sync_due"),
        ]

    def __str__(self) -> str:
        return f"sync {self.pk}"


class Run(models.Model):
    """One execution of a sync. Its counts add up (design.md, invariant 5)."""

    class Trigger(models.TextChoices):
        MANUAL = "manual"
        SCHEDULE = "schedule"
        VERIFY = "verify"

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        PARTIAL = "partial"
        FAILED = "failed"
        HELD = "held"
        CANCELLED = "cancelled"

    class ErrorKind(models.TextChoices):
        PERMANENT = "permanent"
        TEMPORARY = "temporary"
        INTERNAL = "internal"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="runs")
    sync = models.ForeignKey(Sync, on_delete=models.CASCADE, related_name="runs")
    trigger = models.CharField(max_length=8, choices=Trigger.choices)
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.QUEUED)
    # A removal run drains the ledger instead of resolving the cohort.
    is_removal = models.BooleanField(default=False)
    # Tries unmatched and rejected members now, whatever their pause.
    is_retry = models.BooleanField(default=False)
    # How often this queued run was asked for; a wish that comes while it is being resolved is resolved anew.
    asked_count = models.PositiveIntegerField(default=1)
    cohort_version = models.PositiveIntegerField(null=True)
    as_of = models.DateTimeField(null=True)
    queued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    members = models.BigIntegerField(null=True)
    anonymous = models.BigIntegerField(null=True)
    without_match_property = models.BigIntegerField(null=True)
    invalid_id = models.BigIntegerField(null=True)
    matched_profiles = models.BigIntegerField(null=True)
    matched_keys = models.BigIntegerField(null=True)
    resolve_seconds = models.FloatField(null=True)

    to_add = models.BigIntegerField(default=0)
    to_remove = models.BigIntegerField(default=0)
    unchanged = models.BigIntegerField(default=0)
    added = models.BigIntegerField(default=0)
    removed = models.BigIntegerField(default=0)
    unmatched = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)
    left_to_add = models.BigIntegerField(default=0)
    left_to_remove = models.BigIntegerField(default=0)

    requests = models.BigIntegerField(default=0)
    error = models.TextField(null=True)
    error_kind = models.CharField(max_length=9, choices=ErrorKind.choices, null=True)
    # What keeps a running run waiting, for people: "waiting 43 s ...".
    waiting_for = models.TextField(blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["sync"], condition=models.Q(status="queued"), name="one_queued_run_per_sync"
            ),
            models.UniqueConstraint(
                fields=["sync"], condition=models.Q(status="running"), name="one_running_run_per_sync"
            ),
            models.UniqueConstraint(fields=["project", "id"], name="run_of_project"),
            models.CheckConstraint(
                condition=models.Q(members=None)
                | models.Q(
                    members=models.F("anonymous")
                    + models.F("without_match_property")
                    + models.F("invalid_id")
                    + models.F("matched_profiles")
                ),
                name="run_members_add_up",
            ),
            models.CheckConstraint(
                condition=models.Q(matched_keys=None)
                | models.Q(matched_keys=models.F("unchanged") + models.F("to_add")),
                name="run_matched_keys_add_up",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    to_add=models.F("added") + models.F("unmatched") + models.F("rejected") + models.F("left_to_add")
                ),
                name="run_to_add_adds_up",
            ),
            models.CheckConstraint(
                condition=models.Q(to_remove=models.F("removed") + models.F("left_to_remove")),
                name="run_to_remove_adds_up",
            ),
        ]
        indexes = [
            models.Index(fields=["status"], condition=models.Q(status__in=["queued", "running"]), name="run_open")
        ]

    def __str__(self) -> str:
        return f"run {self.pk}"


class RunBitmap(models.Model):
    """A set of recipients of a run, as a serialised bitmap; only sets that are not empty have a row (L25).

    `wanted` in full for a first run and now and then; otherwise `entered` and `left` against the sync's previous
    resolved run, from which any past membership is rebuilt. The rest are this run's plan and outcomes.
    """

    class Kind(models.TextChoices):
        WANTED = "wanted"
        ENTERED = "entered"
        LEFT = "left"
        TO_ADD = "to_add"
        TO_REMOVE = "to_remove"
        ADDED = "added"
        REMOVED = "removed"
        UNMATCHED = "unmatched"
        REJECTED = "rejected"

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="bitmaps")
    kind = models.CharField(max_length=9, choices=Kind.choices)
    recipients = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "kind"], name="one_bitmap_per_run_and_kind")]

    def __str__(self) -> str:
        return f"{self.kind} of run {self.run_id}"
