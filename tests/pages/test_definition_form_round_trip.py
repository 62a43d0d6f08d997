"""Any definition survives the form: shown as HTML, sent as a browser sends it, and read again, it means the same.

The browser here is a parser of the HTML: what it would send is decided by the page alone, not by the code under test.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import pytest
from django.http import QueryDict
from django.template.loader import render_to_string
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cohorts.definition import InvalidDefinition, parse_definition
from cohortsync.pages.definition_form import DefinitionForm, JsonDefinitionForm, can_express, means_the_same
from cohortsync.pages.definition_form.forms import Form, posted_form, stored_form
from tests.cohorts.test_against_reference import definitions

Json = Any

NOW = dt.datetime(2026, 3, 30, 8, 30, tzinfo=dt.UTC)
TRICKY = ["", " ", " pro ", "a\nb", "a\r\nb", "\n", '"', '"pro"', '"a" or "b"', "true", "5", "-0.0", "1e5", "007", "+5"]
TRICKY += ["\\", "<b>&amp;", "\u2028", "\x85", "\x1f", "{{ x }}", "a,b", "null"]
TEXTS = st.one_of(st.sampled_from(TRICKY), st.text(max_size=6))
NUMBERS = st.one_of(
    st.integers(-(10**30), 10**30),
    st.floats(min_value=-9e29, max_value=9e29),
)
THOROUGH = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class _Controls(HTMLParser):
    """Collects what a browser's form data would hold, without the buttons."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sent: list[tuple[str, str]] = []
        self.select: str | None = None
        self.options: list[tuple[str, bool]] = []
        self.area: str | None = None
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        match tag:
            case "input":
                value = attributes.get("value", "")
                if attributes["type"] != "hidden":
                    value = re.sub(r"[\r\n]", "", value)
                if attributes["type"] == "date" and not re.fullmatch(r"\d{4,}-\d\d-\d\d", value):
                    value = ""
                self.sent.append((attributes["name"], value))
            case "select":
                self.select, self.options = attributes["name"], []
            case "option" if self.select is not None:
                self.options.append((attributes["value"], "selected" in attributes))
            case "textarea":
                self.area, self.text = attributes["name"], ""

    def handle_data(self, data: str) -> None:
        if self.area is not None:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "select" and self.select is not None:
            chosen = [value for value, is_chosen in self.options if is_chosen]
            self.sent.append((self.select, (chosen or [self.options[0][0]])[-1]))
            self.select = None
        if tag == "textarea" and self.area is not None:
            text = re.sub(r"\r\n?", "\n", self.text).removeprefix("\n")
            self.sent.append((self.area, text.replace("\n", "\r\n")))
            self.area = None


def sent_by_browser(form: Form) -> QueryDict:
    """Return what a browser sends of the page with this form."""
    html = render_to_string(form.template_name, {"definition_form": form})
    # A browser reads the page's line breaks as one character, those in attributes included.
    parser = _Controls()
    parser.feed(re.sub(r"\r\n?", "\n", html))
    data = QueryDict(mutable=True)
    names = [name for name, _ in parser.sent]
    assert len(names) == len(set(names)), "no name is sent twice"
    for name, value in parser.sent:
        data[name] = value
    return data


def through_the_form(raw: Mapping[str, object]) -> Mapping[str, object]:
    """Return the definition that comes back from the builder."""
    form = posted_form(sent_by_browser(DefinitionForm.from_definition(raw)))
    assert form.is_valid(), form.errors
    return form.raw()


def one(condition: Json) -> Json:
    return {"groups": [{"conditions": [condition]}]}


def on(name: str, kind: str, operator: str, *values: Json) -> Json:
    return {"kind": "property", "property": name, "type": kind, "operator": operator, "values": list(values)}


def is_valid(raw: Json) -> bool:
    try:
        parse_definition(raw)
    except InvalidDefinition:
        return False
    return True


@THOROUGH
@given(raw=definitions("Europe/Berlin", NOW))
def test_a_definition_comes_back_from_the_form_with_the_same_meaning(raw: Json) -> None:
    assert can_express(raw)
    assert means_the_same(through_the_form(raw), raw)


@THOROUGH
@given(texts=st.lists(TEXTS, min_size=1, max_size=4), kind=st.sampled_from(["string", "object"]))
def test_any_texts_come_back_from_the_form(texts: list[str], kind: str) -> None:
    raw = one(on("x", kind, "equals", *texts))
    if is_valid(raw):
        values: Json = through_the_form(raw)
        assert values["groups"][0]["conditions"][0]["values"] == texts


@THOROUGH
@given(values=st.lists(st.one_of(TEXTS, NUMBERS, st.booleans()), min_size=1, max_size=4), is_one=st.booleans())
def test_any_items_of_a_list_come_back_from_the_form_as_what_they_were(values: list[Json], is_one: bool) -> None:
    raw = one(on("x", "list", "contains_item", values[0]) if is_one else on("x", "list", "any_in", *values))
    if is_valid(raw):
        again = raw_values(through_the_form(raw))
        # In Python, 1 and True are equal.
        assert [(kind_of(value), value) for value in again] == [(kind_of(value), value) for value in raw_values(raw)]


@THOROUGH
@given(number=NUMBERS, other=NUMBERS)
def test_any_numbers_come_back_from_the_form(number: Json, other: Json) -> None:
    lower, upper = sorted([number, other])
    for raw in (one(on("x", "number", "equals", number, other)), one(on("x", "number", "between", lower, upper))):
        again: Json = through_the_form(raw)
        assert raw_values(again) == raw_values(raw)


@THOROUGH
@given(name=TEXTS, event=TEXTS, measured=TEXTS)
def test_any_names_come_back_or_the_form_says_that_it_cannot_show_them(name: str, event: str, measured: str) -> None:
    raw = one(
        {
            "kind": "event",
            "event": event,
            "measure": {"type": "sum", "property": measured},
            "window": {"type": "all_time"},
            "filters": {"match": "any", "conditions": [on(name, "string", "is_set")]},
        }
    )
    if not is_valid(raw):
        return
    has_break = any(character in name + event + measured for character in "\r\n")
    assert can_express(raw) != has_break
    assert isinstance(stored_form(raw), JsonDefinitionForm if has_break else DefinitionForm)
    if not has_break:
        assert means_the_same(through_the_form(raw), raw)


@THOROUGH
@given(raw=definitions("Europe/Berlin", NOW))
def test_a_definition_comes_back_from_the_json_form_with_the_same_meaning(raw: Json) -> None:
    form = DefinitionForm.from_definition(raw).after("as-json")
    sent = posted_form(sent_by_browser(form))

    assert isinstance(sent, JsonDefinitionForm)
    assert sent.is_valid()
    assert means_the_same(sent.raw(), raw)
    again = sent.after("as-form")
    assert isinstance(again, DefinitionForm)
    assert means_the_same(again.raw(), raw)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (on("x", "list", "any_in", 1), on("x", "list", "any_in", True)),
        (on("x", "list", "any_in", 1), on("x", "list", "any_in", "1")),
        (on("x", "list", "any_in", "a"), on("x", "list", "any_in", "a", "a")),
        (on("x", "object", "is_set"), on("x", "string", "is_set")),
    ],
)
def test_definitions_that_select_by_different_values_do_not_mean_the_same(first: Json, second: Json) -> None:
    assert not means_the_same(one(first), one(second))


def test_definitions_that_differ_in_writing_mean_the_same() -> None:
    event = {"kind": "event", "event": "A", "window": {"type": "all_time"}}
    written_out = event | {"did": True, "measure": {"type": "total"}, "operator": "at_least", "value": 1.0}
    written_out["filters"] = {"match": "any", "conditions": []}

    assert means_the_same(one(event), {"base": "all_users", "match": "all", **one(written_out)})


def kind_of(value: Json) -> str:
    return "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def raw_values(raw: Json) -> list[Json]:
    values: list[Json] = raw["groups"][0]["conditions"][0]["values"]
    return values
