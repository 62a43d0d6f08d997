"""Frozen answers: who a query selected, kept for a while so that its pages fit together."""

from __future__ import annotations

from django.db import models

from cohorts.models.projects import Project, ServiceAccount


class PeopleSession(models.Model):
    """The persons a query selected at one moment, for the program that asked, until it expires.

    `person_ids` has 8 bytes for each, big-endian and ascending, and is stored without compression in pieces, so that a
    page reads its own part only. Profiles are not frozen.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="people_sessions")
    service_account = models.ForeignKey(ServiceAccount, on_delete=models.CASCADE, related_name="people_sessions")
    name = models.CharField(max_length=64, unique=True)
    # Of what was asked: a session goes on with the same question only.
    question_hash = models.CharField(max_length=64)
    total = models.BigIntegerField()
    person_ids = models.BinaryField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.name
