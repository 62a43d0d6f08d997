"""Members page by page: everyone once, with the ids, profile and key they have."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection

from cohorts.definition import parse_definition
from cohorts.models import MatchProperty, Project
from cohorts.resolve import MemberPage, member_page
from tests.cast import MATCH_PROPERTY, make_people, shoppers
from tests.cohorts.people import define, did, store, where
from tests.reference_evaluator import Deed, Human

NOW = dt.datetime(2026, 11, 23, 13, tzinfo=dt.UTC)
PAYING = define(where("plan", "string", "equals", "pro"))


def page(project: Project, definition: Any = PAYING, *, after: int | None = None, limit: int = 100) -> MemberPage:
    return member_page(
        project=project,
        definition=parse_definition(definition),
        as_of=NOW,
        match_property=MatchProperty.objects.get(project=project),
        after=after,
        limit=limit,
    )


def all_pages(project: Project, definition: Any, *, limit: int) -> list[list[str]]:
    pages, after = [], None
    while True:
        found = page(project, definition, after=after, limit=limit)
        pages.append([member.distinct_id for member in found.members])
        if found.next is None:
            return pages
        after = found.next


def test_a_member_comes_with_ids_profile_and_key(shop: Project) -> None:
    make_people(shop, shoppers(["ada"], plan="pro", price=0.1))
    (person_id,) = store(shop, [Human("bob", {"plan": "Pro"})]).values()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO cohorts_distinctid (project_id, distinct_id, person_id) VALUES (%s, 'a-phone', %s)",
            [shop.pk, person_id],
        )

    ada, bob = page(shop).members

    assert (ada.distinct_id, ada.distinct_ids, ada.match_key) == ("ada", ("ada",), "ada")
    assert ada.properties == {"plan": "pro", "price": 0.1, MATCH_PROPERTY: "ada"}
    assert (bob.person_id, bob.distinct_ids, bob.match_key) == (person_id, ("bob", "a-phone"), None)


def test_pages_hold_everyone_once_in_order(shop: Project) -> None:
    store(shop, [Human(f"u{number}", {"plan": "pro" if number % 2 else "free"}) for number in range(10)])

    assert all_pages(shop, PAYING, limit=2) == [["u1", "u3"], ["u5", "u7"], ["u9"]]
    assert all_pages(shop, PAYING, limit=5) == [["u1", "u3", "u5", "u7", "u9"]]
    assert all_pages(shop, define(where("plan", "string", "equals", "none")), limit=5) == [[]]


def test_pages_of_a_behaviour_hold_everyone_once_in_order(shop: Project) -> None:
    names = [f"u{number}" for number in range(7)]
    store(shop, [Human(name) for name in names], [Deed(name, "Visit", NOW) for name in names for _ in range(2)])

    assert all_pages(shop, define(did("Visit", value=2)), limit=3) == [names[:3], names[3:6], names[6:]]


def test_an_erased_key_has_no_value(shop: Project) -> None:
    make_people(shop, shoppers(["ada"], plan="pro"))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE cohorts_matchkey SET value = NULL WHERE project_id = %s", [shop.pk])

    assert [member.match_key for member in page(shop).members] == [None]
