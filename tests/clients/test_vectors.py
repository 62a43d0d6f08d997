"""The vectors of the contract, 1.11, over HTTP: what each client sent to the letter, its answer, and what is stored."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
import time_machine
from django.test import Client

from cohorts.models import MatchProperty, Project
from tests.cast import MATCH_PROPERTY
from tests.ingest.test_body import NODE_BATCH, NODE_GET, PYTHON_DELETE, PYTHON_TRACK
from tests.ingest.wire import people, send, stored, update

FORM = "application/x-www-form-urlencoded"
# When they were captured; /track takes the last days only.
CAPTURED_AT = 1_795_435_100


@pytest.fixture
def tok(db: None) -> Project:
    """The project of the vectors."""
    project = Project.objects.create(name="Vectors", token="tok")
    MatchProperty.objects.create(project=project, name=MATCH_PROPERTY)
    return project


def test_python_track(client: Client, tok: Project) -> None:
    with time_machine.travel(CAPTURED_AT):
        answer = client.post("/track", PYTHON_TRACK, content_type=FORM)
    assert json.loads(answer.content)["status"] == 1
    (row,) = stored(tok)
    assert (row.name, row.distinct_id, row.insert_id, row.properties) == ("E", "u1", "c17444b7", {"a": "ä b"})


def test_python_delete(client: Client, tok: Project) -> None:
    send(client, "/engage", update(tok, "u1", set={"a": 1}))
    assert people(tok) == {"u1": {"a": 1}}
    answer = client.post("/engage", PYTHON_DELETE, content_type=FORM)
    assert json.loads(answer.content)["status"] == 1
    assert people(tok) == {"u1": {}}


def test_node_track(client: Client, tok: Project) -> None:
    assert client.get(f"/track?{NODE_GET.decode()}").content == b"1"
    (row,) = stored(tok)
    assert (row.name, row.distinct_id, row.insert_id) == ("E", "u1", None)
    assert row.properties == {"s": ">>>???~~~", "mp_lib": "node", "$lib_version": "0.24.0"}


def test_node_batch_with_literal_pluses(client: Client, tok: Project) -> None:
    answer = client.post("/track?ip=0&verbose=0", NODE_BATCH, content_type=FORM)
    assert answer.content == b"1"
    (row,) = stored(tok)
    assert (row.name, row.distinct_id, row.properties) == ("X", "u", {"s": ">>>???~~~ÿ"})


def test_node_alias_is_stored_as_an_event(client: Client, tok: Project) -> None:
    event = {"event": "$create_alias", "properties": {"distinct_id": "u1", "alias": "u2", "token": "tok"}}
    data = quote(base64.b64encode(json.dumps(event).encode()))
    assert client.get(f"/track?ip=0&verbose=0&data={data}").content == b"1"
    assert [row.name for row in stored(tok)] == ["$create_alias"]
