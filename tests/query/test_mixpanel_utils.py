"""What mixpanel-utils sends to export a cohort's people, byte by byte, and that it gets what it reads.

Recorded from version 2.2.7 against a running `make up`, `formatted_api` pointed there; so the tool itself exported
2,499 members on three pages to JSON and CSV.
"""

from __future__ import annotations

import json
import math

from django.test import Client

from cohorts.models import Project
from tests.api.cast import basic, make_account
from tests.cast import make_cohort
from tests.cohorts.people import store
from tests.query.asking import FORM
from tests.reference_evaluator import Human

FIRST_PAGE = b"GET /api/2.0/engage?filter_by_cohort=%7B%22id%22%3A+COHORT%7D&project_id=PROJECT"
FURTHER_PAGE = FIRST_PAGE + b"&session_id=SESSION&page=PAGE"
SOME_PROPERTIES = (
    b"GET /api/2.0/engage?filter_by_cohort=%7B%22id%22%3A+COHORT%7D"
    b"&output_properties=%5B%22plan%22%2C+%22%24email%22%2C+%22%24last_seen%22%5D&project_id=PROJECT"
)
WHERE = (
    b"GET /api/2.0/engage?where=properties%5B%22plan%22%5D+%3D%3D+%22pro%22+and+properties%5B%22n%22%5D+%3C+100"
    b"&project_id=PROJECT"
)
COHORTS = b"POST /api/2.0/cohorts/list\r\n\r\nproject_id=PROJECT"


def test_recorded_requests_export_a_cohort(client: Client, shop: Project) -> None:
    store(shop, [Human(f"u{number:05}", {"plan": "pro", "n": number}) for number in range(1, 2500)])
    cohort = make_cohort(shop)
    account = make_account(shop)
    header = {"HTTP_AUTHORIZATION": basic(account.username, account.username[::-1])}
    names = {b"COHORT": str(cohort.pk), b"PROJECT": str(shop.pk)}

    def replay(recorded: bytes) -> object:
        for name, value in names.items():
            recorded = recorded.replace(name, value.encode())
        line, _, body = recorded.partition(b"\r\n\r\n")
        method, _, address = line.decode().partition(" ")
        if method == "GET":
            response = client.get(address, **header)  # type: ignore[arg-type]
        else:
            response = client.post(address, body, content_type=FORM, **header)  # type: ignore[arg-type]
        assert response.status_code == 200, response.content
        return json.loads(response.content)

    first = replay(FIRST_PAGE)
    assert isinstance(first, dict)
    names[b"SESSION"] = first["session_id"]
    pages = [first]
    # As its paginator counts them.
    for number in range(first["page"] + 1, math.ceil(first["total"] / float(first["page_size"]))):
        names[b"PAGE"] = str(number)
        page = replay(FURTHER_PAGE)
        assert isinstance(page, dict)
        pages.append(page)
    exported = [each["$distinct_id"] for page in pages for each in page["results"]]
    assert exported == [f"u{number:05}" for number in range(1, 2500)]

    some = replay(SOME_PROPERTIES)
    assert isinstance(some, dict)
    assert some["results"][0] == {"$distinct_id": "u00001", "$properties": {"plan": "pro"}}
    where = replay(WHERE)
    assert isinstance(where, dict)
    assert where["total"] == 99
    listed = replay(COHORTS)
    assert isinstance(listed, list)
    assert [each["id"] for each in listed] == [cohort.pk]
