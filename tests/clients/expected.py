"""What must be stored after a part of a client's walk, whether its recorded bytes were replayed or it ran live.

Each check raises AssertionError. Ids that an SDK makes up are read from the events; all else is in the walks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from cohorts.models import Event, Person, Project
from tests.ingest.wire import groups, ids_of, keys, people, profile, refused

Check = Callable[[Project], None]
EMOJI_NOTE = "ä & 🙂 >>>???~~~ÿ"
CHARGE = {"$amount": 9.99, "$time": "2026-01-02T03:04:05"}
LONG_AGO = 852_076_800


def events_of(project: Project) -> list[Event]:
    """Return the events in the order of their time and insert id."""
    return list(Event.objects.filter(project=project).order_by("occurred_at", "insert_id"))


def _names(project: Project) -> dict[str, int]:
    return dict(Counter(row.name for row in events_of(project)))


def _event(project: Project, name: str) -> Event:
    return Event.objects.get(project=project, name=name)


def _insert_ids(project: Project, name: str) -> set[str]:
    rows = [row.insert_id or "" for row in Event.objects.filter(project=project, name=name)]
    assert len(rows) == len(set(rows)), rows
    return set(rows)


def _numbered(stem: str, count: int) -> set[str]:
    return {f"{stem}-{number}" for number in range(count)}


def _holds(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise unless `found` has all of `wanted`; lists are compared without their order, which $union does not keep."""
    for name, value in wanted.items():
        is_list = isinstance(value, list) and all(isinstance(each, str) for each in value)
        assert (sorted(found.get(name, [])) if is_list else found.get(name)) == value, (name, found)


def _has_no_profile(project: Project, distinct_id: str) -> None:
    assert people(project).get(distinct_id, {}) == {}


def _identified(project: Project) -> None:
    """The auto-alias of $onesignal_user_id (contract, 3.4), and the key that a sync delivers."""
    assert keys(project) == {"ann": "os-ann"}
    assert {"ann", "os-ann"} <= set(ids_of(project, "os-ann"))


def python_events(project: Project) -> None:
    assert _names(project) == {"Purchase": 1, "Meta": 1, "Number": 1, "Batch": 53}
    purchase = _event(project, "Purchase")
    _holds(purchase.properties, {"mp_lib": "python", "dollars": 12.5, "note": "ä & 🙂 >>>???~~~"})
    assert (purchase.distinct_id, purchase.properties["list"]) == ("ann", [1, "a"])
    assert len(purchase.insert_id or "") == 32
    assert _event(project, "Number").distinct_id == "4711"
    assert _insert_ids(project, "Batch") == _numbered("batch", 53)


def python_profiles(project: Project) -> None:
    assert not refused(project)
    ann = people(project)["ann"]
    _holds(
        ann,
        {"plan": "pro", "first": True, "visits": 5, "score": -0.5, "seen": ["a", "b"], "tags": ["y", "z"]},
    )
    assert ann["$transactions"] == [CHARGE]
    assert "$name" not in ann
    # This SDK clears charges by $unset, which makes no profile.
    _has_no_profile(project, "cleared")
    _has_no_profile(project, "gone")
    assert people(project)["bob"] == {"last": 52, **{f"p{number}": True for number in range(53)}}
    quiet = Person.objects.get(project=project, distinct_id="quiet")
    assert (quiet.properties, quiet.profile_updated_at) == ({"plan": "free"}, None)
    _identified(project)


def imported(project: Project) -> None:
    assert _names(project) == {"Order": 2, "Old": 53}
    assert _insert_ids(project, "Order") == {"line-1", "line-2"}
    assert _insert_ids(project, "Old") == _numbered("old", 53)
    assert {row.properties["dollars"] for row in Event.objects.filter(project=project, name="Order")} == {11.77}
    first = events_of(project)[0]
    assert first.occurred_at.timestamp() == LONG_AGO


def node_import(project: Project) -> None:
    imported(project)
    assert {row.properties["s"] for row in Event.objects.filter(project=project, name="Old")} == {">>>???~~~ÿ"}


def utils_events(project: Project) -> None:
    assert _insert_ids(project, "Order") == _numbered("utils", 3)
    assert [row.properties["n"] for row in events_of(project)] == [0, 1, 2]


def utils_profiles(project: Project) -> None:
    assert not refused(project)
    assert people(project)["ann"] == {"$name": "Ann", "plan": "free", "city": "Köln", "seen": ["a"]}
    assert people(project)["bob"] == {"$name": "Bob", "plan": "pro"}
    _has_no_profile(project, "cleo")


def node_events(project: Project) -> None:
    assert _names(project) == {"Purchase": 1, "Timed": 1, "Verbose": 1, "Batch": 53}
    purchase = _event(project, "Purchase")
    _holds(purchase.properties, {"s": ">>>???~~~", "note": "ä 🙂", "mp_lib": "node"})
    assert purchase.distinct_id == "ann"
    assert _insert_ids(project, "Batch") == _numbered("batch", 53)
    assert {row.properties["s"] for row in Event.objects.filter(project=project, name="Batch")} == {">>>???~~~ÿ"}


def node_profiles(project: Project) -> None:
    assert not refused(project)
    ann = people(project)["ann"]
    _holds(ann, {"plan": "pro", "city": "Köln", "first": True, "visits": 4, "score": -0.5, "seen": ["a", "b"]})
    _holds(ann, {"tags": ["y", "z"]})
    assert ann["$transactions"] == [CHARGE]
    assert "old" not in ann
    assert people(project)["cleared"] == {"$transactions": []}
    assert people(project)["quiet"] == {"plan": "free"}
    _has_no_profile(project, "gone")
    _identified(project)


def groups_of_servers(project: Project) -> None:
    assert not refused(project)
    assert groups(project) == {
        ("company", "acme"): {"plan": "pro", "size": 12, "first": True, "tags": ["y"]},
    }


def browser_groups(project: Project) -> None:
    assert not refused(project)
    assert groups(project) == {("company", "acme"): {"plan": "pro", "first": True, "tags": ["y"]}}
    assert _event(project, "Grouped").properties["company"] == ["acme"]


def node_key(project: Project) -> None:
    assert _insert_ids(project, "Order") == {"line-3"}


def browser_events(project: Project) -> None:
    assert _names(project) == {"Opened": 1, "Scrolled": 12, "$mp_web_page_view": 1}
    opened = _event(project, "Opened")
    _holds(opened.properties, {"note": EMOJI_NOTE, "plan": "pro", "mp_lib": "web"})
    assert opened.distinct_id.startswith("$device:")
    assert {row.properties["n"] for row in Event.objects.filter(project=project, name="Scrolled")} == set(range(12))


def browser_profiles(project: Project) -> None:
    assert not refused(project)
    ann = people(project)["ann"]
    _holds(ann, {"$name": "Änn 🙂", "plan": "free", "visits": 4, "seen": ["a"], "tags": ["y"]})
    assert ann["$transactions"] == []
    assert "old" not in ann
    assert _event(project, "$identify").distinct_id == "ann"
    _identified(project)


def browser_unload(project: Project) -> None:
    """The beacon and the re-send on the next load are the same events."""
    assert [row.properties["n"] for row in events_of(project)] == [1, 2]
    assert _names(project) == {"Left": 2}


def browser_json(project: Project) -> None:
    assert _names(project) == {"Opened": 1, "$identify": 1}
    _holds(_event(project, "Opened").properties, {"note": "ä & 🙂"})
    _holds(people(project)["ann"], {"a": "🙂"})


def browser_singles(project: Project) -> None:
    assert _names(project) == {"Single": 1, "$identify": 1, "Beacon": 1}
    _holds(_event(project, "Single").properties, {"note": "ä"})
    _holds(people(project)["ann"], {"a": 1})


def browser_get(project: Project) -> None:
    _holds(_event(project, "By GET").properties, {"note": "ä >>>???~~~ÿ"})


def python_identity(project: Project) -> None:
    """A device was identified as ann, and old-ann merged into her; the profile of ann wins (contract, 3.5)."""
    assert _names(project) == {"Looked": 1, "$identify": 1, "$merge": 1}
    assert not refused(project)
    assert ids_of(project, "ann") == [_event(project, "Looked").distinct_id, "ann", "old-ann"]
    assert profile(project, "old-ann") == {"plan": "pro", "city": "Ulm"}


def node_identity(project: Project) -> None:
    assert _names(project) == {"Looked": 1, "$create_alias": 1}
    assert not refused(project)
    assert ids_of(project, "ann") == ["ann", "ann@example.com"]
    assert profile(project, "ann") == {"plan": "pro"}


def browser_identity(project: Project) -> None:
    """What the visitor did before identify() is ann's."""
    browser_json(project)
    assert _event(project, "Opened").distinct_id.startswith("$device:")
    assert _event(project, "Opened").distinct_id in ids_of(project, "ann")


def exported(project: Project) -> None:
    """An export changes nothing; what it holds is checked by whoever asked for it."""
    assert not events_of(project)
    assert not refused(project)


CHECKS: dict[tuple[str, str], Check] = {
    ("python_sdk", "events"): python_events,
    ("python_sdk", "profiles"): python_profiles,
    ("python_sdk", "groups"): groups_of_servers,
    ("python_sdk", "import"): imported,
    ("python_sdk", "identity"): python_identity,
    ("utils", "events"): utils_events,
    ("utils", "profiles"): utils_profiles,
    ("utils", "export"): exported,
    ("node", "events"): node_events,
    ("node", "profiles"): node_profiles,
    ("node", "groups"): groups_of_servers,
    ("node", "import"): node_import,
    ("node", "key"): node_key,
    ("node", "identity"): node_identity,
    ("browser", "events"): browser_events,
    ("browser", "profiles"): browser_profiles,
    ("browser", "groups"): browser_groups,
    ("browser", "unload"): browser_unload,
    ("browser", "json"): browser_identity,
    ("browser", "singles"): browser_singles,
    ("browser", "get"): browser_get,
}
