"""What can go wrong at the edge, each with the one sentence that people read everywhere (style.md, rules 4 and 5)."""

from __future__ import annotations


class SentenceError(Exception):
    """A failure whose sentence says what failed, why, and what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Invalid(SentenceError):
    """An input that cannot be accepted; `field` names it with a dotted path."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class Conflict(SentenceError):
    """A valid wish that the present state forbids."""


class Temporary(SentenceError):
    """The destination cannot be used now; the next try may do, no sooner than `retry_after_seconds` (0: unknown)."""

    def __init__(self, sentence: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(sentence)
        self.retry_after_seconds = retry_after_seconds


class Unreachable(Temporary):
    """No usable answer came from the destination at all."""


class Permanent(SentenceError):
    """It will fail again until a person changes something: the sync pauses with the sentence."""


class CredentialRefused(Permanent):
    """The destination refuses the connection's key or app: every sync of the connection pauses."""


class SegmentIdTaken(Permanent):
    """The destination knows the segment's id already: ours by a lost answer, or one that is gone and stays reserved."""


class SegmentGone(Permanent):
    """The segment does not exist over there any more."""


class LeaseLost(Exception):
    """Another worker holds the app's lease now, or the connection changed: this worker must write nothing more."""
