"""The bytes that the real clients sent: each gets the answer it was content with, and what they mean is stored."""

from __future__ import annotations

import json

import pytest

from cohorts.models import Cohort, Project
from tests.cast import make_people, property_definition
from tests.clients.conftest import Replay
from tests.clients.expected import CHECKS
from tests.clients.live import EXPORTED
from tests.clients.recordings import Recording, read_recording
from tests.clients.walking import CLIENTS


@pytest.fixture
def recording(client_name: str) -> Recording:
    return read_recording(client_name)


# An export's answer is not the recorder's: its session is made up, and `test_an_export_holds_the_cohort` looks into it.
ANSWERED_ALIKE = [key for key in CHECKS if key != ("utils", "export")]


@pytest.mark.parametrize(("client_name", "part"), [pytest.param(*key, id="-".join(key)) for key in ANSWERED_ALIKE])
def test_each_client_gets_its_answer_and_its_records_are_stored(
    recording: Recording, target: Project, replay: Replay, client_name: str, part: str
) -> None:
    exchanges = recording.parts[part]
    assert exchanges
    for exchange in exchanges:
        answer = replay(exchange)
        assert (answer.status, answer.body) == (exchange.status, exchange.answer), exchange.path
        if origin := exchange.headers.get("Origin"):  # or the browser keeps the answer from the page
            assert answer.headers["Access-Control-Allow-Origin"] == origin
            assert answer.headers["Access-Control-Allow-Credentials"] == "true"
            assert "Origin" in answer.headers["Vary"]
    CHECKS[client_name, part](target)


@pytest.mark.parametrize("client_name", ["utils"])
def test_an_export_holds_the_cohort(recording: Recording, target: Project, replay: Replay, client_name: str) -> None:
    make_people(target, EXPORTED)
    cohort_id = int(recording.target["cohort_id"])
    Cohort.objects.create(pk=cohort_id, project=target, name="Pro users", definition=property_definition())
    by_cohort, by_expression = recording.parts["export"]
    for exchange in (by_cohort, by_expression):
        answer = replay(exchange)
        page = json.loads(answer.body)
        assert (answer.status, page["status"], page["page"], page["total"]) == (200, "ok", 0, 2), page
        exported = [person["$distinct_id"] for person in page["results"]]
        assert exported == recording.target["cohort_people"].split(",")
        assert {person["$properties"]["plan"] for person in page["results"]} == {"pro"}
    CHECKS[client_name, "export"](target)


@pytest.mark.parametrize("client_name", [each.name for each in CLIENTS])
def test_the_recording_is_of_the_version_that_is_walked_live(recording: Recording, client_name: str) -> None:
    walked = next(each for each in CLIENTS if each.name == client_name)
    assert (recording.client, recording.version) == (walked.package, walked.version)
    assert set(recording.parts) == set(walked.parts)
