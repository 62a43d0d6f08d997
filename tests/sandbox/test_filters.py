"""Whom filters select: by tags from the index, by anything else user by user."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from integrations.destinations.onesignal.sandbox.filters import read_filters, select_users
from integrations.destinations.onesignal.sandbox.users import Subscription, Users
from tests.sandbox.cast import tag_filter

NOW = 1_700_000_000.0
HOUR = 3600
KEYS = ("a", "b")
VALUES = ("1", "2", "10", "x")
OR, AND = {"operator": "OR"}, {"operator": "AND"}


def users_with(*tags: dict[str, str], **properties: object) -> Users:
    users = Users(user_id_base="8d3c1f6e-0000-4000-8000-000000000000", subscription_id_base="0" * 32)
    users.add((number, None, NOW, False, each, {}, dict(properties)) for number, each in enumerate(tags))
    return users


def selected(users: Users, *filters: dict[str, str]) -> set[int]:
    return set(select_users(read_filters(list(filters)), users, now=NOW))


def test_and_binds_tighter_than_or_and_is_implied() -> None:
    users = users_with({"a": "1", "b": "1"}, {"a": "1"}, {"b": "1"}, {"c": "1"}, {})
    a, b, c = tag_filter("a"), tag_filter("b"), tag_filter("c")
    assert selected(users, a, b) == {0}
    assert selected(users, a, AND, b) == {0}
    assert selected(users, a, OR, b) == {0, 1, 2}
    assert selected(users, a, b, OR, c) == {0, 3}
    assert selected(users, c, OR, a, AND, b) == {0, 3}
    assert selected(users, a, OR, a, OR, a) == {0, 1}


def test_numbers_in_tags_are_compared_as_numbers() -> None:
    users = users_with({"a": "9"}, {"a": "10"}, {"a": "x"}, {"a": "-1.5"}, {})
    assert selected(users, tag_filter("a", ">", "9")) == {1}
    assert selected(users, tag_filter("a", "<", "10")) == {0, 3}


def test_time_elapsed_is_counted_from_the_tags_unix_time() -> None:
    users = users_with({"seen": str(NOW - 100)}, {"seen": str(NOW - 10)}, {"seen": "never"})
    assert selected(users, tag_filter("seen", "time_elapsed_gt", "50")) == {0}
    assert selected(users, tag_filter("seen", "time_elapsed_lt", "50")) == {1}


def test_other_fields_look_at_properties_and_subscriptions() -> None:
    users = users_with(
        {}, language="en", country="DE", session_count=3, session_time=90, lat=52.52, long=13.40, last_active=NOW - HOUR
    )
    users.add([(1, None, NOW - 100 * HOUR, False, {}, {}, {})])
    users.put_subscription(Subscription("s", 1, "iOSPush", "t", True, NOW, {"app_version": "1.10.0"}))
    for entry, expected in (
        ({"field": "language", "relation": "=", "value": "en"}, {0}),
        ({"field": "language", "relation": "!=", "value": "en"}, {1}),
        ({"field": "country", "relation": "in_array", "value": "FR,DE"}, {0}),
        ({"field": "country", "relation": "not_in_array", "value": "FR,DE"}, {1}),
        ({"field": "session_count", "relation": ">", "value": "2"}, {0}),
        ({"field": "session_time", "relation": "<", "value": "90"}, {1}),
        ({"field": "last_session", "relation": "<", "hours_ago": "1.5"}, {0}),
        ({"field": "first_session", "relation": ">", "hours_ago": "50"}, {1}),
        ({"field": "app_version", "relation": ">", "value": "1.9"}, {1}),
        ({"field": "location", "radius": "30000", "lat": "52.40", "long": "13.06"}, {0}),
        ({"field": "location", "radius": "20000", "lat": "52.40", "long": "13.06"}, set()),
    ):
        assert selected(users, entry) == expected, entry


tag_maps = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(("", *VALUES)), max_size=2)
tag_filters = st.one_of(
    st.builds(tag_filter, st.sampled_from(KEYS), st.sampled_from(("=", "!=", ">", "<")), st.sampled_from(VALUES)),
    st.builds(tag_filter, st.sampled_from(KEYS), st.sampled_from(("exists", "not_exists")), st.none()),
)


def carries(tags: dict[str, str], entry: dict[str, str]) -> bool:
    """Answer a tag filter for one user without an index."""
    value, relation = tags.get(entry["key"]), entry["relation"]
    if relation in ("exists", "not_exists"):
        return (value is not None) is (relation == "exists")
    if relation in ("=", "!="):
        return (value == entry["value"]) is (relation == "=")
    if value is None or value == "x" or entry["value"] == "x":
        return False
    number, bound = float(value), float(entry["value"])
    return number > bound if relation == ">" else number < bound


@given(st.lists(tag_maps, max_size=6), st.lists(st.tuples(st.integers(0, 5), tag_maps), max_size=12), st.data())
def test_the_index_answers_like_a_walk_through_all_users(
    first: list[dict[str, str]], changes: list[tuple[int, dict[str, str]]], data: st.DataObject
) -> None:
    held = [{key: value for key, value in tags.items() if value} for tags in first]
    users = users_with(*[dict(tags) for tags in held])
    gone = set()
    for number, tags in changes:
        if number < len(held):
            if not tags:
                users.delete(number)
                gone.add(number)
            users.set_tags(number, tags)
            held[number] = {key: value for key, value in {**held[number], **tags}.items() if value}
    groups = data.draw(st.lists(st.lists(tag_filters, min_size=1, max_size=3), min_size=1, max_size=3))
    filters = [entry for group in groups for entry in (*group, OR)][:-1]
    expected = {
        number
        for number, tags in enumerate(held)
        if number not in gone and any(all(carries(tags, entry) for entry in group) for group in groups)
    }
    assert selected(users, *filters) == expected
