"""Connections: one project's credentials for a destination, and the app over there that connections share."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from cohorts.models import MatchProperty, Project
from integrations.encryption import EncryptedTextField


class DestinationApp(models.Model):
    """One account at a destination (OneSignal: an app at a base address), whoever connects to it.

    Passes, rate limits and the spacing of a user's writes belong to it, so connections of different projects to one
    app take turns. It carries the lease of the pass (laws.md, L13): `lease_token` rises with every taking and fences
    what an earlier holder still writes; expiry is judged by the database's clock only.
    """

    destination = models.CharField(max_length=32)
    # An address, or `sandbox` for the one that comes with `make up` (`integrations/accounts.py`).
    base_url = models.CharField(max_length=255)
    remote_id = models.CharField(max_length=128)
    lease_token = models.BigIntegerField(default=0)
    lease_holder = models.CharField(max_length=128, blank=True, default="")
    lease_expires_at = models.DateTimeField(null=True)
    # When the pass should next be looked at although nothing is queued: writes that wait (L11), a `Retry-After`.
    wake_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["destination", "base_url", "remote_id"], name="one_row_per_destination_app")
        ]

    def __str__(self) -> str:
        return f"{self.destination} app {self.remote_id}"


class Connection(models.Model):
    """One project's credentials for a destination. Its App ID never changes; reconnecting with another starts empty."""

    class Status(models.TextChoices):
        CONNECTED = "connected"
        ERROR = "error"
        DISCONNECTED = "disconnected"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="connections")
    # Part of every segment id and tag, so that two installations on one app never share one (laws.md, L9).
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    app = models.ForeignKey(DestinationApp, on_delete=models.PROTECT, related_name="connections")
    name = models.CharField(max_length=255)
    is_sandbox = models.BooleanField(default=False)
    credential = EncryptedTextField(blank=True, default="")
    credential_hint = models.CharField(max_length=4, blank=True, default="")
    match_property = models.ForeignKey(MatchProperty, on_delete=models.PROTECT, related_name="+")
    segment_prefix = models.CharField(max_length=64, blank=True, default="(CohortSync) ")
    max_requests_per_second = models.PositiveIntegerField()
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.CONNECTED)
    error = models.TextField(blank=True, default="")
    checked_at = models.DateTimeField(null=True)
    # Disconnecting with delete_segments: credentials are erased once the last removal is answered.
    is_draining = models.BooleanField(default=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "id"], name="connection_of_project"),
            models.CheckConstraint(
                condition=models.Q(max_requests_per_second__gte=1, max_requests_per_second__lte=1000),
                name="connection_rate_within_destination_limit",
            ),
        ]

    def __str__(self) -> str:
        return self.name
