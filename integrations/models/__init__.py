"""The world's tables, by noun: connections, syncs and their runs, ledgers of what a destination is known to hold."""

from integrations.models.connections import Connection, DestinationApp
from integrations.models.ledgers import (
    Ledger,
    LedgerBitmap,
    LedgerEntry,
    RejectedRecipient,
    UnmatchedRecipient,
    WriteClock,
)
from integrations.models.syncs import Run, RunBitmap, Sync

__all__ = [
    "Connection",
    "DestinationApp",
    "Ledger",
    "LedgerBitmap",
    "LedgerEntry",
    "RejectedRecipient",
    "Run",
    "RunBitmap",
    "Sync",
    "UnmatchedRecipient",
    "WriteClock",
]
