"""OneSignal's answers, one exchange at a time: what each comes to, and in which words."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses

from integrations.destinations.base import Account, Outcome
from integrations.destinations.onesignal.client import OneSignalClient, segment_name
from integrations.errors import (
    CredentialRefused,
    Permanent,
    SegmentGone,
    SegmentIdTaken,
    Temporary,
    Unreachable,
)

API = "https://api.onesignal.example"
APP = "5b1d3c9e-7f0a-4c1e-9a53-0c3f1a2b4d5e"
SEGMENT = uuid.UUID("11111111-2222-4333-8444-555555555555")
SEGMENTS = f"{API}/apps/{APP}/segments"
DENIED = "Access denied.  Please include an 'Authorization: ...' header with a valid API key"


@pytest.fixture
def http() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def client() -> OneSignalClient:
    return OneSignalClient(Account(API, APP, "os_v2_app_secret"))


def user_url(encoded: str) -> str:
    return f"{API}/apps/{APP}/users/by/external_id/{encoded}"


@pytest.mark.parametrize(
    ("recipient", "encoded"),
    [
        ("a/b", "a%2Fb"),
        ("two words", "two%20words"),
        ("🐈", "%F0%9F%90%88"),
        ("a?b#c%d", "a%3Fb%23c%25d"),
        ("a+b", "a%2Bb"),
    ],
)
def test_an_id_travels_as_one_segment_of_the_path(
    http: responses.RequestsMock, client: OneSignalClient, recipient: str, encoded: str
) -> None:
    http.patch(user_url(encoded), status=202, json={"properties": {}})
    assert client.write_tags(recipient=recipient, tags={"cs_1": True, "cs_2": False}).outcome is Outcome.ACCEPTED
    request = http.calls[0].request
    assert request.url == user_url(encoded)
    assert request.body == b'{"properties":{"tags":{"cs_1":"1","cs_2":""}}}'
    assert request.headers["Authorization"] == "Key os_v2_app_secret"
    assert request.headers["OneSignal-Usage"] == "CohortSync | Partner Integration"


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (202, "{}", Outcome.ACCEPTED),
        (200, "", Outcome.ACCEPTED),
        (404, '{"errors":[{"code":"user-1","title":"User not found"}]}', Outcome.ABSENT),
        (410, "", Outcome.ABSENT),
        (409, '{"errors":[{"code":"entitlements-tag-limit","title":"too many tags"}]}', Outcome.REFUSED),
        (400, '{"errors":["bad"]}', Outcome.REFUSED),
        (413, "<html>", Outcome.REFUSED),
        (408, "", Outcome.UNANSWERED),
        (401, "", Outcome.DENIED),
        (403, '{"errors":["no"]}', Outcome.DENIED),
        (429, '{"errors":["API rate limit exceeded."]}', Outcome.THROTTLED),
        (500, "", Outcome.UNANSWERED),
        (503, '{"errors":"not a list"}', Outcome.UNANSWERED),
        (302, "", Outcome.UNANSWERED),
    ],
)
def test_each_status_has_one_outcome(
    http: responses.RequestsMock, client: OneSignalClient, status: int, body: str, outcome: Outcome
) -> None:
    http.patch(user_url("u1"), status=status, body=body)
    assert client.write_tags(recipient="u1", tags={"cs_1": True}).outcome is outcome


def test_a_throttled_answer_says_when_to_come_back(http: responses.RequestsMock, client: OneSignalClient) -> None:
    http.patch(user_url("u1"), status=429, headers={"Retry-After": "7"})
    assert client.write_tags(recipient="u1", tags={}).retry_after_seconds == 7.0


@pytest.mark.parametrize("error", [requests.ReadTimeout(), requests.ConnectionError("reset")])
def test_a_request_without_an_answer_may_have_been_stored(
    http: responses.RequestsMock, client: OneSignalClient, error: Exception
) -> None:
    http.patch(user_url("u1"), body=error)
    answer = client.write_tags(recipient="u1", tags={})
    assert answer.outcome is Outcome.UNANSWERED
    assert f"could not be reached at {API}" in answer.sentence


def test_a_request_that_never_left_cannot_have_been_stored(settings: Any) -> None:
    settings.HTTP_CONNECT_TIMEOUT_SECONDS = 0.5
    nobody = OneSignalClient(Account("http://127.0.0.1:9", APP, "k"))
    assert nobody.write_tags(recipient="u1", tags={}).outcome is Outcome.UNSENT


def test_the_key_is_proved_on_the_segments_endpoint(http: responses.RequestsMock, client: OneSignalClient) -> None:
    http.get(SEGMENTS, status=403, json={"errors": [DENIED]})
    with pytest.raises(CredentialRefused) as refused:
        client.check()
    assert refused.value.sentence.startswith(f"OneSignal refused the API Key for app {APP}: “Access denied.")
    assert "os_v2_app_secret" not in refused.value.sentence


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, '{"errors":["Request is malformed: Failed to parse app_id from request"]}', CredentialRefused),
        (404, '{"errors":["Couldn\'t find app"]}', CredentialRefused),
        (429, "", Temporary),
        (503, '{"errors":["Service temporarily unavailable"]}', Temporary),
        (200, "<html>a captive portal</html>", Unreachable),
        (418, "", Permanent),
    ],
)
def test_any_other_answer_to_the_proof_is_said_in_words(
    http: responses.RequestsMock, client: OneSignalClient, status: int, body: str, error: type[Exception]
) -> None:
    http.get(SEGMENTS, status=status, body=body)
    with pytest.raises(error):
        client.check()


def test_segments_are_read_page_by_page(http: responses.RequestsMock, client: OneSignalClient) -> None:
    rows = [{"id": str(uuid.UUID(int=number)), "name": f"s{number}", "is_active": True} for number in range(301)]
    http.get(SEGMENTS, json={"total_count": 301, "segments": rows[:300]})
    http.get(SEGMENTS, json={"total_count": 301, "segments": rows[300:]})
    assert len(client.segments()) == 301
    assert "offset=300" in (http.calls[1].request.url or "")


def test_a_taken_name_gets_a_number(http: responses.RequestsMock, client: OneSignalClient) -> None:
    http.post(SEGMENTS, status=400, json={"success": False, "errors": ["Segment name is already taken."]})
    http.post(SEGMENTS, status=201, json={"success": True, "id": str(SEGMENT)})
    assert client.create_segment(segment_id=SEGMENT, name="Pro", tag="cs_1") == "Pro (2)"


def test_an_id_that_is_taken_is_told_apart(http: responses.RequestsMock, client: OneSignalClient) -> None:
    http.post(SEGMENTS, status=409, json={"errors": ["Segment with the given id already exists."]})
    with pytest.raises(SegmentIdTaken):
        client.create_segment(segment_id=SEGMENT, name="Pro", tag="cs_1")


def test_a_segment_that_is_gone_cannot_be_renamed(http: responses.RequestsMock, client: OneSignalClient) -> None:
    http.patch(f"{SEGMENTS}/{SEGMENT}", status=404, json={"success": False, "errors": ["segment not found"]})
    with pytest.raises(SegmentGone):
        client.rename_segment(segment_id=SEGMENT, name="New")


def test_a_refused_segment_is_no_refused_key(http: responses.RequestsMock, client: OneSignalClient) -> None:
    http.delete(f"{SEGMENTS}/{SEGMENT}", status=400, json={"errors": ["used by an active Journey"]})
    with pytest.raises(Permanent, match="used by an active Journey") as refused:
        client.delete_segment(segment_id=SEGMENT)
    assert not isinstance(refused.value, CredentialRefused)


@pytest.mark.parametrize(
    ("status", "words", "beginning"),
    [
        (
            403,
            "This API is not available for applications on your plan.",
            "App may not submit cohort updates from Mixpanel",
        ),
        (422, "You have reached the maximum number of segments allowed for your plan.", "OneSignal refused to create"),
    ],
)
def test_a_plan_that_is_too_small_is_said_in_onesignals_words(
    http: responses.RequestsMock, client: OneSignalClient, status: int, words: str, beginning: str
) -> None:
    http.post(SEGMENTS, status=status, json={"errors": [words]})
    with pytest.raises(Permanent) as refused:
        client.create_segment(segment_id=SEGMENT, name="Pro", tag="cs_1")
    assert refused.value.sentence.startswith(beginning)
    assert words in refused.value.sentence


def test_a_rename_that_a_journey_forbids_is_a_warning(http: responses.RequestsMock, client: OneSignalClient) -> None:
    http.patch(f"{SEGMENTS}/{SEGMENT}", status=400, json={"errors": ["used by an active Journey"]})
    assert "keeps its old name" in (client.rename_segment(segment_id=SEGMENT, name="New") or "")


def test_deleting_a_segment_that_is_gone_is_done(http: responses.RequestsMock, client: OneSignalClient) -> None:
    http.delete(f"{SEGMENTS}/{SEGMENT}", status=404, json={"success": False})
    client.delete_segment(segment_id=SEGMENT)


def test_a_name_is_cut_to_leave_room_for_its_number() -> None:
    assert segment_name("x" * 300, 1) == "x" * 128
    assert segment_name("x" * 300, 2) == "x" * 124 + " (2)"
    assert segment_name("short", 3) == "short (3)"


def test_the_key_is_in_no_representation() -> None:
    assert "secret" not in repr(Account(API, APP, "os_v2_app_secret"))
