"""Filter expressions: what each part of the grammar selects, and that no expression can fail on somebody's profile."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cohorts.compile import folding_of
from cohorts.compile.people import PeopleSelection, frozen_statement
from cohorts.expressions import ExpressionError
from cohorts.models import Person, Project
from integrations.mixpanel.query.where import parse_where
from tests.cast import make_people
from tests.query.asking import Asker

PEOPLE: dict[str, dict[str, Any]] = {
    "ann": {"plan": "Pro", "age": 30, "member": True, "$created": "2026-01-31T12:00:00", "tags": ["red", "Blue", 3]},
    "bob": {"plan": "free", "age": 7.5, "member": False, "$created": "2025-06-01", "tags": []},
    "cem": {"plan": "professional", "age": "41", "member": "false", "$created": 1769860800, "tags": "red carpet"},
    "dot": {"plan": None, "age": 0, "member": 1},
    "eve": {"plan": "", "other": "pro", 'it\'s "it"\\': 1},
    "fay": {"plan": ["pro"], "age": {"years": 3}, "member": "x", "$created": "2026-02-30"},
}


@pytest.fixture
def people(shop: Project) -> None:
    make_people(shop, PEOPLE)
    seen_at = dt.datetime(2026, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
    Person.objects.filter(project=shop, distinct_id="ann").update(profile_updated_at=seen_at)


@pytest.mark.parametrize(
    ("where", "selected"),
    [
        # Equality: texts without regard to case; a type that differs is not equal; != is the exact negation.
        ('properties["plan"] == "pro"', "ann"),
        ('user["plan"] == "pro"', "ann"),
        ("properties['plan'] == 'PRO'", "ann"),
        ('"pro" == properties["plan"]', "ann"),
        ('properties["plan"] != "pro"', "bob cem dot eve fay"),
        ('properties["plan"] == ""', "eve"),
        ('properties["age"] == 30', "ann"),
        ('properties["age"] == 30.0', "ann"),
        ('properties["age"] == "30"', ""),
        ('properties["age"] == 41', ""),
        ('properties["member"] == true', "ann"),
        ('properties["member"] == false', "bob"),
        ('properties["plan"] == properties["other"]', ""),
        ('properties["age"] == properties["age"]', "ann bob cem dot fay"),
        ('properties["it\'s \\"it\\"\\\\"] == 1', "eve"),
        # Order: numbers by value, texts by their characters; nothing across types.
        ('properties["age"] > 7.5', "ann"),
        ('properties["age"] >= 7.5', "ann bob"),
        ('properties["age"] < 7.5', "dot"),
        ('properties["age"] <= -1e0', ""),
        ('properties["$created"] > "2026-01-01T00:00:00"', "ann fay"),
        ('properties["age"] < properties["plan"]', "cem"),
        ('properties["plan"] >= "a"', "bob cem"),
        ("1 < 2", "ann bob cem dot eve fay"),
        ('1 < "2"', ""),
        # In: a list, a text, the elements of a property.
        ('properties["plan"] in ["pro", "FREE", 7]', "ann bob"),
        ('properties["age"] in [30, 7.5, "41"]', "ann bob cem"),
        ('properties["member"] in [true]', "ann"),
        ('properties["plan"] in ("pro", "free")', "ann bob"),
        ('properties["plan"] in []', ""),
        ('properties["plan"] not in ["pro", "free"]', "cem dot eve fay"),
        ('"red" in properties["tags"]', "ann cem"),
        ('"blue" in properties["tags"]', "ann"),
        ('3 in properties["tags"]', "ann"),
        ('"FESS" in properties["plan"]', "cem"),
        ('properties["plan"] in "pro or not"', "ann eve"),
        ('properties["other"] in properties["plan"]', ""),
        # And, or, not, and what binds how.
        ('properties["plan"] == "pro" and properties["age"] == 30', "ann"),
        ('properties["plan"] == "pro" or properties["age"] == 0', "ann dot"),
        ('properties["age"] == 0 or properties["plan"] == "pro" and properties["age"] == 0', "dot"),
        ('(properties["age"] == 0 or properties["plan"] == "pro") and properties["age"] == 0', "dot"),
        ('not properties["age"] > 7.5', "bob cem dot eve fay"),
        ('not (properties["plan"] == "pro" or properties["plan"] == "free")', "cem dot eve fay"),
        ('not not properties["plan"] == "pro"', "ann"),
        ("true", "ann bob cem dot eve fay"),
        ("false", ""),
        ('properties["member"]', "ann dot fay"),
        # Defined: null is not set, the empty text is.
        ('defined(properties["plan"])', "ann bob cem eve fay"),
        ('not defined(properties["plan"])', "dot"),
        # Typecasts.
        ('boolean(properties["member"])', "ann dot fay"),
        ('boolean(properties["age"]) == false', "dot eve"),
        ('number(properties["age"]) == 41', "cem"),
        ('number(properties["member"]) == 1', "ann dot"),
        ('not defined(number(properties["plan"]))', "ann bob cem dot eve fay"),
        ('string(properties["age"]) == "30"', "ann"),
        ('string(properties["member"]) == "false"', "bob cem"),
        ('datetime(properties["$created"]) > datetime("2026-01-01")', "ann cem"),
        ('datetime(properties["$created"]) == datetime(1769860800)', "ann cem"),
        ('datetime(properties["$created"]) < "2026-01-01T00:00:00"', "bob"),
        ('properties["$created"] > datetime("2025-01-01T00:00:00Z")', "ann bob"),
        ('datetime(properties["$created"]) == 1769860800000', "ann cem"),
        ('number(datetime(properties["$created"])) == 1769860800', "ann cem"),
        # What is no stored property.
        ('properties["$last_seen"] == "2026-05-06T07:08:09"', "ann"),
        ('user["$distinct_id"] in ["bob", "dot"]', "bob dot"),
    ],
)
@pytest.mark.usefixtures("people")
def test_an_expression_selects(reader: Asker, where: str, selected: str) -> None:
    assert " ".join(sorted(reader.found(where=where))) == selected


@pytest.mark.parametrize(
    "where",
    [
        "",
        " ",
        "properties",
        'properties["a"',
        'properties["a"] = 1',
        'properties["a"] == ',
        'a == "b"',
        'properties["a"] == "x" and',
        "1 + 2",
        "not " * 100 + "true",
        "(" * 2000 + "true" + ")" * 1999,
        'properties["a"] == 1e999999999',
        'properties["a"] in ' + str(list(range(1001))),
        " or ".join(["true"] * 1001),
        'properties["a"] == "\0"',
        "'; DROP TABLE cohorts_person; --",
        "x" * 40_000,
    ],
)
def test_what_is_no_expression_is_refused_with_a_sentence(where: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse_where(where)
    assert str(refused.value).endswith((".", '"list".'))
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ('properties["a"] in 5', 'At the right of "in"'),
        ('datetime("soon") == properties["a"]', "datetime() takes"),
        ('string(number(string(properties["a"]))) == "1"', "at most 2 deep"),
    ],
)
def test_what_means_nothing_is_refused_with_a_sentence(reader: Asker, where: str, words: str) -> None:
    assert words in reader.refusal(where=where)


@pytest.mark.usefixtures("people")
def test_input_reaches_the_database_as_parameters_only(shop: Project) -> None:
    text = "x' OR true; -- %s {} %%"
    statement = frozen_statement(
        PeopleSelection(shop.pk, where=parse_where(f'properties["{text}"] in ["{text}", 1]')),
        folding=folding_of(connection),
    )
    assert text not in statement.text
    assert text in statement.parameters
    assert [Decimal(1)] in statement.parameters


_names = st.sampled_from(
    ['properties["plan"]', 'user["age"]', 'user["tags"]', 'user["$created"]', 'user["$last_seen"]']
)
_literals = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["1.5", "1e200", "-3e-200", '"red"', '"41"', '"%_{}"', "true", "false", '"2026-01-01"', '""']),
)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "and", "or", "in"]), inner).map(
            lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"
        ),
        st.tuples(st.sampled_from(["defined", "boolean", "number", "string", "datetime", "not "]), inner).map(
            lambda parts: f"{parts[0]}({parts[1]})"
        ),
        st.tuples(inner, st.lists(_literals, max_size=3)).map(lambda parts: f"({parts[0]}) in [{', '.join(parts[1])}]"),
    )


@given(where=st.recursive(st.one_of(_names, _literals), _grown, max_leaves=12))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("people")
def test_no_expression_fails_on_anybodys_profile(reader: Asker, where: str) -> None:
    """Every expression is answered or refused with a sentence, and so is its negation, of all the others."""
    response = reader.ask(where=where, include_all_users="true")
    assert response.status_code in (200, 400), (where, response.content)
    if response.status_code == 200:
        negated = reader.answer(where=f"not ({where})", include_all_users="true")
        assert response.json()["total"] + negated["total"] == len(PEOPLE)
