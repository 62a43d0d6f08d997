"""Ledgers: what a destination is known to hold for one segment, and every doubt about it (`integrations/ledger.py`)."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from cohorts.models import MatchKey, Project
from integrations.models.connections import Connection, DestinationApp


class Ledger(models.Model):
    """One tag and its segment at a destination app. It outlives its sync: the same pair takes it up again (L9)."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="ledgers")
    app = models.ForeignKey(DestinationApp, on_delete=models.PROTECT, related_name="ledgers")
    # Not a foreign key: a ledger outlives its cohort, and cohort ids are never reused.
    cohort_id = models.BigIntegerField()
    tag = models.CharField(max_length=64)
    segment_id = models.UUIDField()
    segment_name = models.CharField(max_length=128)
    # Set once the segment is known to exist over there.
    segment_seen_at = models.DateTimeField(null=True)
    # The name a renamed cohort asks for, until the next pass has told the destination.
    renamed_to = models.CharField(max_length=320, blank=True, default="")
    # What a person should know about the segment, e.g. a refused rename. No failure.
    warning = models.TextField(blank=True, default="")
    # Kept for lists; the bitmaps are the truth.
    delivered_count = models.BigIntegerField(default=0)
    # Draining: nothing is wanted any more; every tag is removed, then (with `is_segment_doomed`) the segment.
    is_draining = models.BooleanField(default=False)
    is_segment_doomed = models.BooleanField(default=False)
    # Tags of erased persons are to be removed, whatever became of the sync (`integrations/removals.py`).
    is_erasing = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "app", "cohort_id"], name="one_ledger_per_pair_and_app"),
            models.UniqueConstraint(fields=["app", "tag"], name="no_shared_tag_on_an_app"),
            models.UniqueConstraint(fields=["project", "id"], name="ledger_of_project"),
        ]

    def __str__(self) -> str:
        return f"{self.tag} ({self.segment_name})"


class LedgerBitmap(models.Model):
    """The folded state of a ledger, apart from its row so that lists never read it (L25).

    Serialised 32-bit roaring bitmaps of recipients (match key ids): `delivered`, and those in doubt per value.
    """

    ledger = models.OneToOneField(Ledger, on_delete=models.CASCADE, primary_key=True, related_name="bitmap")
    delivered = models.BinaryField()
    doubt_set = models.BinaryField()
    doubt_clear = models.BinaryField()
    folded_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"bitmaps of ledger {self.ledger_id}"


class LedgerEntry(models.Model):
    """One appended line of a ledger: an intent before the requests of a batch, or an outcome after them (L12).

    `value` is what was written: True the tag set, False the tag cleared. `recipients` is a serialised bitmap.
    """

    class Kind(models.TextChoices):
        INTENT = "intent"  # these are about to be written
        ACCEPTED = "accepted"  # the destination took the value
        ABSENT = "absent"  # the destination does not know the recipient: no tag can be there
        REFUSED = "refused"  # the destination refused the write; nothing was stored
        UNSENT = "unsent"  # no request was started; nothing can have been stored

    ledger = models.ForeignKey(Ledger, on_delete=models.CASCADE, related_name="entries")
    lease_token = models.BigIntegerField()
    batch_number = models.BigIntegerField()
    kind = models.CharField(max_length=8, choices=Kind.choices)
    value = models.BooleanField()
    recipients = models.BinaryField()
    written_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "ledger entries"
        indexes = [models.Index(fields=["ledger", "lease_token", "batch_number"], name="ledgerentry_order")]

    def __str__(self) -> str:
        return f"{self.kind} {self.value} of ledger {self.ledger_id}, batch {self.batch_number}"


class WriteClock(models.Model):
    """Until `until`, the contrary of `value` is not written for these recipients: it may still be applied (L11)."""

    ledger = models.ForeignKey(Ledger, on_delete=models.CASCADE, related_name="clocks")
    value = models.BooleanField()
    until = models.DateTimeField()
    recipients = models.BinaryField()

    class Meta:
        indexes = [models.Index(fields=["ledger", "until"], name="writeclock_until")]

    def __str__(self) -> str:
        return f"ledger {self.ledger_id}: no {not self.value} before {self.until:%H:%M:%S}"


class UnmatchedRecipient(models.Model):
    """A recipient the app does not know. Kept for all syncs on the app, tried again with growing pauses."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    app = models.ForeignKey(DestinationApp, on_delete=models.CASCADE, related_name="unmatched")
    match_key = models.ForeignKey(MatchKey, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    reason = models.TextField()
    attempts = models.PositiveIntegerField(default=1)
    answered_at = models.DateTimeField()
    retry_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "app", "match_key"], name="one_row_per_unmatched_recipient")
        ]

    def __str__(self) -> str:
        return f"{self.match_key_id} unmatched at app {self.app_id}"


class RejectedRecipient(models.Model):
    """A recipient whose tag of one ledger was refused, and why. Tried again after a day or by hand."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    ledger = models.ForeignKey(Ledger, on_delete=models.CASCADE, related_name="rejected")
    match_key = models.ForeignKey(MatchKey, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    reason = models.TextField()
    answered_at = models.DateTimeField()
    retry_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["ledger", "match_key"], name="one_row_per_rejected_recipient")]

    def __str__(self) -> str:
        return f"{self.match_key_id} rejected in ledger {self.ledger_id}"
