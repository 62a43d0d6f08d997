"""The inputs of one condition in the order of its sentence: who did what, how often and when; which property, how."""

from __future__ import annotations

from cohortsync.pages.definition_form.controls import Maker, Part, Word
from cohortsync.pages.definition_form.draft import DraftCondition
from cohortsync.pages.definition_form.raw import measures_property
from cohortsync.pages.definition_form.words import (
    COMPARISONS,
    DOES,
    EVENTS,
    LEAVES,
    MEASURES,
    OPERATORS,
    TYPES,
    UNITS,
    WINDOWS,
)

PROPERTY_NAMES_ID = "definition-property-names"
EVENT_NAMES_ID = "definition-event-names"
Lines = tuple[tuple[Part, ...], ...]


def property_lines(condition: DraftCondition, maker: Maker, *, is_filter: bool) -> Lines:
    """Return the inputs of a condition on a property; a filter is about nothing else and does not say so."""
    begin: tuple[Part, ...] = () if is_filter else (maker.select("does", "What they do", DOES, is_refreshing=True),)
    is_inside = condition.get("type") == "object"
    name = maker.text(
        "property",
        "Path in the object" if is_inside else "Property",
        width="is-name",
        hint="address.city" if is_inside else "property",
        names_id="" if is_inside or is_filter else PROPERTY_NAMES_ID,
    )
    kinds: tuple[Part, ...] = (maker.select("type", "Type", TYPES, is_refreshing=True),)
    if is_inside:
        kinds += (maker.select("leaf", "Type of the value", LEAVES, is_refreshing=True),)
    operator = maker.select("operator", "Comparison", OPERATORS[condition.leaf], is_refreshing=True)
    return ((*begin, name, *kinds, operator, *_values(condition, maker)),)


def event_lines(condition: DraftCondition, maker: Maker) -> Lines:
    """Return the inputs of a condition on an event, without those of its filters."""
    what: tuple[Part, ...] = (
        maker.select("does", "What they do", DOES, is_refreshing=True),
        maker.select("events", "Which events", EVENTS, is_refreshing=True),
    )
    if condition.get("events") != "any":
        what += (maker.text("event", "Event", width="is-name", hint="event", names_id=EVENT_NAMES_ID),)
    if condition.get("does") == "did_not":
        return what, _window(condition, maker)
    how_often: tuple[Part, ...] = (maker.select("measure", "What is measured", MEASURES, is_refreshing=True),)
    if measures_property(condition):
        how_often += (maker.text("measured", "Property that is measured", width="is-name", hint="property"),)
    how_often += (maker.select("comparison", "Comparison", COMPARISONS, is_refreshing=True),)
    if condition.get("comparison") == "between":
        how_often += (maker.number("least", "Lower bound"), Word("and"), maker.number("most", "Upper bound"))
    else:
        how_often += (maker.number("number", "Number"),)
    return what, how_often, _window(condition, maker)


def _values(condition: DraftCondition, maker: Maker) -> tuple[Part, ...]:
    match condition.shape:
        case "several":
            help_ = "One per line."
            if condition.leaf == "list":
                help_ = 'One per line. 5 is a number, "5" a text.'
            return (maker.lines("values", "Values", help_=help_),)
        case "one":
            return (_value("value", "Value", condition, maker),)
        case "bounds":
            lower = _value("lower", "Lower bound", condition, maker)
            return lower, Word("and"), _value("upper", "Upper bound", condition, maker)
        case "period":
            return maker.number("amount", "How many"), maker.select("unit", "Unit of time", UNITS)
        case "none":
            return ()


def _value(name: str, label: str, condition: DraftCondition, maker: Maker) -> Part:
    match condition.leaf:
        case "date":
            return maker.date(name, label)
        case "number":
            return maker.number(name, label)
        case "list":
            return maker.text(name, label, width="is-name", help_='5 is a number, "5" a text.')
    return maker.text(name, label, width="is-name")


def _window(condition: DraftCondition, maker: Maker) -> tuple[Part, ...]:
    window = maker.select("window", "When", WINDOWS, is_refreshing=True)
    match condition.get("window"):
        case "last":
            return (
                window,
                maker.number("window-value", "How many"),
                maker.select("window-unit", "Unit of time", UNITS, is_refreshing=True),
                Word("ending"),
                maker.number("window-ending_ago", "Ending how many before now (optional)", hint="0"),
                Word(f"{dict(UNITS).get(condition.get('window-unit'), 'days')} ago"),
            )
        case "fixed":
            return (
                window,
                maker.date("window-from", "First day"),
                Word("to"),
                maker.date("window-to", "Last day, included"),
            )
        case "since":
            return window, maker.date("window-date", "First day")
    return (window,)
