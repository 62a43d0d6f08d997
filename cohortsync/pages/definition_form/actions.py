"""What the buttons of the builder do: `add-condition:0` and so on, each a new draft and the place to go on from.

Positions are those on the page. What is unknown, out of range or beyond the limits changes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TypeVar

from cohortsync.pages.definition_form.draft import Draft, DraftCondition, DraftGroup, input_name, place

_ACTION = re.compile(r"([a-z-]+)((?::[0-9]{1,4})*)")
# With how many positions each comes.
_VERBS = {
    "refresh": 0,
    "as-json": 0,
    "as-form": 0,
    "add-group": 0,
    "remove-group": 1,
    "duplicate-group": 1,
    "add-condition": 1,
    "remove-condition": 2,
    "duplicate-condition": 2,
    "add-filter": 2,
    "remove-filter": 3,
}
T = TypeVar("T")


@dataclass(frozen=True)
class Edit:
    """A changed draft, and the id of the control that has the focus next ("": where it is)."""

    draft: Draft
    focus: str = ""


def is_edit(action: str) -> bool:
    """Tell whether the action only changes what the form shows; everything else is the page's own."""
    return action.partition(":")[0] in _VERBS


def apply(draft: Draft, action: str) -> Edit:
    """Return what the button makes of the draft."""
    found = _ACTION.fullmatch(action)
    verb = found[1] if found else ""
    at = [int(position) for position in found[2].split(":")[1:]] if found else []
    if _VERBS.get(verb) != len(at):
        return Edit(draft)
    try:
        return _apply(draft, verb, at)
    except IndexError:
        return Edit(draft)


def _apply(draft: Draft, verb: str, at: list[int]) -> Edit:
    """Raises IndexError when a position is none."""
    if verb == "add-group":
        return _with_group(draft, len(draft.groups), DraftGroup())
    if not at:
        return Edit(draft)
    group = draft.groups[at[0]]
    match verb:
        case "remove-group":
            groups = _without(draft.groups, at[0]) or (DraftGroup(),)
            return Edit(replace(draft, groups=groups), _first_of(min(at[0], len(groups) - 1)))
        case "duplicate-group":
            return _with_group(draft, at[0] + 1, group)
        case "add-condition":
            # The next one is likely about the same kind of thing.
            blank = DraftCondition({"does": group.conditions[-1].get("does")})
            return _with_condition(draft, group, [at[0], len(group.conditions)], blank)
    condition = group.conditions[at[1]]
    match verb:
        case "remove-condition":
            conditions = _without(group.conditions, at[1]) or (DraftCondition(),)
            changed = _put(draft, at[0], replace(group, conditions=conditions))
            return Edit(changed, _first_of(at[0], min(at[1], len(conditions) - 1)))
        case "duplicate-condition":
            return _with_condition(draft, group, [at[0], at[1] + 1], condition)
    if verb == "add-filter":
        filters = (*condition.filters, DraftCondition({"does": "property"}))
        focus = f"id_{input_name('property', at[0], at[1], len(filters) - 1)}"
    else:
        filters = _without(condition.filters, at[2])
        focus = f"add-filter-{place(at[0], at[1])}"
    conditions = _replaced(group.conditions, at[1], replace(condition, filters=filters))
    changed = _put(draft, at[0], replace(group, conditions=conditions))
    return _within_limits(draft, changed, focus)


def _with_group(draft: Draft, position: int, group: DraftGroup) -> Edit:
    changed = replace(draft, groups=(*draft.groups[:position], group, *draft.groups[position:]))
    return _within_limits(draft, changed, _first_of(position))


def _with_condition(draft: Draft, group: DraftGroup, at: list[int], condition: DraftCondition) -> Edit:
    conditions = (*group.conditions[: at[1]], condition, *group.conditions[at[1] :])
    changed = _put(draft, at[0], replace(group, conditions=conditions))
    return _within_limits(draft, changed, _first_of(*at))


def _within_limits(draft: Draft, changed: Draft, focus: str) -> Edit:
    is_smaller = changed.size < draft.size
    return Edit(changed, focus) if is_smaller or changed.is_within_limits else Edit(draft)


def _put(draft: Draft, position: int, group: DraftGroup) -> Draft:
    return replace(draft, groups=_replaced(draft.groups, position, group))


def _replaced(items: tuple[T, ...], position: int, item: T) -> tuple[T, ...]:
    return (*items[:position], item, *items[position + 1 :])


def _without(items: tuple[T, ...], position: int) -> tuple[T, ...]:
    left = list(items)
    del left[position]
    return tuple(left)


def _first_of(group: int, condition: int = 0) -> str:
    return f"id_{input_name('does', group, condition)}"
