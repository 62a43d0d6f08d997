"""A project that the recorded bytes name, at the time when they were recorded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest
import time_machine
from django.test import Client

from cohorts.models import Project
from tests.clients.cast import make_target
from tests.clients.recordings import Exchange, Recording

pytest.register_assert_rewrite("tests.clients.expected")


@dataclass(frozen=True)
class Answered:
    """What the product answered."""

    status: int
    body: bytes
    headers: Mapping[str, str]


Replay = Callable[[Exchange], Answered]


@pytest.fixture
def replay(client: Client) -> Replay:
    """Send a recorded request to the letter."""

    def send(exchange: Exchange) -> Answered:
        headers = dict(exchange.headers)
        content_type = headers.pop("Content-Type", "")
        answer = client.generic(
            exchange.method, exchange.path, exchange.body, content_type=content_type, headers=headers
        )
        return Answered(answer.status_code, answer.content, dict(answer.headers))

    return send


@pytest.fixture
def target(db: None, recording: Recording) -> Iterator[Project]:
    """The project; /track takes the events of the last days only, so the clock stands where it stood then."""
    told = recording.target
    project = make_target(
        token=told["token"],
        username=told["username"],
        password=told["password"],
        project_id=int(told["project_id"]),
    )
    with time_machine.travel(recording.recorded_at + dt.timedelta(seconds=1)):
        yield project
