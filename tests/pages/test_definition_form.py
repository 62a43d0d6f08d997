"""The form of a definition as a browser without JavaScript uses it: post, look, post again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.http import QueryDict
from django.template.loader import render_to_string
from hypothesis import given, settings
from hypothesis import strategies as st

from cohorts.definition import parse_definition
from cohorts.definition.properties import OPERATORS
from cohortsync.pages.definition_form import (
    DefinitionForm,
    JsonDefinitionForm,
    can_express,
    is_edit,
    posted_form,
    stored_form,
    words,
)
from cohortsync.pages.definition_form.draft import DEFAULTS
from tests.pages.test_definition_form_round_trip import on, one, sent_by_browser

Json = Any
FIRST = "group-0-condition-0"
VISIT: Json = {"kind": "event", "event": "Visit", "window": {"type": "last", "unit": "day", "value": 7}}


def post(**fields: str) -> QueryDict:
    """Return form data; `first__x` stands for the input x of the first condition."""
    data = QueryDict(mutable=True)
    for name, value in fields.items():
        data[name.replace("first__", f"{FIRST}-")] = value
    return data


def builder(form: DefinitionForm | JsonDefinitionForm) -> DefinitionForm:
    assert isinstance(form, DefinitionForm)
    return form


def pressed(form: DefinitionForm, action: str, **typed: str) -> DefinitionForm:
    """Type, press a button, and return the form that comes back, as the next request sends it."""
    data = sent_by_browser(form)
    for name, value in typed.items():
        assert f"{FIRST}-{name}" in data, f"{name} is not on the page"
        data[f"{FIRST}-{name}"] = value
    return builder(posted_form(sent_by_browser(builder(posted_form(data)).after(action))))


def errors_of(form: DefinitionForm) -> dict[str, tuple[str, ...]]:
    form.is_valid()
    return {name.removeprefix(f"{FIRST}-"): sentences for name, sentences in form.errors.items()}


def conditions_of(form: DefinitionForm) -> list[list[str]]:
    raw: Json = form.raw()
    return [[part.get("event", part.get("property")) for part in group["conditions"]] for group in raw["groups"]]


def three_conditions() -> DefinitionForm:
    names = [["a", "b"], ["c"]]
    groups = [{"conditions": [on(name, "string", "is_set") for name in group]} for group in names]
    return DefinitionForm.from_definition({"groups": groups})


# --- Writing one ----------------------------------------------------------------------------------------------------


def test_a_new_form_asks_for_the_event_and_saves_nothing_yet() -> None:
    form = DefinitionForm.blank()

    assert errors_of(form) == {"event": ("Name the event, or choose any event.",)}
    assert form.focus == f"id_{FIRST}-event"


def test_a_condition_on_an_event_is_written_step_by_step() -> None:
    form = pressed(DefinitionForm.blank(), "refresh", measure="sum", event="Purchase")
    form = pressed(form, "refresh", measured="dollars", comparison="between")
    form = pressed(form, "add-filter:0:0", least="1.5", most="20", window="fixed")
    data = sent_by_browser(form)
    data[f"{FIRST}-window-from"], data[f"{FIRST}-window-to"] = "2026-01-01", "2026-03-31"
    data[f"{FIRST}-filter-0-property"], data[f"{FIRST}-filter-0-values"] = "country", "DE\r\n\r\n  AT  "
    form = builder(posted_form(data))

    assert form.is_valid()
    assert form.raw() == {
        "base": "all_users",
        "match": "all",
        "groups": [
            {
                "match": "all",
                "conditions": [
                    {
                        "kind": "event",
                        "event": "Purchase",
                        "did": True,
                        "measure": {"type": "sum", "property": "dollars"},
                        "operator": "between",
                        "value": [1.5, 20],
                        "window": {"type": "fixed", "from": "2026-01-01", "to": "2026-03-31"},
                        "filters": {
                            "match": "all",
                            "conditions": [on("country", "string", "equals", "DE", "AT")],
                        },
                    }
                ],
            }
        ],
    }


def test_any_event_and_one_that_was_not_done_need_no_number() -> None:
    form = builder(posted_form(post(first__does="did_not", first__events="any", first__window="all_time")))

    assert form.is_valid()
    assert parse_definition(form.raw()) == parse_definition(
        one({"kind": "event", "event": "$any_event", "did": False, "window": {"type": "all_time"}})
    )


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ({"type": "number", "operator": "equals", "values": "12.5\n+3\n.5"}, on("x", "number", "equals", 12.5, 3, 0.5)),
        ({"type": "number", "operator": "less_than", "value": " 1e3 "}, on("x", "number", "less_than", 1000.0)),
        ({"type": "string", "values": '5\na,b\n" a "'}, on("x", "string", "equals", "5", "a,b", " a ")),
        (
            {"type": "list", "operator": "any_in", "values": '5\n"5"\ntrue\n007'},
            on("x", "list", "any_in", 5, "5", True, "007"),
        ),
        (
            {"type": "date", "operator": "in_the_last", "amount": "7", "unit": "week"},
            on("x", "date", "in_the_last", {"unit": "week", "value": 7}),
        ),
        (
            {"type": "object", "leaf": "number", "operator": "between", "lower": "1", "upper": "2"},
            on("x", "object", "between", 1, 2),
        ),
    ],
)
def test_values_are_read_as_the_type_says(typed: dict[str, str], expected: Json) -> None:
    fields = {f"first__{name}": value for name, value in typed.items()}
    form = builder(posted_form(post(first__does="property", first__property="x", **fields)))

    assert form.is_valid(), form.errors
    raw: Json = form.raw()
    assert raw["groups"][0]["conditions"] == [expected]


# --- What is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "errors"),
    [
        (
            {"type": "number", "operator": "equals", "values": "5\n\nfive\n6,5"},
            {"values": ("Line 3: Give a number, such as 5 or 0.5.", "Line 4: Give a number, such as 5 or 0.5.")},
        ),
        (
            # An operator of texts and numbers takes texts, but not where the form says number.
            {"type": "object", "leaf": "number", "operator": "equals", "values": "five"},
            {"values": ("Line 1: Give a number, such as 5 or 0.5.",)},
        ),
        (
            {"type": "object", "leaf": "number", "operator": "between", "lower": "one", "upper": "2"},
            {"lower": ("Give a number, such as 5 or 0.5.",)},
        ),
        (
            {"type": "number", "operator": "greater_than", "value": "0.12345678901234567890"},
            {"value": ("Shorten this number to 15 digits: more are not kept.",)},
        ),
        ({"type": "number", "operator": "greater_than", "value": "1e400"}, {"value": ("Give a finite number.",)}),
        (
            {"type": "number", "operator": "greater_than", "value": "9" * 5000},
            {"value": ("Give a number, such as 5 or 0.5.",)},
        ),
        (
            {"type": "number", "operator": "between", "lower": "2", "upper": "1"},
            {"lower": ("Give the lower bound first.",)},
        ),
        (
            {"type": "date", "operator": "between", "lower": "2026-01-01", "upper": "2026-02-30"},
            {
                "upper": (
                    "2026-02-30 is no day of the calendar. Give a date of the project's calendar, such as 2026-01-31.",
                )
            },
        ),
        ({"type": "date", "operator": "in_the_next", "amount": "0"}, {"amount": ("Give a number of at least 1.",)}),
        (
            {"type": "date", "operator": "in_the_next", "amount": "1.5", "unit": "year"},
            {"amount": ("Give a whole number, such as 30.",)},
        ),
        (
            {"type": "date", "operator": "in_the_next", "amount": "1", "unit": "year"},
            {"unit": ("unit must be one of hour, day, week, month.",)},
        ),
        ({"values": " \n"}, {"values": ("Give at least one value; each has a line of its own.",)}),
        ({"type": "list", "operator": "contains_item", "value": ""}, {"value": ("Give a value.",)}),
        (
            {"operator": "contains", "values": 'a\n""'},
            {"values": ("Remove the empty text: it is a part of every text, so contains says nothing with it.",)},
        ),
        (
            {"values": "a\n" + "b" * 256},
            {"values": ("Line 2: Shorten this to 255 characters: nothing stored is longer.",)},
        ),
        ({"values": "a\0b"}, {"values": ("Line 1: Remove the NUL character: no stored text can hold one.",)}),
        ({"property": "", "values": "a"}, {"property": ("Name the property.",)}),
        (
            {"type": "colour", "values": "a"},
            {"type": ("type must be one of string, number, boolean, date, list, object.",)},
        ),
        ({"does": "dance", "values": "a"}, {"does": ("kind must be one of property, event.",)}),
        (
            {"type": "boolean", "operator": "contains"},
            {"operator": ("operator must be one of is_true, is_false, is_set, is_not_set for the type boolean.",)},
        ),
    ],
)
def test_what_is_wrong_with_a_property_stands_beside_its_input(
    typed: dict[str, str], errors: dict[str, tuple[str, ...]]
) -> None:
    fields = {f"first__{name}": value for name, value in ({"does": "property", "property": "x"} | typed).items()}
    form = builder(posted_form(post(**fields)))

    assert errors_of(form) == errors
    assert form.errors_at_the_top == []
    assert [control.name.removeprefix(f"{FIRST}-") for control in form.wrong_controls] == list(errors)


@pytest.mark.parametrize(
    ("typed", "errors"),
    [
        ({"number": "many"}, {"number": ("Give a number, such as 5 or 0.5.",)}),
        ({"number": "-1"}, {"number": ("Give a number that is not negative: this measure counts.",)}),
        ({"comparison": "between", "least": "2", "most": "1"}, {"least": ("Give the lower bound first.",)}),
        ({"comparison": "between", "least": "2", "most": ""}, {"most": ("Give a number, such as 5 or 0.5.",)}),
        ({"measure": "sum"}, {"measured": ("Name the property of the event.",)}),
        ({"window-value": "0"}, {"window-value": ("Give a number of at least 1.",)}),
        ({"window-value": ""}, {"window-value": ("Give a whole number, such as 30.",)}),
        ({"window-ending_ago": "-1"}, {"window-ending_ago": ("Give a number of at least 0.",)}),
        (
            {"window": "fixed", "window-from": "2026-02-01", "window-to": "2026-01-01"},
            {"window-to": ("Give a day that is not before 2026-02-01, where the window begins.",)},
        ),
        (
            {"window": "since"},
            {"window-date": ("Give a date of the project's calendar, such as 2026-01-31.",)},
        ),
        ({"window": "never"}, {"window": ("type must be one of last, fixed, since, all_time.",)}),
        (
            {"measure": "mode", "measured": "x"},
            {
                "measure": (
                    "type must be one of total, distinct_days, sum, average, minimum, maximum, median, distinct_count.",
                )
            },
        ),
    ],
)
def test_what_is_wrong_with_an_event_stands_beside_its_input(
    typed: dict[str, str], errors: dict[str, tuple[str, ...]]
) -> None:
    fields = {f"first__{name}": value for name, value in ({"event": "Visit"} | typed).items()}
    form = builder(posted_form(post(**fields)))

    assert errors_of(form) == errors
    assert form.errors_at_the_top == []
    assert [control.name.removeprefix(f"{FIRST}-") for control in form.wrong_controls] == list(errors)


def test_what_is_wrong_in_a_filter_stands_in_the_filter() -> None:
    data = sent_by_browser(pressed(DefinitionForm.blank(), "add-filter:0:0", event="Visit"))
    data[f"{FIRST}-filter-0-property"] = "x"
    data[f"{FIRST}-filter-0-type"] = "number"
    data[f"{FIRST}-filter-0-operator"] = "less_than"
    data[f"{FIRST}-filter-0-value"] = "little"

    assert errors_of(builder(posted_form(data))) == {"filter-0-value": ("Give a number, such as 5 or 0.5.",)}


def test_a_wrong_number_is_shown_as_it_was_typed_with_its_sentence_tied_to_it() -> None:
    form = builder(posted_form(post(first__event="Visit", first__number='<"many">')))
    form.is_valid()
    html = render_to_string(form.template_name, {"definition_form": form})

    assert 'value="&lt;&quot;many&quot;&gt;"' in html
    assert f'aria-describedby="id_{FIRST}-number-error" aria-invalid="true" autofocus' in html
    assert f'<div class="field-error" id="id_{FIRST}-number-error">Give a number, such as 5 or 0.5.</div>' in html


def test_nothing_is_called_wrong_before_somebody_saves() -> None:
    form = pressed(DefinitionForm.blank(), "add-group")

    assert form.wrong_controls == []
    assert "aria-invalid" not in render_to_string(form.template_name, {"definition_form": form})


# --- Buttons ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "expected", "focus"),
    [
        ("remove-condition:0:0", [["b"], ["c"]], "id_group-0-condition-0-does"),
        ("remove-condition:0:1", [["a"], ["c"]], "id_group-0-condition-0-does"),
        ("remove-condition:1:0", [["a", "b"], [""]], "id_group-1-condition-0-does"),
        ("duplicate-condition:0:0", [["a", "a", "b"], ["c"]], "id_group-0-condition-1-does"),
        ("add-condition:0", [["a", "b", ""], ["c"]], "id_group-0-condition-2-does"),
        ("add-group", [["a", "b"], ["c"], [""]], "id_group-2-condition-0-does"),
        ("remove-group:0", [["c"]], "id_group-0-condition-0-does"),
        ("duplicate-group:0", [["a", "b"], ["a", "b"], ["c"]], "id_group-1-condition-0-does"),
        *(
            (action, [["a", "b"], ["c"]], "")
            for action in (
                *("refresh", "remove-condition:0:2", "remove-group:9", "add-condition:2", "add-filter:5:5"),
                *("remove-filter:0:0:0", "remove-condition:0", "remove-condition:-1:0", "add-group:0", "as-form"),
                *("", "dance", "add-condition:x", "remove-group:99999999999", "remove-condition:0:0\n"),
            )
        ),
    ],
)
def test_a_button_changes_what_it_says_and_goes_on_there(action: str, expected: list[list[str]], focus: str) -> None:
    form = builder(three_conditions().after(action))

    # Removing the last one leaves an empty one.
    assert conditions_of(form) == expected
    assert form.focus == focus
    assert conditions_of(builder(posted_form(sent_by_browser(form)))) == expected


def test_filters_are_added_and_removed() -> None:
    names = [on("a", "string", "is_set"), on("b", "string", "is_set")]
    event = VISIT | {"filters": {"match": "any", "conditions": names}}
    form = builder(DefinitionForm.from_definition(one(event)).after("remove-filter:0:0:0"))
    assert form.focus == f"add-filter-{FIRST}"
    form = builder(form.after("add-filter:0:0"))
    assert form.focus == f"id_{FIRST}-filter-1-property"
    raw: Json = form.raw()
    assert [part["property"] for part in raw["groups"][0]["conditions"][0]["filters"]["conditions"]] == ["b", ""]

    # Without filters nothing shows how they go together, and it is still known.
    form = pressed(pressed(form, "remove-filter:0:0:0"), "remove-filter:0:0:0")
    raw = form.raw()
    assert "filters" not in raw["groups"][0]["conditions"][0]
    raw = pressed(form, "add-filter:0:0").raw()
    assert raw["groups"][0]["conditions"][0]["filters"]["match"] == "any"


def test_only_the_forms_own_buttons_are_edits() -> None:
    assert is_edit("refresh")
    assert is_edit("remove-filter:0:0:0")
    assert not is_edit("save")
    assert not is_edit("")


def test_a_full_definition_offers_no_more_conditions_and_takes_none() -> None:
    filters = {"conditions": [on("x", "string", "is_set")] * 24}
    form = DefinitionForm.from_definition({"groups": [{"conditions": [VISIT | {"filters": filters}] * 2}]})
    for action in ("add-group", "add-condition:0", "add-filter:0:0", "duplicate-condition:0:0", "duplicate-group:0"):
        assert builder(form.after(action)).draft == form.draft
    html = render_to_string(form.template_name, {"definition_form": form})

    assert "A definition holds at most 50 conditions" in html
    assert "add-" not in html
    assert "duplicate-" not in html


# --- Changing one's mind ----------------------------------------------------------------------------------------------


def test_a_changed_type_shows_its_operators_and_keeps_the_value() -> None:
    form = DefinitionForm.from_definition(one(on("x", "string", "contains", "5")))
    form = pressed(form, "refresh", type="number")
    assert form.draft.groups[0].conditions[0].operator == "equals"
    assert sent_by_browser(form)[f"{FIRST}-values"] == "5"

    form = pressed(form, "refresh", operator="greater_than")
    raw: Json = form.raw()
    assert raw["groups"][0]["conditions"] == [on("x", "number", "greater_than", 5)]

    form = pressed(form, "refresh", operator="between", value="7")
    form = pressed(form, "refresh", upper="9")
    raw = form.raw()
    assert raw["groups"][0]["conditions"] == [on("x", "number", "between", 7, 9)]


def test_nothing_typed_is_lost_on_the_way_to_another_kind_of_condition_and_back() -> None:
    event: Json = VISIT | {
        "measure": {"type": "sum", "property": "dollars"},
        "operator": "between",
        "value": [1, 2],
        "filters": {"match": "any", "conditions": [on("a", "list", "any_in", 1, "1")]},
    }
    form = DefinitionForm.from_definition(one(event))
    before = form.raw()
    form = pressed(form, "refresh", does="property")
    form = pressed(form, "refresh", property="plan", values="pro\r\nteam")
    raw: Json = form.raw()
    assert raw["groups"][0]["conditions"] == [on("plan", "string", "equals", "pro", "team")]

    form = pressed(form, "refresh", does="did")
    assert form.raw() == before
    form = pressed(form, "refresh", window="all_time")
    form = pressed(form, "refresh", window="last", does="did_not")
    form = pressed(form, "refresh", does="did")
    assert form.raw() == before


def test_an_operator_that_the_new_type_does_not_have_gives_way_with_its_inputs() -> None:
    typed = {"does": "property", "property": "x", "type": "number", "operator": "contains", "values": "5"}
    form = builder(posted_form(post(**{f"first__{name}": value for name, value in typed.items()})).after("refresh"))

    shown = {control.name.removeprefix(f"{FIRST}-"): control.value for control in form.layout.controls}
    assert (shown["operator"], shown["values"]) == ("equals", "5")
    assert form.is_valid()


def test_what_an_operator_took_is_there_again_when_it_is_chosen_again() -> None:
    form = DefinitionForm.from_definition(one(on("x", "number", "equals", 1, 2)))
    form = pressed(form, "refresh", operator="less_than")
    form = pressed(form, "refresh", value="5")
    form = pressed(form, "refresh", operator="equals")
    raw: Json = form.raw()
    assert raw["groups"][0]["conditions"] == [on("x", "number", "equals", 1, 2)]

    form = pressed(form, "refresh", operator="less_than")
    form = pressed(form, "refresh", value="")
    assert errors_of(form) == {"value": ("Give a number, such as 5 or 0.5.",)}


def test_empty_lines_are_shown_as_they_were_typed() -> None:
    form = builder(posted_form(post(first__does="property", first__property="x", first__values="\r\n\r\na")))

    assert sent_by_browser(form)[f"{FIRST}-values"] == "\r\n\r\na"


def test_a_date_that_is_none_stays_visible_as_text() -> None:
    typed = {"first__event": "A", "first__window": "since", "first__window-date": "yesterday"}
    form = builder(posted_form(post(**typed)))

    assert sent_by_browser(form)[f"{FIRST}-window-date"] == "yesterday"


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ("", "", "This is no JSON: line 1, column 1: Expecting value."),
        ('{"groups": [\n  {]}', "", "line 2, column 4"),
        ("[]", "", 'Write an object in braces, such as {"groups": [...]}.'),
        ('{"groups": [], "base": NaN}', "", "Write a number instead of NaN."),
        ('{"match": "all", "match": "any"}', "", "Remove one of the keys 'match': an object has each only once."),
        ("[" * 100_000, "", "This is nested too deeply for a definition."),
        ('{"groups": ' + "1" * 5000 + "}", "", "Give a number between -1e30 and 1e30."),
        (
            '{"groups": []}',
            "definition.groups",
            "Add a group with a condition; a cohort without one would be everybody.",
        ),
        ('{"groups": [{"conditions": [{"kind": "flow"}]}]}', "definition.groups[0].conditions[0].kind", "kind must be"),
    ],
)
def test_what_is_wrong_with_the_json_is_said_with_its_place(text: str, field: str, message: str) -> None:
    form = posted_form(post(definition_format="json", definition=text))

    assert isinstance(form, JsonDefinitionForm)
    assert not form.is_valid()
    assert form.errors[0].field == field
    assert message in form.errors[0].message
    assert isinstance(form.after("as-form"), JsonDefinitionForm)
    html = render_to_string(form.template_name, {"definition_form": form})
    assert 'aria-invalid="true"' in html


def test_a_definition_of_a_later_version_is_shown_as_json() -> None:
    raw = one({"kind": "cohort", "operator": "not_in", "cohort_ids": [7]})
    form = stored_form(raw)

    assert isinstance(form, JsonDefinitionForm)
    assert form.raw() == raw
    assert not can_express(raw)


def test_json_waits_until_every_number_is_one() -> None:
    form = builder(DefinitionForm.from_post(post(first__event="A", first__number="many")).after("as-json"))

    assert [control.name for control in form.wrong_controls] == [f"{FIRST}-number"]


def test_a_name_with_a_line_break_stays_in_json() -> None:
    text = json.dumps(one(on("a\nb", "string", "is_set")))
    form = posted_form(post(definition_format="json", definition=text)).after("as-form")

    assert isinstance(form, JsonDefinitionForm)
    assert [error.message for error in form.errors] == [
        "The builder cannot show a name with a line break; go on with this JSON."
    ]


# --- Anything at all --------------------------------------------------------------------------------------------------

POSITIONS = st.sampled_from(["0", "1", "2", "07", "50", "9999", "-1", "99999", "x", ""])
NAMES = st.one_of(
    st.sampled_from(["base", "match", "definition", "group-0-match", "group-0-", "group--1-match"]),
    st.builds("group-{}-match".format, POSITIONS),
    st.builds("group-{}-condition-{}-{}".format, POSITIONS, POSITIONS, st.sampled_from([*DEFAULTS, "x"])),
    st.builds("group-0-condition-0-{}".format, st.sampled_from(list(DEFAULTS))),
    st.builds("group-0-condition-0-filter-{}-{}".format, POSITIONS, st.sampled_from(list(DEFAULTS))),
)
CHOICES = [value for choices in (words.DOES, words.TYPES, words.MEASURES, words.WINDOWS) for value, _ in choices]
CHOICES += ["any", "between", "is_set", "json", *OPERATORS["object"], "1", "-5", "2026-01-01", "NaN", "1e999", "\0", ""]
ACTIONS = st.sampled_from(["refresh", "as-json", "as-form", "add-group", "remove-filter:0:0:0", "add-filter:0:0", "x:"])


@settings(max_examples=300, deadline=None)
@given(
    fields=st.dictionaries(NAMES, st.one_of(st.sampled_from(CHOICES), st.text(max_size=5)), max_size=30),
    format_=st.sampled_from(["builder", "json", "x"]),
    action=ACTIONS,
)
def test_whatever_is_sent_is_answered_with_a_form(fields: dict[str, str], format_: str, action: str) -> None:
    data = QueryDict(mutable=True)
    data.update({**fields, "definition_format": format_})
    form = posted_form(data)
    is_valid = form.is_valid()

    assert form.template_name
    sent_by_browser(form)
    sent_by_browser(form.after(action))
    if is_valid:
        parse_definition(form.raw())
    elif isinstance(form, DefinitionForm):
        assert form.errors_at_the_top or form.wrong_controls
    else:
        assert form.errors


def test_thousands_of_groups_are_cut_to_one_more_than_there_may_be() -> None:
    data = QueryDict(mutable=True)
    for position in range(3000):
        data[f"group-{position}-condition-0-event"] = "A"
    form = builder(posted_form(data))

    assert not form.is_valid()
    assert len(form.draft.groups) == 51
    assert any("at most 50" in sentence for sentence in form.errors_at_the_top)
    assert sum(len(group.conditions) for group in builder(form.after("remove-group:0")).draft.groups) == 50


@pytest.mark.parametrize("place", ["group-0-condition-{}", "group-0-condition-0-filter-{}"])
def test_thousands_of_conditions_are_cut_to_about_as_many_as_there_may_be(place: str) -> None:
    data = post(first__event="A")
    for position in range(3000):
        part = place.format(position)
        data.update({f"{part}-event": "A", f"{part}-property": "A", f"{part}-operator": "is_set"})
    form = builder(posted_form(data))

    assert not form.is_valid()
    assert form.draft.size <= 52
    assert any("at most 50" in sentence for sentence in form.errors_at_the_top)


@pytest.mark.parametrize("kind", words.OPERATORS)
def test_every_operator_of_every_type_has_words(kind: str) -> None:
    assert tuple(operator for operator, _ in words.OPERATORS[kind]) == OPERATORS[kind]
