"""PyPI `mixpanel`, call by call. Run by `tests/clients/walking.py`."""

from __future__ import annotations

import time
from typing import Any

import mixpanel

from tests.clients.walks.target import TARGET, run, tell

ADDRESSES = {
    "events_url": f"{TARGET['url']}/track",
    "people_url": f"{TARGET['url']}/engage",
    "groups_url": f"{TARGET['url']}/groups",
    "import_url": f"{TARGET['url']}/import",
}
ACCOUNT = mixpanel.ServiceAccountCredentials(
    username=TARGET["username"], secret=TARGET["password"], project_id=TARGET["project_id"]
)
LONG_AGO = 852_076_800  # 1997-01-01


def client(consumer: Any = mixpanel.Consumer, **wishes: Any) -> mixpanel.Mixpanel:
    return mixpanel.Mixpanel(TARGET["token"], consumer=consumer(**ADDRESSES, **wishes))


def events() -> None:
    sdk = client()
    note = "ä & \U0001f642 >>>???~~~"
    purchase = {"dollars": 12.5, "note": note, "list": [1, "a"], "none": None}
    tell("track", lambda: sdk.track("ann", "Purchase", purchase))
    earlier = {"time": int(time.time()) - 60}
    tell("track with meta", lambda: sdk.track("ann", "Meta", earlier, {"$mp_metadata": {"a": 1}}))
    tell("track a number", lambda: sdk.track(4711, "Number"))
    buffered = mixpanel.BufferedConsumer(**ADDRESSES)
    batch = mixpanel.Mixpanel(TARGET["token"], consumer=buffered)
    for number in range(53):
        batch.track("bob", "Batch", {"$insert_id": f"batch-{number}", "number": number})
    tell("flush a BufferedConsumer", buffered.flush)


def profiles() -> None:
    sdk = client()
    tell("people_set", lambda: sdk.people_set("ann", {"$name": "Änn", "$onesignal_user_id": "os-ann", "plan": "pro"}))
    tell("people_set_once", lambda: sdk.people_set_once("ann", {"plan": "free", "first": True}))
    tell("people_increment", lambda: sdk.people_increment("ann", {"visits": 3, "score": -0.5}))
    tell("people_increment again", lambda: sdk.people_increment("ann", {"visits": 2}))
    tell("people_append", lambda: sdk.people_append("ann", {"seen": "a"}))
    tell("people_append again", lambda: sdk.people_append("ann", {"seen": "b"}))
    tell("people_union", lambda: sdk.people_union("ann", {"tags": ["x", "y"]}))
    tell("people_union again", lambda: sdk.people_union("ann", {"tags": ["y", "z"]}))
    tell("people_remove", lambda: sdk.people_remove("ann", {"tags": "x"}))
    tell("people_unset", lambda: sdk.people_unset("ann", ["$name"]))
    tell("people_track_charge", lambda: sdk.people_track_charge("ann", 9.99, {"$time": "2026-01-02T03:04:05"}))
    tell("people_clear_charges", lambda: sdk.people_clear_charges("cleared"))
    meta = {"$ignore_time": True, "$ip": 0}
    tell("people_set with meta", lambda: sdk.people_set("quiet", {"plan": "free"}, meta=meta))
    tell("people_set to delete", lambda: sdk.people_set("gone", {"plan": "free"}))
    tell("people_delete", lambda: sdk.people_delete("gone"))
    buffered = mixpanel.BufferedConsumer(**ADDRESSES)
    batch = mixpanel.Mixpanel(TARGET["token"], consumer=buffered)
    for number in range(53):
        batch.people_set("bob", {"last": number, f"p{number}": True})
    tell("flush a BufferedConsumer", buffered.flush)


def groups() -> None:
    sdk = client()
    tell("group_set", lambda: sdk.group_set("company", "acme", {"plan": "pro", "size": 12, "old": 1}))
    tell("group_set_once", lambda: sdk.group_set_once("company", "acme", {"plan": "free", "first": True}))
    tell("group_union", lambda: sdk.group_union("company", "acme", {"tags": ["x", "y"]}))
    tell("group_remove", lambda: sdk.group_remove("company", "acme", {"tags": "x"}))
    tell("group_unset", lambda: sdk.group_unset("company", "acme", ["old"]))
    tell("group_set to delete", lambda: sdk.group_set("company", "gone", {"plan": "free"}))
    tell("group_delete", lambda: sdk.group_delete("company", "gone"))


def importing() -> None:
    properties = {"$insert_id": "line-1", "dollars": 11.77}
    account = client(credentials=ACCOUNT)
    tell("import_data by an account", lambda: account.import_data(None, "ann", "Order", LONG_AGO, properties))
    sdk = client()
    again = {**properties, "$insert_id": "line-2"}
    tell(
        "import_data by an API secret",
        lambda: sdk.import_data(None, "ann", "Order", LONG_AGO, again, api_secret=TARGET["secret"]),
    )
    buffered = mixpanel.BufferedConsumer(**ADDRESSES, credentials=ACCOUNT)
    batch = mixpanel.Mixpanel(TARGET["token"], consumer=buffered)
    for number in range(53):
        batch.import_data(None, "bob", "Old", LONG_AGO + number, {"$insert_id": f"old-{number}"})
    tell("flush a BufferedConsumer", buffered.flush)


def identity() -> None:
    sdk = client(credentials=ACCOUNT)
    device = "$device:3f2b8c1e-7a4d-4e0b-9c55-0123456789ab"
    tell("track before", lambda: sdk.track(device, "Looked", {"$insert_id": "looked"}))
    tell(
        "track $identify",
        lambda: sdk.track("ann", "$identify", {"$identified_id": "ann", "$anon_id": device, "$insert_id": "identify"}),
    )
    tell("people_set ann", lambda: sdk.people_set("ann", {"plan": "pro"}))
    tell("people_set old-ann", lambda: sdk.people_set("old-ann", {"plan": "free", "city": "Ulm"}))
    tell("merge", lambda: sdk.merge(None, "ann", "old-ann"))


run({"events": events, "profiles": profiles, "groups": groups, "import": importing, "identity": identity})
