"""A draft as rows of inputs: groups, their conditions, their filters. `templates/cohorts/form/` shows them."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cohortsync.pages.definition_form.controls import Control, Maker, Part
from cohortsync.pages.definition_form.draft import DEFAULTS, Draft, DraftCondition, place
from cohortsync.pages.definition_form.sentences import event_lines, property_lines
from cohortsync.pages.definition_form.words import BASES, MATCHES

Complaints = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Row:
    """A condition or a filter. `hidden` are the inputs that its sentence does not need now, with what they hold.

    `at` is its position as actions name it, `title` as people do.
    """

    title: str
    at: str
    place: str
    lines: tuple[tuple[Part, ...], ...]
    joint: str
    hidden: tuple[tuple[str, str], ...] = ()
    filters: tuple[Row, ...] = ()
    filters_match: Control | None = None
    is_on_event: bool = False

    @property
    def controls(self) -> Iterator[Control]:
        """All inputs shown, those of the filters included."""
        yield from (part for line in self.lines for part in line if isinstance(part, Control))
        if self.filters_match:
            yield self.filters_match
        for row in self.filters:
            yield from row.controls

    @property
    def all_hidden(self) -> Iterator[tuple[str, str]]:
        """All inputs kept, those of the filters included."""
        yield from self.hidden
        for row in self.filters:
            yield from row.all_hidden


@dataclass(frozen=True)
class GroupRow:
    """A group."""

    title: str
    at: str
    match: Control
    joint: str
    rows: tuple[Row, ...]

    @property
    def controls(self) -> Iterator[Control]:
        """All inputs shown."""
        yield self.match
        for row in self.rows:
            yield from row.controls


@dataclass(frozen=True)
class Layout:
    """The whole form."""

    base: Control
    match: Control
    groups: tuple[GroupRow, ...]
    controls: tuple[Control, ...] = field(init=False)

    def __post_init__(self) -> None:
        inner = (control for group in self.groups for control in group.controls)
        object.__setattr__(self, "controls", (self.base, self.match, *inner))

    @property
    def hidden(self) -> Iterator[tuple[str, str]]:
        """All inputs kept and not shown."""
        for group in self.groups:
            for row in group.rows:
                yield from row.all_hidden


def layout(draft: Draft, complaints: Complaints) -> Layout:
    """Return the rows of a draft."""
    top = Maker("", {"base": draft.base, "match": draft.match}, complaints)
    groups = []
    for position, group in enumerate(draft.groups):
        maker = Maker(place(position), {"match": group.match}, complaints)
        rows = tuple(
            _condition(condition, (position, number), complaints, joint=_joint(group.match, number))
            for number, condition in enumerate(group.conditions)
        )
        match = _match(maker, "match", "How many conditions of the group must hold")
        joint = _joint(draft.match, position)
        groups.append(GroupRow(str(position + 1), str(position), match, joint, rows))
    return Layout(
        top.select("base", "Who may be a member", BASES, width="is-inline"),
        _match(top, "match", "How many groups must hold"),
        tuple(groups),
    )


def _match(maker: Maker, name: str, label: str) -> Control:
    return maker.select(name, label, MATCHES, is_refreshing=True, width="is-inline")


def _joint(match: str, position: int) -> str:
    """Return the word before a row that is not the first."""
    return "" if position == 0 else "or" if match == "any" else "and"


def _condition(condition: DraftCondition, at: tuple[int, ...], complaints: Complaints, *, joint: str) -> Row:
    where = place(*at)
    is_filter = len(at) == 3
    # As the sentence reads it: an operator not chosen yet is the first one.
    values = ChainMap({"operator": condition.operator}, dict(condition.fields), DEFAULTS)
    maker = Maker(where, values, complaints)
    is_on_event = condition.is_on_event and not is_filter
    lines = event_lines(condition, maker) if is_on_event else property_lines(condition, maker, is_filter=is_filter)
    shown = {part.name for line in lines for part in line if isinstance(part, Control)}
    filters_match = None
    if is_on_event:
        shown.add(f"{where}-filters-match")
        filters_match = _match(maker, "filters-match", "How many filters must hold")
    kept = [(f"{where}-{name}", text) for name, text in condition.fields.items() if text and name in DEFAULTS]
    filters = tuple(
        _condition(part, (*at, position), complaints, joint=_joint(condition.get("filters-match"), position))
        for position, part in enumerate(condition.filters)
    )
    hidden = [pair for pair in kept if pair[0] not in shown and not (is_filter and pair[0].endswith("-does"))]
    if not is_on_event:
        # The filters of an event that the condition was about before.
        hidden += [pair for row in filters for pair in _everything(row)]
        filters = ()
    return Row(
        title=_title(at),
        at=":".join(str(position) for position in at),
        place=where,
        lines=lines,
        joint=joint,
        hidden=tuple(hidden),
        filters=filters,
        filters_match=filters_match,
        is_on_event=is_on_event,
    )


def _title(at: tuple[int, ...]) -> str:
    numbers = [position + 1 for position in at]
    if len(numbers) == 2:
        return f"{numbers[1]} of group {numbers[0]}"
    return f"{numbers[2]} of condition {numbers[1]} of group {numbers[0]}"


def _everything(row: Row) -> Iterator[tuple[str, str]]:
    """Return all that a row would send."""
    yield from row.all_hidden
    yield from ((control.name, control.value) for control in row.controls)
