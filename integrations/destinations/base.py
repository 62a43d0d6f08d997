"""The contract of a destination: a folder below `integrations/destinations/` whose `DESTINATION` implements it.

The spine (`integrations/sync.py`) knows only these names. An answer is per recipient, never one yes or no for a batch.
"""

from __future__ import annotations

import enum
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from integrations.destinations.forms import ConnectionForm


class Outcome(enum.Enum):
    """What one write came to."""

    ACCEPTED = "accepted"
    ABSENT = "absent"  # the recipient is unknown over there; nothing was stored
    REFUSED = "refused"  # this recipient's write was refused for good; nothing was stored
    THROTTLED = "throttled"  # too fast; nothing was stored, and it is no failure
    UNSENT = "unsent"  # no byte of the request can have been handled
    UNANSWERED = "unanswered"  # sent, and no usable answer: stored or not, nobody knows
    DENIED = "denied"  # the key or app was refused; nothing was stored


@dataclass(frozen=True)
class Answer:
    """The outcome of one write, with the destination's words where it said any."""

    outcome: Outcome
    status: int | None = None
    sentence: str = ""
    retry_after_seconds: float | None = None


@dataclass(frozen=True)
class Account:
    """Where to send and with what key. The key never appears in a representation."""

    base_url: str
    remote_id: str
    credential: str

    def __repr__(self) -> str:
        return f"Account(base_url={self.base_url!r}, remote_id={self.remote_id!r})"


@dataclass(frozen=True)
class Settings:
    """What a connection's `config` and `credentials` come to once the destination has read them."""

    account: Account
    is_sandbox: bool


@dataclass(frozen=True)
class RemoteSegment:
    """A segment as the destination lists it."""

    id: uuid.UUID
    name: str
    is_active: bool


class DestinationClient(ABC):
    """Talks to one account. Safe to use from several threads."""

    @abstractmethod
    def check(self) -> None:
        """Prove that the key works for the app. Raises CredentialRefused or Temporary."""

    @abstractmethod
    def segments(self) -> list[RemoteSegment]:
        """Return every segment of the app. Raises CredentialRefused, Temporary."""

    @abstractmethod
    def create_segment(self, *, segment_id: uuid.UUID, name: str, tag: str) -> str:
        """Create the segment of the users who carry `tag`; return the name it got (a taken one gets a suffix).

        Raises SegmentIdTaken, Permanent (plan, segment limit), Temporary.
        """

    @abstractmethod
    def rename_segment(self, *, segment_id: uuid.UUID, name: str) -> str | None:
        """Rename the segment; return None, or the sentence of a refusal that leaves the old name in place.

        Raises SegmentGone, Permanent, Temporary.
        """

    @abstractmethod
    def delete_segment(self, *, segment_id: uuid.UUID) -> None:
        """Delete the segment; an unknown one counts as deleted. Raises Permanent, Temporary."""

    @abstractmethod
    def write_tags(self, *, recipient: str, tags: Mapping[str, bool]) -> Answer:
        """Set (True) and clear (False) tags of one user in one request. Never raises for what the other side does."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections of every thread."""


class Destination(ABC):
    """A kind of system to export to."""

    kind: str
    label: str
    summary: str  # one sentence: what connecting it is good for
    requirement: str  # what has to be true over there, to be read before connecting; may be empty
    documentation_url: str
    remote_label: str  # what it calls the account's id
    form_class: type[ConnectionForm]
    max_requests_per_second: int

    @abstractmethod
    def read_settings(self, *, config: Mapping[str, object], credentials: Mapping[str, object]) -> Settings:
        """Validate what a person entered. Raises Invalid naming the field."""

    @abstractmethod
    def client(self, account: Account) -> DestinationClient:
        """Return a client for the account."""
