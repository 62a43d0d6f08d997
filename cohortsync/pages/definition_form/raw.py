"""A draft -> the definition as the API takes it, and what in the draft cannot even be read as a number.

Whether the definition is right is for `cohorts.definition.parse_definition` to say; its sentences are placed by
`complaints.py`. Said here is only what the API never meets: inputs left empty, and texts where a number belongs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from cohorts.definition import ANY_EVENT
from cohortsync.pages.definition_form.draft import Draft, DraftCondition, input_name
from cohortsync.pages.definition_form.values import (
    Unreadable,
    lines_of,
    read_number,
    read_scalar,
    read_text,
    read_whole,
)

Raw: TypeAlias = dict[str, object]
Read: TypeAlias = Callable[[str], object]


@dataclass(frozen=True)
class Complaint:
    """A sentence and the name of the input, or of the place, that it is about; "" for the whole form."""

    name: str
    sentence: str


def raw_of(draft: Draft) -> tuple[Raw, list[Complaint]]:
    """Return the definition and the complaints; a text that is no number stands in the definition as it is."""
    complaints: list[Complaint] = []
    groups = [
        {
            "match": group.match,
            "conditions": [
                _Condition(condition, (position, place), complaints).raw()
                for place, condition in enumerate(group.conditions)
            ],
        }
        for position, group in enumerate(draft.groups)
    ]
    return {"base": draft.base, "match": draft.match, "groups": groups}, complaints


class _Condition:
    def __init__(self, draft: DraftCondition, at: tuple[int, ...], complaints: list[Complaint]) -> None:
        self.draft = draft
        self.at = at
        self.complaints = complaints

    def raw(self) -> Raw:
        return self._event() if self.draft.is_on_event else self._property()

    # --- On a property --------------------------------------------------------------------------------------------

    def _property(self) -> Raw:
        raw: Raw = {
            # Anything but "property" is no choice of the form; the sentence about it is the definition's.
            "kind": self.draft.get("does"),
            "property": self._name("property", "Name the property."),
            "type": self.draft.get("type"),
            "operator": self.draft.operator,
        }
        match self.draft.shape:
            case "several":
                raw["values"] = self._several()
            case "one":
                raw["values"] = [self._one("value")]
            case "bounds":
                raw["values"] = [self._one("lower"), self._one("upper")]
            case "period":
                raw["values"] = [{"unit": self.draft.get("unit"), "value": self._read("amount", read_whole)}]
        return raw

    def _several(self) -> list[object]:
        lines = lines_of(self.draft.get("values"))
        if not lines:
            self._complain("values", "Give at least one value; each has a line of its own.")
        values: list[object] = []
        for number, line in lines:
            try:
                values.append(self._reader()(line))
            except Unreadable as error:
                self._complain("values", f"Line {number}: {error}")
                values.append(line)
        return values

    def _one(self, name: str) -> object:
        if self.draft.leaf == "list" and not self.draft.get(name).strip():
            self._complain(name, "Give a value.")
        return self._read(name, self._reader())

    def _reader(self) -> Read:
        return {"number": read_number, "list": read_scalar}.get(self.draft.leaf, read_text)

    # --- On an event ----------------------------------------------------------------------------------------------

    def _event(self) -> Raw:
        is_any = self.draft.get("events") == "any"
        raw: Raw = {
            "kind": "event",
            "event": ANY_EVENT if is_any else self._name("event", "Name the event, or choose any event."),
            "did": self.draft.get("does") == "did",
            "window": self._window(),
        }
        if raw["did"]:
            raw["measure"] = self._measure()
            raw["operator"] = self.draft.get("comparison")
            is_between = raw["operator"] == "between"
            names = ("least", "most") if is_between else ("number",)
            numbers = [self._read(name, read_number) for name in names]
            raw["value"] = numbers if is_between else numbers[0]
        if self.draft.filters:
            raw["filters"] = {
                "match": self.draft.get("filters-match"),
                "conditions": [
                    _Condition(part, (*self.at, position), self.complaints).raw()
                    for position, part in enumerate(self.draft.filters)
                ],
            }
        return raw

    def _measure(self) -> Raw:
        measure: Raw = {"type": self.draft.get("measure")}
        if measures_property(self.draft):
            measure["property"] = self._name("measured", "Name the property of the event.")
        return measure

    def _window(self) -> Raw:
        window: Raw = {"type": self.draft.get("window")}
        match window["type"]:
            case "last":
                window["unit"] = self.draft.get("window-unit")
                window["value"] = self._read("window-value", read_whole)
                if self.draft.get("window-ending_ago").strip():
                    window["ending_ago"] = self._read("window-ending_ago", read_whole)
            case "fixed":
                window |= {"from": self._date("window-from"), "to": self._date("window-to")}
            case "since":
                window["date"] = self._date("window-date")
        return window

    # --- Inputs ---------------------------------------------------------------------------------------------------

    def _name(self, name: str, sentence: str) -> str:
        """Return the name of an event or a property as it was typed: outer spaces may be a part of it."""
        text = self.draft.get(name)
        if not text:
            self._complain(name, sentence)
        return text

    def _date(self, name: str) -> str:
        return self.draft.get(name).strip()

    def _read(self, name: str, read: Read) -> object:
        text = self.draft.get(name)
        try:
            return read(text)
        except Unreadable as error:
            self._complain(name, str(error))
            return text

    def _complain(self, name: str, sentence: str) -> None:
        self.complaints.append(Complaint(input_name(name, *self.at), sentence))


def measures_property(condition: DraftCondition) -> bool:
    """Tell whether the measure is one of a property of the event."""
    return condition.get("measure") not in ("total", "distinct_days")
