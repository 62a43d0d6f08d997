"""Erasures: who asked for persons to be erased and when, and what of it is still under way (laws.md, L8).

Nothing here names a property value or an id of an erased person: of ids there are keyed hashes only.
"""

from __future__ import annotations

import uuid

from django.db import models

from cohorts.models.people import MatchKey, MatchProperty
from cohorts.models.projects import Project


class Erasure(models.Model):
    """One request to erase persons: the audit row, kept for ever.

    `id_hashes` are HMAC-SHA256 in hexadecimal, one per id of the request, so that whoever has an id (and the server has
    its key) can tell that it was erased here.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="erasures")
    task_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    # A login's address, a service account's name, or the command.
    requested_by = models.CharField(max_length=255)
    compliance_type = models.CharField(max_length=16)
    requested_at = models.DateTimeField()
    id_hashes = models.JSONField(default=list)
    person_count = models.PositiveIntegerField()
    key_count = models.PositiveIntegerField()
    # Rises while events are swept.
    event_count = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "id"], name="erasure_of_project")]

    def __str__(self) -> str:
        return f"erasure {self.task_id}"


class ErasedPerson(models.Model):
    """An erased person whose events are not all swept yet. Nobody may be shown an event of such a person."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    person_id = models.BigIntegerField()
    erasure = models.ForeignKey(Erasure, on_delete=models.CASCADE, related_name="persons")
    # Transactions from this one on cannot have read the person's ids before they were gone; NULL: not looked at yet.
    settled_from_xid = models.BigIntegerField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "person_id"], name="one_row_per_erased_person")]

    def __str__(self) -> str:
        return f"erased person {self.person_id}"


class ErasedKey(models.Model):
    """A match key that an erased person had: due to be erased while `is_due` and nobody (else) holds it.

    Once it is a tombstone (`MatchKey.value` NULL), `value_hash` recognises the same value when it is set again.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    match_property = models.ForeignKey(MatchProperty, on_delete=models.CASCADE, related_name="+")
    match_key = models.ForeignKey(MatchKey, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    # The latest request that concerned the key.
    erasure = models.ForeignKey(Erasure, on_delete=models.CASCADE, related_name="keys")
    is_due = models.BooleanField(default=True)
    # When all places that may hold it were last looked through (`integrations/removals.py`).
    looked_at = models.DateTimeField(null=True)
    # When the value last went; what was exported before is shown to nobody, also not once the key is revived.
    erased_at = models.DateTimeField(null=True)
    value_hash = models.BinaryField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "match_key"], name="one_row_per_erased_key")]
        indexes = [
            models.Index(fields=["project", "match_property"], condition=models.Q(is_due=True), name="erasedkey_due"),
            models.Index(
                fields=["project", "match_property", "value_hash"],
                condition=models.Q(value_hash__isnull=False),
                name="erasedkey_tombstone",
            ),
        ]

    def __str__(self) -> str:
        return f"erased key {self.match_key_id}"
