"""Sending recent events to `/track`: what is stored, and the bytes that come back."""

from __future__ import annotations

import datetime as dt
import time
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from django.db import connection
from django.test import Client, RequestFactory

from cohorts.models import Event, Person, Project
from integrations.mixpanel import views
from tests.cast import make_project
from tests.ingest.wire import event, person, refused, send, stored, update

GOOD, BAD = (200, b"1"), (200, b"0")


@pytest.mark.parametrize("path", ["/track", "/track/"])
def test_an_event_is_stored_with_its_person(client: Client, shop: Project, path: str) -> None:
    sent_at = time.time() - 60
    record = event(shop, time=sent_at, insert_id="i1", amount=12.5, tags=["a", {"b": None}])
    assert send(client, path, record) == GOOD
    (row,) = stored(shop)
    assert row.name == "Purchase"
    assert row.occurred_at.timestamp() == pytest.approx(sent_at, abs=1e-6)
    assert row.distinct_id == "ann"
    assert row.person_id == person(shop, "ann").pk
    assert row.insert_id == "i1"
    assert row.properties == {"amount": 12.5, "tags": ["a", {"b": None}]}


def test_the_answers_are_mixpanels_to_the_byte(client: Client, shop: Project) -> None:
    def answer(record: object, parameters: str) -> tuple[int, str, bytes]:
        response = client.post(f"/track?{parameters}", orjson.dumps(record), content_type="application/json")
        return response.status_code, response["Content-Type"], response.content

    bad = {"event": "E", "properties": {"distinct_id": "ann"}}
    assert answer(event(shop), "") == (200, "text/plain", b"1")
    assert answer(event(shop), "verbose=1") == (200, "application/json", b'{"error":null,"status":1}')
    assert answer(bad, "verbose=0") == (200, "text/plain", b"0")
    assert answer(bad, "verbose=1") == (200, "application/json", b'{"error":"token, missing or empty","status":0}')


def test_parameters_are_read_from_the_form_too(client: Client, shop: Project) -> None:
    body = urlencode({"data": orjson.dumps(event(shop)).decode(), "verbose": 1, "ip": 0})
    response = client.post("/track", body, content_type="application/x-www-form-urlencoded")
    assert response.content == b'{"error":null,"status":1}'
    broken = client.post("/track", "data=rubbish&verbose=1", content_type="application/x-www-form-urlencoded")
    assert broken.content == b'{"error":"data holds no JSON object and no list of them","status":0}'


def test_one_good_event_makes_the_request_good(client: Client, shop: Project) -> None:
    assert send(client, "/track", [{"event": ""}, event(shop, name=" "), event(shop)]) == GOOD
    assert len(stored(shop)) == 1
    assert refused(shop) == {"The event has no name": 1}


def test_an_unknown_token_is_answered_as_if_it_were_known(client: Client, shop: Project) -> None:
    shop.token = "0" * 32
    assert send(client, "/track", event(shop)) == GOOD
    assert not Event.objects.exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"[1, null, []]", b"rubbish"])
def test_a_body_without_events_is_answered_with_zero(client: Client, shop: Project, body: bytes) -> None:
    assert send(client, "/track", body) == BAD


def test_too_many_events_are_answered_with_zero_and_none_is_stored(client: Client, shop: Project) -> None:
    assert send(client, "/track", [event(shop)] * 2001) == BAD
    assert not stored(shop)


def test_events_of_several_projects_may_come_together(client: Client, shop: Project, simple_shop: Project) -> None:
    assert send(client, "/track", [event(shop), event(simple_shop), event(shop)]) == GOOD
    assert (len(stored(shop)), len(stored(simple_shop))) == (2, 1)
    assert Person.objects.count() == 2


def test_an_event_older_than_five_days_is_dropped_and_counted(client: Client, shop: Project) -> None:
    old = time.time() - 5 * 86400 - 60
    assert send(client, "/track", event(shop, time=old)) == BAD
    assert send(client, "/track", [event(shop, time=old), event(shop, time=old + 120)]) == GOOD
    assert len(stored(shop)) == 1
    assert refused(shop) == {"The time is too long ago": 2}


@pytest.mark.parametrize("ahead", [600, 86400, 86400 * 400, 86400 * 36500])
def test_a_time_in_the_future_counts_as_now(client: Client, shop: Project, ahead: int) -> None:
    assert send(client, "/track", event(shop, time=time.time() + ahead)) == GOOD
    (row,) = stored(shop)
    assert abs(row.occurred_at - row.received_at) < dt.timedelta(seconds=1)
    assert row.dedup_at > row.occurred_at


@pytest.mark.parametrize("value", [None, "yesterday", {}, [], True, "", 1e300, "NaN"])
def test_a_time_that_is_none_is_the_time_of_arrival(client: Client, shop: Project, value: object) -> None:
    assert send(client, "/track", event(shop, time=value)) == GOOD
    (row,) = stored(shop)
    assert row.occurred_at == row.received_at


def test_times_come_as_seconds_milliseconds_or_text(client: Client, shop: Project) -> None:
    moment = int(time.time()) - 100
    for value in (moment, float(moment), moment * 1000, str(moment), f"{moment}.0", str(moment * 1000)):
        send(client, "/track", event(shop, time=value))
    assert {row.occurred_at.timestamp() for row in stored(shop)} == {moment}


@pytest.mark.parametrize(
    "value", ["", "null", "Anonymous", "-1", 0, True, [], {}, "00000000-0000-0000-0000-000000000000"]
)
def test_an_event_of_nobody_is_kept_without_a_person(client: Client, shop: Project, value: object) -> None:
    assert send(client, "/track", event(shop, distinct_id=value)) == GOOD
    (row,) = stored(shop)
    assert row.person_id is None
    assert not Person.objects.exists()


@pytest.mark.parametrize(("value", "expected"), [(12345, "12345"), (12.0, "12"), (2.5, "2.5"), (2**63, str(2**63))])
def test_a_number_is_an_id_too(client: Client, shop: Project, value: float, expected: str) -> None:
    send(client, "/track", event(shop, distinct_id=value))
    assert person(shop, expected)


def test_a_number_that_lost_digits_is_nobodys_id(client: Client, shop: Project) -> None:
    body = orjson.dumps(event(shop, distinct_id=0)).replace(
        b'"distinct_id":0', b'"distinct_id":123456789012345678901234'
    )
    assert send(client, "/track", body) == GOOD
    assert stored(shop)[0].person_id is None


def test_an_address_is_hashed_only_where_asked_for_and_never_stored(client: Client, shop: Project) -> None:
    nameless = event(shop, ip="203.0.113.9")
    del nameless["properties"]["distinct_id"]
    send(client, "/track?ip=0", nameless)
    assert stored(shop)[0].distinct_id == ""
    for forwarded in ("203.0.113.9", "203.0.113.9, 10.0.0.1", "203.0.113.10"):
        send(client, "/track?ip=1", nameless, HTTP_X_FORWARDED_FOR=forwarded)
    rows = stored(shop)[1:]
    assert len({row.distinct_id for row in rows}) == 2
    assert all(row.properties == {} and "203.0.113" not in row.distinct_id for row in rows)


def test_an_event_to_ignore_is_accepted_and_dropped(client: Client, shop: Project) -> None:
    mark: Any
    for mark in (True, "yes"):
        assert send(client, "/track", event(shop, **{"$ignore": mark})) == GOOD
    assert not stored(shop)
    assert not refused(shop)


def test_long_texts_are_cut_and_nul_is_stripped(client: Client, shop: Project) -> None:
    record = event(shop, name="N" * 300, distinct_id="d\0" * 200, text="ü" * 300, **{"k" * 300: "a\0b"})
    record["properties"]["nested"] = {"x\0": ["y" * 300]}
    assert send(client, "/track", record) == GOOD
    (row,) = stored(shop)
    assert row.name == "N" * 255
    assert row.distinct_id == "d" * 200
    assert row.properties == {"text": "ü" * 255, "k" * 255: "ab", "nested": {"x": ["y" * 255]}}


def test_characters_that_quote_or_break_lines_survive(client: Client, shop: Project) -> None:
    awkward = "a\"b\\c\n\t\r{}',%s%%\u2028\x01🙂NULL"
    send(client, "/track", event(shop, name=awkward, distinct_id=awkward, insert_id=awkward, text=awkward, none=None))
    (row,) = stored(shop)
    assert (row.name, row.distinct_id, row.insert_id) == (awkward, awkward, awkward)
    assert row.properties == {"text": awkward, "none": None}
    assert person(shop, awkward)


def test_verbs_of_original_id_merge_are_dropped_in_a_simplified_project(client: Client, simple_shop: Project) -> None:
    assert send(client, "/track", event(simple_shop, name="$identify")) == GOOD
    assert not stored(simple_shop)


def test_a_simplified_project_takes_the_user_or_the_device_for_a_missing_id(
    client: Client, simple_shop: Project
) -> None:
    for known in ({"$user_id": "u1", "$device_id": "d1"}, {"$device_id": "d1"}, {"$device_id": "$device:d2"}):
        record = event(simple_shop, **known)
        del record["properties"]["distinct_id"]
        assert send(client, "/track", record) == GOOD
    assert sorted(row.distinct_id for row in stored(simple_shop)) == ["$device:d1", "$device:d2", "u1"]


class BrokenConnection(BytesIO):
    """A connection that the client cuts while it sends."""

    def read(self, size: int | None = -1) -> bytes:
        raise OSError("connection reset")


def test_a_request_that_breaks_off_is_a_bad_request(rf: RequestFactory) -> None:
    extra: dict[str, Any] = {"wsgi.input": BrokenConnection()}
    assert views.track(rf.generic("POST", "/track", b"x" * 10, **extra)).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_a_sender_is_told_to_come_again_while_the_database_cannot_take_it(client: Client) -> None:
    shop = make_project()
    other = connection.copy()
    other.set_autocommit(False)
    try:
        with other.cursor() as blocking, connection.cursor() as cursor:
            blocking.execute("SELECT FROM cohorts_project WHERE id = %s FOR UPDATE", [shop.pk])
            cursor.execute("SET lock_timeout = '50ms'")
            for path, record in (("/track", event(shop)), ("/engage", update(shop, set={"a": 1}))):
                response = client.post(path, orjson.dumps(record), content_type="application/json")
                assert (response.status_code, response["Retry-After"]) == (503, "2")
                assert response.json()["status"] == "Service Unavailable"
            cursor.execute("RESET lock_timeout")
    finally:
        other.close()
    assert send(client, "/track", event(shop)) == GOOD
