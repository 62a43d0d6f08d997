"""Operations on a profile against a plain model of them, and what a fold knows of sizes against the sizes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from cohorts.ingest import fold
from cohorts.ingest.fold import fold_updates
from cohorts.messages import Add, Append, Delete, Operation, ProfileUpdate, Remove, Set, SetOnce, Union, Unset
from cohorts.refusals import RecordRefused
from tests.cast import at

NOW = at("2026-11-20T10:00:00")
NAMES = st.sampled_from(["a", "b", "ü", "$distinct_id"])
SCALARS: st.SearchStrategy[Any] = st.sampled_from([None, True, False, 0, 1, 1.5, -1, "", "1", "x", "ü" * 9])
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(NAMES, SCALARS, max_size=2)


def by_name(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(NAMES, values, max_size=2)


OPERATIONS: st.SearchStrategy[Operation] = st.one_of(
    by_name(VALUES).map(Set),
    by_name(VALUES).map(SetOnce),
    by_name(st.sampled_from([1, -2, 0.5])).map(Add),
    by_name(VALUES).map(Append),
    by_name(st.lists(VALUES, max_size=3)).map(Union),
    by_name(SCALARS).map(Remove),
    st.lists(NAMES, max_size=2).map(tuple).map(Unset),
    st.just(Delete()),
)
HISTORIES = st.lists(st.lists(OPERATIONS, min_size=1, max_size=4), max_size=12)


class Misfit(Exception):
    pass


def same(one: Any, other: Any) -> bool:
    return bool(one == other and isinstance(one, bool) == isinstance(other, bool))


def holds(values: list[Any], value: Any) -> bool:
    if isinstance(value, list | dict):
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        return any(
            orjson.dumps(each, option=orjson.OPT_SORT_KEYS) == text for each in values if isinstance(each, list | dict)
        )
    return any(same(each, value) for each in values if not isinstance(each, list | dict))


def model(profile: dict[str, Any], operations: list[Operation]) -> dict[str, Any]:
    """The operations as the contract words them, one property after the other."""
    profile = orjson.loads(orjson.dumps(profile))

    def list_of(name: str) -> list[Any]:
        values = profile.get(name, [])
        if not isinstance(values, list):
            raise Misfit
        return values

    for operation in operations:
        if isinstance(operation, Delete):
            profile = {}
        elif isinstance(operation, Unset):
            for name in operation.names:
                profile.pop(name, None)
        elif isinstance(operation, Remove):
            for name, value in operation.properties.items():
                if name in profile:
                    profile[name] = [each for each in list_of(name) if not same(each, value)]
        else:
            given: dict[str, Any] = dict(operation.properties)
            for name, value in given.items():
                if isinstance(operation, Set):
                    new = value
                elif isinstance(operation, SetOnce):
                    new = profile.get(name, value)
                elif isinstance(operation, Add):
                    new = profile.get(name, 0)
                    if isinstance(new, bool) or not isinstance(new, int | float):
                        raise Misfit
                    new += value
                elif isinstance(operation, Append):
                    new = [*list_of(name), value]
                else:
                    new = [*list_of(name)]
                    for each in value:
                        if not holds(new, each):
                            new.append(each)
                profile.pop(name, None) if new is None else profile.update({name: new})
                profile.pop("$distinct_id", None)
    return profile


@settings(max_examples=500, deadline=None)
@given(profile=by_name(VALUES.filter(lambda value: value is not None)), history=HISTORIES)
def test_a_fold_equals_the_plain_model(profile: dict[str, Any], history: list[list[Operation]]) -> None:
    profile.pop("$distinct_id", None)
    before = orjson.dumps(profile)
    expected, misfits = profile, []
    for position, operations in enumerate(history):
        try:
            expected = model(expected, operations)
        except Misfit:
            misfits.append(position)
    updates = [ProfileUpdate(position, "ann", tuple(each), NOW) for position, each in enumerate(history)]
    folded = fold_updates(profile, None, updates)
    sort = orjson.OPT_SORT_KEYS
    assert orjson.dumps(folded.profile, option=sort) == orjson.dumps(expected, option=sort)
    assert [refusal.position for refusal in folded.ignored] == misfits
    assert orjson.dumps(profile) == before


@settings(max_examples=300, deadline=None)
@given(profile=by_name(VALUES.filter(lambda value: value is not None)), history=HISTORIES)
def test_the_size_of_a_draft_is_that_of_its_json(profile: dict[str, Any], history: list[list[Operation]]) -> None:
    draft = fold._Draft(profile, len(orjson.dumps(profile)), {})
    for operations in history:
        attempt = fold._Draft(dict(draft.properties), draft.size, draft.lists)
        try:
            fold._apply(attempt, operations)
        except RecordRefused:
            continue
        draft = attempt
        # The braces of an empty object, and a comma less than properties.
        assert draft.size - len(orjson.dumps(draft.properties)) in {0, 1, -1}


def test_a_deleted_profile_is_there_again_once_something_is_set() -> None:
    def is_there(*operations: Operation, before: bool = True) -> bool:
        updates = [ProfileUpdate(n, "ann", (operation,), NOW) for n, operation in enumerate(operations)]
        return fold_updates({}, None, updates, is_there=before).is_there

    assert not is_there(Set({"a": 1}), Delete())
    assert not is_there(Delete(), Unset(("a",)), Remove({"a": 1}))
    assert is_there(Delete(), Union({"a": [1]}))
    assert is_there(Unset(("a",)))
    assert not is_there(Unset(("a",)), before=False)


def test_when_it_was_last_updated_is_kept_by_an_update_that_does_not_fit() -> None:
    later = NOW + dt.timedelta(hours=1)
    updates = [
        ProfileUpdate(0, "ann", (Set({"a": "x"}),), NOW),
        ProfileUpdate(1, "ann", (Add({"a": 1}),), later),
    ]
    assert fold_updates({}, None, updates).updated_at == NOW
