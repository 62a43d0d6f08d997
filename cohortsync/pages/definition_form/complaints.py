"""What is wrong with a draft, each sentence with the input that it is about."""

from __future__ import annotations

import re

from cohorts.definition import FieldError, InvalidDefinition, parse_definition
from cohortsync.pages.definition_form.draft import Draft, DraftCondition, input_name, place
from cohortsync.pages.definition_form.raw import Complaint, raw_of
from cohortsync.pages.definition_form.values import lines_of

_PATH = re.compile(
    r"definition(?:\.groups\[(?P<group>\d+)\])?(?:\.conditions\[(?P<condition>\d+)\])?"
    r"(?:\.filters\.conditions\[(?P<filter>\d+)\])?\.?(?P<rest>.*)",
    re.DOTALL,
)
_ITEM = re.compile(r"values?\[(?P<position>\d+)\](?:\.(?P<key>\w+))?")
_VALUE_INPUTS = {"values", "value", "lower", "upper", "amount", "unit", "number", "least", "most"}
_OF_AN_EVENT = {
    "kind": "does",
    "did": "does",
    "measure.type": "measure",
    "measure": "measure",
    "measure.property": "measured",
    "operator": "comparison",
    "window.type": "window",
    "filters.match": "filters-match",
}
_OF_A_PROPERTY = {"kind": "does"}


def complaints_about(draft: Draft) -> list[Complaint]:
    """Return everything that keeps the draft from being a definition; none if it is one."""
    raw, complaints = raw_of(draft)
    try:
        parse_definition(raw)
    except InvalidDefinition as error:
        found = [_placed(draft, field_error) for field_error in error.errors]
    else:
        found = []
    # Where a number could not be read, whatever else is said about the values is a consequence.
    unreadable = {_subject(complaint.name) for complaint in complaints}
    return [*complaints, *(complaint for complaint in found if _subject(complaint.name) not in unreadable)]


def _subject(name: str) -> str:
    """Return the same for all inputs of a condition's values."""
    before, _, last = name.rpartition("-")
    return f"{before}-values" if last in _VALUE_INPUTS and not before.endswith("window") else name


def _placed(draft: Draft, error: FieldError) -> Complaint:
    found = _PATH.fullmatch(error.field)
    rest = found["rest"] if found else ""
    if not found or found["group"] is None:
        return Complaint(rest if rest in ("base", "match") else "", error.message)
    group = int(found["group"])
    if found["condition"] is None:
        return Complaint(f"{place(group)}-{rest or 'conditions'}", error.message)
    at = (group, int(found["condition"]))
    condition = draft.groups[group].conditions[at[1]]
    if found["filter"] is None:
        return _in_condition(condition, at, rest, error.message)
    position = int(found["filter"])
    return _in_condition(condition.filters[position], (*at, position), rest, error.message)


def _in_condition(condition: DraftCondition, at: tuple[int, ...], rest: str, sentence: str) -> Complaint:
    item = _ITEM.fullmatch(rest)
    if condition.is_on_event:
        name = _OF_AN_EVENT.get(rest) or rest.replace(".", "-")
        if item or rest == "value":
            name = "least" if condition.get("comparison") == "between" else "number"
    elif item or rest == "values":
        position = int(item["position"]) if item else 0
        match condition.shape:
            case "several":
                name = "values"
                if item:
                    sentence = f"Line {lines_of(condition.get('values'))[position][0]}: {sentence}"
            case "bounds":
                name = "upper" if position == 1 else "lower"
            case "period":
                name = "unit" if item and item["key"] == "unit" else "amount"
            case _:
                name = "value"
    else:
        name = _OF_A_PROPERTY.get(rest, rest)
    return Complaint(input_name(name, *at), sentence)
