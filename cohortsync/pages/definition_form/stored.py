"""A definition -> the draft that shows it; and whether two definitions mean the same."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from pydantic import BaseModel

from cohorts.definition import (
    ANY_EVENT,
    BooleanCondition,
    Condition,
    DateCondition,
    Definition,
    EventCondition,
    Filters,
    Fixed,
    InvalidDefinition,
    Last,
    ListCondition,
    NearDateCondition,
    NumberCondition,
    PropertyMeasure,
    Since,
    StringCondition,
    parse_definition,
)
from cohortsync.pages.definition_form.draft import Draft, DraftCondition, DraftGroup
from cohortsync.pages.definition_form.values import write_scalar, write_text

_LEAVES = {
    StringCondition: "string",
    NumberCondition: "number",
    BooleanCondition: "boolean",
    DateCondition: "date",
    NearDateCondition: "date",
    ListCondition: "list",
}


def draft_from_definition(definition: Definition) -> Draft:
    """Return the draft with only those inputs that the definition's conditions show."""
    return Draft(
        definition.base,
        definition.match,
        tuple(
            DraftGroup(group.match, tuple(_condition(condition) for condition in group.conditions))
            for group in definition.groups
        ),
    )


def means_the_same(first: Mapping[str, object], second: Mapping[str, object]) -> bool:
    """Tell whether two definitions differ in writing at most: in defaults left out, 2 and 2.0, or filters without any.

    Nothing but equal writing makes definitions equal that this version cannot read.
    """
    try:
        return _comparable(parse_definition(first)) == _comparable(parse_definition(second))
    except InvalidDefinition:
        return first == second


def _condition(condition: Condition) -> DraftCondition:
    return _event(condition) if isinstance(condition, EventCondition) else _property(condition)


def _event(condition: EventCondition) -> DraftCondition:
    fields = {
        "does": "did" if condition.did else "did_not",
        "events": "any" if condition.event == ANY_EVENT else "named",
        "event": "" if condition.event == ANY_EVENT else condition.event,
        "window": condition.window.type,
    }
    match condition.window:
        case Last(value=value, unit=unit, ending_ago=ending_ago):
            fields |= {"window-value": str(value), "window-unit": unit}
            fields["window-ending_ago"] = "" if ending_ago is None else str(ending_ago)
        case Fixed(first=first, last=last):
            fields |= {"window-from": str(first), "window-to": str(last)}
        case Since(date=date):
            fields["window-date"] = str(date)
    if condition.did:
        fields |= {"measure": condition.measure.type, "comparison": condition.operator}
        if isinstance(condition.measure, PropertyMeasure):
            fields["measured"] = condition.measure.property
        if isinstance(condition.value, tuple):
            fields |= {"least": str(condition.value[0]), "most": str(condition.value[1])}
        else:
            fields["number"] = str(condition.value)
    filters = condition.filters or Filters(conditions=())
    fields["filters-match"] = filters.match
    return DraftCondition(fields, tuple(_property(part) for part in filters.conditions))


def _property(
    condition: StringCondition | NumberCondition | BooleanCondition | DateCondition | NearDateCondition | ListCondition,
) -> DraftCondition:
    fields = {
        "does": "property",
        "property": condition.property,
        "type": condition.type,
        "operator": condition.operator,
    }
    if condition.type == "object":
        fields["leaf"] = _LEAVES[type(condition)]
    draft = DraftCondition(fields)
    if isinstance(condition, NearDateCondition):
        return draft.having(amount=str(condition.values[0].value), unit=condition.values[0].unit)
    # Of a list, the text "5" is told from the number 5; the type says it of everything else.
    is_mixed = isinstance(condition, ListCondition)
    texts = [
        write_scalar(value) if is_mixed and isinstance(value, str | Decimal | bool) else write_text(str(value))
        for value in condition.values
    ]
    match draft.shape:
        case "bounds":
            return draft.having(lower=texts[0], upper=texts[1])
        case "one":
            return draft.having(value=texts[0])
        case "several":
            return draft.having(values="\n".join(texts))
    return draft


def _comparable(part: object) -> object:
    """Return the part as plain values in which 1, true and "1" differ, and 1 and 1.0 do not."""
    if isinstance(part, EventCondition) and part.filters and not part.filters.conditions:
        part = part.model_copy(update={"filters": None})
    if isinstance(part, BaseModel):
        return type(part), [_comparable(value) for _, value in part]
    if isinstance(part, tuple):
        return [_comparable(value) for value in part]
    return type(part), part
