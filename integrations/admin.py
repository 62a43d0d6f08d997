"""The operators' admin for the world: to look at, since what is written here is decided by the sync spine alone.

No credential and no bitmap leaves the database for a list; a row's own page shows how many members a bitmap holds.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from cohorts.admin_tables import OfProject, ReadOnlyAdmin
from integrations.bitmaps import read_bitmap
from integrations.models import (
    Connection,
    DestinationApp,
    Ledger,
    LedgerBitmap,
    LedgerEntry,
    RejectedRecipient,
    Run,
    RunBitmap,
    Sync,
    UnmatchedRecipient,
    WriteClock,
)


class BitmapAdmin(ReadOnlyAdmin):
    """Rows with bitmaps: never read for a list, and shown as counts on a row's own page."""

    bitmaps: tuple[str, ...] = ("recipients",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer(*self.bitmaps)

    @admin.display(description="Members")
    def members(self, row: Any) -> str:
        """How many each bitmap holds."""
        return ", ".join(f"{name}: {len(read_bitmap(getattr(row, name))):,}" for name in self.bitmaps)


@admin.register(DestinationApp)
class DestinationAppAdmin(ReadOnlyAdmin):
    """Apps at destinations with the lease of their pass."""

    list_display = ("id", "destination", "remote_id", "base_url", "lease_token", "lease_holder", "lease_expires_at")
    list_display_links = ("remote_id",)


@admin.register(Connection)
class ConnectionAdmin(ReadOnlyAdmin):
    """Connections; of the credential only the last characters are shown."""

    list_display = ("id", "name", "project", "app", "status", "masked_credential", "checked_at")
    list_display_links = ("name",)
    list_filter = ("status",)
    list_select_related = ("project", "app")
    search_fields = ("name", "app__remote_id")
    fields = (
        "project",
        "name",
        "uuid",
        "app",
        "is_sandbox",
        "masked_credential",
        "match_property",
        "segment_prefix",
        "max_requests_per_second",
        "status",
        "error",
        "checked_at",
        "is_draining",
        "created_by",
        "created_at",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        # Not even decrypted: the page must open when a key is lost.
        return super().get_queryset(request).defer("credential")

    @admin.display(description="Credential")
    def masked_credential(self, connection: Connection) -> str:
        """Enough to tell two keys apart."""
        return f"••••{connection.credential_hint}" if connection.credential_hint else "•••• or none"


@admin.register(Sync)
class SyncAdmin(ReadOnlyAdmin):
    """Syncs and why they are paused."""

    list_display = ("id", "cohort", "connection", "project", "mode", "status", "next_run_at", "last_finished_at")
    list_filter = ("status", "mode")
    list_select_related = ("cohort", "connection", "project")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Sync]:
        return super().get_queryset(request).defer("connection__credential")


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    """Runs, newest first."""

    list_display = ("id", "sync_id", "project", "trigger", "status", "queued_at", "finished_at", "requests", "error")
    list_filter = ("status", "trigger")
    list_select_related = ("project",)
    ordering = ("-id",)


@admin.register(RunBitmap)
class RunBitmapAdmin(BitmapAdmin):
    """What runs wanted, changed and came to."""

    list_display = ("id", "run_id", "kind")
    list_filter = ("kind",)
    fields = ("run", "kind", "members")
    readonly_fields = ("members",)
    ordering = ("-id",)


@admin.register(Ledger)
class LedgerAdmin(ReadOnlyAdmin):
    """What a destination is known to hold for one segment."""

    list_display = ("id", "tag", "segment_name", "project", "connection", "cohort_id", "delivered_count", "is_draining")
    list_display_links = ("tag",)
    list_select_related = ("project", "connection")
    search_fields = ("tag", "segment_name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Ledger]:
        return super().get_queryset(request).defer("connection__credential")


@admin.register(LedgerBitmap)
class LedgerBitmapAdmin(BitmapAdmin):
    """The folded state of ledgers."""

    bitmaps = ("delivered", "doubt_set", "doubt_clear")
    list_display = ("ledger_id", "folded_at")
    fields = ("ledger", "members", "folded_at")
    readonly_fields = ("members",)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(BitmapAdmin):
    """What has not been folded yet."""

    list_display = ("id", "ledger_id", "lease_token", "batch_number", "kind", "value", "written_at")
    list_filter = ("kind",)
    fields = ("ledger", "lease_token", "batch_number", "kind", "value", "members", "written_at")
    readonly_fields = ("members",)
    ordering = ("-id",)


@admin.register(WriteClock)
class WriteClockAdmin(BitmapAdmin):
    """Until when the contrary of a write waits."""

    list_display = ("id", "ledger_id", "value", "until")
    fields = ("ledger", "value", "until", "members")
    readonly_fields = ("members",)
    ordering = ("-id",)


class RecipientAdmin(ReadOnlyAdmin):
    """Rows per recipient; the key is shown by its id, since its table is only indexed within a project."""

    list_filter = (OfProject,)
    ordering = ("-id",)

    @admin.display(description="Match key id")
    def key_id(self, row: Any) -> int:
        """The id that bitmaps hold."""
        return int(row.match_key_id)


@admin.register(UnmatchedRecipient)
class UnmatchedRecipientAdmin(RecipientAdmin):
    """Recipients an app does not know."""

    list_display = ("id", "app", "key_id", "reason", "attempts", "answered_at", "retry_at")
    list_select_related = ("app",)
    fields = ("project", "app", "key_id", "reason", "attempts", "answered_at", "retry_at")
    readonly_fields = ("key_id",)


@admin.register(RejectedRecipient)
class RejectedRecipientAdmin(RecipientAdmin):
    """Recipients whose tag was refused."""

    list_display = ("id", "ledger", "key_id", "reason", "answered_at", "retry_at")
    list_select_related = ("ledger",)
    fields = ("project", "ledger", "key_id", "reason", "answered_at", "retry_at")
    readonly_fields = ("key_id",)
