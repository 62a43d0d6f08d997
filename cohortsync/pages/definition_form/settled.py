"""What follows when a type or an operator was changed: the draft is made consistent, and what was typed moves along."""

from __future__ import annotations

from dataclasses import replace

from cohorts.definition.properties import OPERATORS
from cohortsync.pages.definition_form.draft import Draft, DraftCondition
from cohortsync.pages.definition_form.values import lines_of

# Inputs of which an operator shows one.
_SIBLINGS = (("value", "values", "lower"), ("number", "least"))


def settled(draft: Draft) -> Draft:
    """Return the draft in which every operator is one of its type."""
    groups = (
        replace(group, conditions=tuple(_settled(condition) for condition in group.conditions))
        for group in draft.groups
    )
    return replace(draft, groups=tuple(groups))


def moved_along(condition: DraftCondition) -> DraftCondition:
    """Return the condition with a lone value in the input that its operator shows now and did not show before."""
    shown = {"several": "values", "one": "value", "bounds": "lower"}.get(condition.shape, "")
    if condition.is_on_event:
        shown = "least" if condition.get("comparison") == "between" else "number"
    for siblings in _SIBLINGS:
        if shown not in siblings or shown in condition.fields:
            continue
        for other in siblings:
            text = condition.fields.get(other, "")
            if len(lines_of(text)) == 1:
                others = {name: value for name, value in condition.fields.items() if name != other}
                return replace(condition, fields={**others, shown: text.strip()})
    return condition


def _settled(condition: DraftCondition) -> DraftCondition:
    if condition.operator not in OPERATORS[condition.leaf]:
        condition = condition.having(operator=OPERATORS[condition.leaf][0])
    filters = tuple(_settled(part) for part in condition.filters)
    return replace(moved_along(condition), filters=filters)
