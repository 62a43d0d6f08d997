"""A request's records, parted by project and read one by one (step 1). Called by the views."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from cohorts.models import Project
from cohorts.refusals import RecordRefused, RefusedRecord, sample_of
from integrations.mixpanel.body import RawRecord, Unreadable
from integrations.mixpanel.events import insert_id_of

Message = TypeVar("Message")

# A record and its place in the request.
Placed = tuple[int, RawRecord]


@dataclass(slots=True)
class Parts:
    """The records of each known project, by project id; those without a token; how many have an unknown one.

    An unknown token is no mistake to tell about: its records are accepted and dropped (Mixpanel).
    """

    of_projects: list[tuple[Project, list[Placed]]] = field(default_factory=list)
    refusals: list[RefusedRecord] = field(default_factory=list)
    dropped: int = 0


@dataclass(slots=True)
class Batch(Generic[Message]):
    """One project's part of a request: what to store, what is refused, how many are accepted and dropped."""

    project: Project
    messages: list[Message] = field(default_factory=list)
    refusals: list[RefusedRecord] = field(default_factory=list)
    dropped: int = 0

    @property
    def good(self) -> int:
        """Return how many records are accepted."""
        return len(self.messages) + self.dropped


def part_by_project(records: Iterable[RawRecord], token_of: Callable[[RawRecord], str]) -> Parts:
    """Return the records by the project whose token they carry."""
    parts = Parts()
    placed: dict[str, list[Placed]] = defaultdict(list)
    for position, record in enumerate(records):
        try:
            placed[token_of(record)].append((position, record))
        except RecordRefused as refused:
            parts.refusals.append(_refusal(position, record, refused))
    # PostgreSQL refuses NUL in a text, so no token is written so.
    tokens = [token for token in placed if "\0" not in token]
    projects = {project.token: project for project in Project.objects.filter(token__in=tokens).order_by("pk")}
    parts.of_projects = [(project, placed[token]) for token, project in projects.items()]
    parts.dropped = sum(len(each) for token, each in placed.items() if token not in projects)
    return parts


def read_batch(
    project: Project, placed: Iterable[Placed], read: Callable[[int, RawRecord], Message | None]
) -> Batch[Message]:
    """Read a project's records; `read` returns None for what is accepted and dropped, and raises RecordRefused."""
    batch: Batch[Message] = Batch(project)
    for position, record in placed:
        try:
            message = read(position, record)
        except RecordRefused as refused:
            batch.refusals.append(_refusal(position, record, refused))
        else:
            if message is None:
                batch.dropped += 1
            else:
                batch.messages.append(message)
    return batch


def first_error(refusals: Sequence[RefusedRecord]) -> str:
    """Return what the sender is told when nothing was good."""
    return min(refusals, key=lambda refusal: refusal.position).message if refusals else "data, missing or empty"


def _refusal(position: int, record: RawRecord, refused: RecordRefused) -> RefusedRecord:
    return RefusedRecord(
        position=position,
        reason=refused.reason,
        field=refused.field,
        message=refused.message,
        insert_id=insert_id_of(record),
        sample=sample_of(record.text if isinstance(record, Unreadable) else record),
    )
