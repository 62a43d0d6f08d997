"""Counting, listing and unlisting on profiles: what each operation of `/engage` does to which values."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from django.test import Client

from cohorts.ingest import fold
from cohorts.models import Person, Project
from tests.ingest.wire import ids_of, keys, people, profile, refused, send, update

CLASH = "The operation does not fit the value that the property has"


def test_numbers_are_added_and_a_missing_one_counts_as_zero(client: Client, shop: Project) -> None:
    send(client, "/engage", [update(shop, add={"a": 2}), update(shop, add={"a": -0.5, "b": -3})])
    assert profile(shop, "ann") == {"a": 1.5, "b": -3}


def test_a_sum_beyond_64_bits_stays_a_number_and_one_beyond_numbers_is_ignored(client: Client, shop: Project) -> None:
    send(client, "/engage", [update(shop, set={"a": 2**64 - 1, "b": 1.5e308}), update(shop, add={"a": 1})])
    assert float(profile(shop, "ann")["a"]) == float(2**64)
    assert send(client, "/engage?verbose=1", update(shop, add={"b": 1.5e308})) == (
        200,
        b'{"error":"\'$add.b\' is invalid: the sum is too large for a number","status":0}',
    )
    assert float(profile(shop, "ann")["b"]) == 1.5e308
    assert refused(shop) == {"The number became too large": 1}


def test_values_are_appended_as_they_are_duplicates_too(client: Client, shop: Project) -> None:
    for value in ("x", "x", 1, ["nested"], {"$amount": 5}, None):
        send(client, "/engage", update(shop, append={"a": value}))
    assert profile(shop, "ann") == {"a": ["x", "x", 1, ["nested"], {"$amount": 5}, None]}


def test_a_union_adds_what_is_missing_and_tells_types_apart(client: Client, shop: Project) -> None:
    send(client, "/engage", update(shop, set={"a": ["1", 1, "1"]}))
    values: list[Any] = ["1", 1, 1.0, True, True, {"x": 1, "y": 2}, {"y": 2, "x": 1}, None]
    for _ in range(2):
        send(client, "/engage", update(shop, union={"a": values, "new": ["n", "n"], "empty": []}))
    kept = profile(shop, "ann")
    assert orjson.dumps(kept["a"]) == orjson.dumps(["1", 1, "1", True, {"x": 1, "y": 2}, None])
    assert (kept["new"], kept["empty"]) == (["n"], [])


def test_a_value_is_removed_wherever_it_stands_and_only_of_its_type(client: Client, shop: Project) -> None:
    send(client, "/engage", update(shop, set={"a": [1, "1", True, 1.0, "x", 1], "b": [True]}))
    for _ in range(2):
        send(client, "/engage", update(shop, remove={"a": 1, "b": 1, "absent": "x"}))
    assert orjson.dumps(profile(shop, "ann")["a"]) == b'["1",true,"x"]'
    send(client, "/engage", update(shop, remove={"b": True}))
    assert profile(shop, "ann")["b"] == []
    assert not refused(shop)


def test_long_texts_are_removed_as_they_were_kept(client: Client, shop: Project) -> None:
    send(client, "/engage", [update(shop, append={"a": "x\0" * 300}), update(shop, remove={"a": "x" * 400})])
    assert profile(shop, "ann") == {"a": []}


def test_only_what_adds_makes_a_profile(client: Client, shop: Project) -> None:
    send(client, "/engage", update(shop, "nobody", remove={"a": 1}))
    assert not Person.objects.exists()
    for name, operation in (("a", {"add": {"a": 1}}), ("b", {"append": {"a": 1}}), ("c", {"union": {"a": [1]}})):
        send(client, "/engage", update(shop, name, **operation))
    assert people(shop) == {"a": {"a": 1}, "b": {"a": [1]}, "c": {"a": [1]}}


def test_all_operations_of_one_record_apply_in_mixpanels_order(client: Client, shop: Project) -> None:
    record = update(
        shop,
        unset=["gone"],
        remove={"list": "out"},
        union={"list": ["u"]},
        append={"list": "out"},
        add={"n": 1},
        set_once={"n": 5, "once": 1},
        set={"n": 1, "list": [], "gone": 1},
    )
    send(client, "/engage", record)
    assert profile(shop, "ann") == {"n": 2, "list": ["u"], "once": 1}
    send(client, "/engage", {**record, "$delete": "null"})
    assert profile(shop, "ann") == {}


@pytest.mark.parametrize(
    ("operation", "expected", "value", "kind"),
    [
        ({"add": {"a": 1}}, "a number", "5", "a text"),
        ({"add": {"a": 1}}, "a number", True, "a boolean"),
        ({"append": {"a": 1}}, "a list", 5, "a number"),
        ({"union": {"a": [1]}}, "a list", {"x": 1}, "an object"),
        ({"remove": {"a": 1}}, "a list", 1.5, "a number"),
    ],
)
def test_a_record_that_does_not_fit_is_ignored_as_a_whole_with_its_reason(
    client: Client, shop: Project, operation: dict[str, Any], expected: str, value: object, kind: str
) -> None:
    send(client, "/engage", update(shop, set={"a": value}))
    seen = Person.objects.get().profile_updated_at
    misfit = update(shop, set={"b": 1}, **operation)
    (name,) = operation
    message = f"'${name}.a' is invalid: it takes {expected} and the property is {kind}; set it anew first"
    status, answer = send(client, "/engage?verbose=1", misfit)
    assert (status, orjson.loads(answer)) == (200, {"error": message, "status": 0})
    assert (profile(shop, "ann"), Person.objects.get().profile_updated_at) == ({"a": value}, seen)
    assert send(client, "/engage?verbose=1", [misfit, update(shop, set={"c": 1})]) == (
        200,
        b'{"error":null,"num_good_events":1,"status":1}',
    )
    status, answer = send(client, "/engage?strict=1", [update(shop, set={"d": 1}), misfit, {"$token": shop.token}])
    failed = orjson.loads(answer)["failed_records"]
    assert (status, [record["index"] for record in failed], failed[0]["message"]) == (400, [1, 2], message)
    assert profile(shop, "ann") == {"a": value, "c": 1, "d": 1}
    assert refused(shop)[CLASH] == 3


def test_a_list_grows_to_its_limit_and_no_further(client: Client, shop: Project) -> None:
    full = ["x" * 250] * 1035
    assert send(client, "/engage", update(shop, set={"a": full})) == (200, b"1")
    for operation in ({"append": {"a": "y" * 250}}, {"union": {"a": ["1" * 250, "2" * 250, "3" * 250]}}):
        records = [update(shop, **operation) for _ in range(5)]
        assert send(client, "/engage", [*records, update(shop, set={"b": 1})]) == (200, b"1")
    kept = profile(shop, "ann")
    assert 262_144 - 253 * 3 < len(orjson.dumps(kept["a"])) <= 262_144
    assert kept["b"] == 1
    assert refused(shop)["A list or an object is too large"] > 0
    send(client, "/engage", [update(shop, remove={"a": "x" * 250}), update(shop, append={"a": "z"})])
    assert profile(shop, "ann")["a"][-1] == "z"


def test_a_profile_has_at_most_8_mb_and_the_rest_is_refused_in_words(
    client: Client, shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold, "MAX_PROFILE_BYTES", 1000)
    records = [update(shop, set={f"p{number}": "x" * 90}) for number in range(12)]
    send(client, "/engage", [*records, update(shop, set={"p0": "small"}), update(shop, set={"late": 1})])
    kept = profile(shop, "ann")
    assert (len(kept), kept["p0"], kept["late"]) == (11, "small", 1)
    assert refused(shop) == {"The profile has no room for another property": 2}


def test_a_full_profile_takes_no_further_property_by_any_operation(client: Client, shop: Project) -> None:
    send(client, "/engage", update(shop, set={f"p{number}": number for number in range(2000)}))
    for operation in ({"add": {"n": 1}}, {"append": {"n": 1}}, {"union": {"n": [1]}}):
        assert send(client, "/engage", update(shop, **operation)) == (200, b"1")
    kept = profile(shop, "ann")
    assert ("n" in kept, len(kept)) == (False, 2000)
    assert refused(shop) == {"The profile has no room for another property": 3}


def test_a_list_in_the_match_property_names_nobody_and_keeps_set_once_from_setting(
    client: Client, shop: Project
) -> None:
    records = [update(shop, append={"$onesignal_user_id": "K"}), update(shop, set_once={"$onesignal_user_id": "K"})]
    send(client, "/engage", records)
    assert profile(shop, "ann") == {"$onesignal_user_id": ["K"]}
    assert keys(shop) == {"ann": None}
    assert ids_of(shop, "ann") == ["ann"]


def test_replaying_a_request_without_add_and_append_changes_nothing(client: Client, shop: Project) -> None:
    records = [
        update(shop, set={"a": [1], "b": "x"}, union={"a": [2, 3]}, remove={"a": 1}, unset=["c"]),
        update(shop, union={"c": ["u"]}, set_once={"d": 1}),
    ]
    send(client, "/engage", records)
    once = profile(shop, "ann")
    send(client, "/engage", records)
    assert profile(shop, "ann") == once == {"a": [2, 3], "b": "x", "c": ["u"], "d": 1}
