"""The whole definition: groups of conditions, and the one way in, `parse_definition`."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, ValidationError, field_validator

from cohorts.definition.events import EventCondition, Match
from cohorts.definition.properties import (
    BooleanCondition,
    DateCondition,
    ListCondition,
    NearDateCondition,
    NumberCondition,
    StringCondition,
    property_tag,
)
from cohorts.definition.refusals import InvalidDefinition, field_errors
from cohorts.definition.values import MAX_CONDITIONS, MAX_GROUPS, Part, refusal


def _tag(raw: object) -> str | None:
    """Return which class a raw condition is of; None if it is of no known kind or type."""
    kind = raw.get("kind") if isinstance(raw, dict) else getattr(raw, "kind", None)
    if kind == "event":
        return "event"
    return property_tag(raw) if kind == "property" else None


Condition: TypeAlias = Annotated[
    Annotated[EventCondition, Tag("event")]
    | Annotated[StringCondition, Tag("string")]
    | Annotated[NumberCondition, Tag("number")]
    | Annotated[BooleanCondition, Tag("boolean")]
    | Annotated[DateCondition, Tag("date")]
    | Annotated[NearDateCondition, Tag("near_date")]
    | Annotated[ListCondition, Tag("list")],
    Discriminator(_tag),
]


class Group(Part):
    """Conditions of which all, or any, must hold."""

    match: Match = "all"
    conditions: Annotated[tuple[Condition, ...], Field(max_length=MAX_CONDITIONS)]

    @field_validator("conditions")
    @classmethod
    def _are_some(cls, conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
        if not conditions:
            raise refusal("Add a condition, or remove the group.")
        return conditions


class Definition(Part):
    """Whom a cohort selects: of all persons, or of those with a profile, whoever meets all, or any, of the groups."""

    base: Literal["all_users", "profiles"] = "all_users"
    match: Match = "all"
    groups: Annotated[tuple[Group, ...], Field(max_length=MAX_GROUPS)]

    @field_validator("groups")
    @classmethod
    def _have_some_conditions_and_not_too_many(cls, groups: tuple[Group, ...]) -> tuple[Group, ...]:
        if not groups:
            raise refusal("Add a group with a condition; a cohort without one would be everybody.")
        count = sum(_size(condition) for group in groups for condition in group.conditions)
        if count > MAX_CONDITIONS:
            raise refusal(
                f"Use at most {MAX_CONDITIONS} conditions, those in filters included; there are {count}. "
                "One condition takes up to 1000 values."
            )
        return groups


def _size(condition: Condition) -> int:
    filters = condition.filters if isinstance(condition, EventCondition) else None
    return 1 + (len(filters.conditions) if filters else 0)


def parse_definition(raw: object) -> Definition:
    """Return the definition that decoded JSON stands for. Raises InvalidDefinition, which names every wrong field."""
    try:
        return Definition.model_validate(raw)
    except ValidationError as error:
        raise InvalidDefinition(field_errors(error.errors(include_url=False))) from error
