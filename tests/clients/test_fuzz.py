"""No request that schemathesis makes from the schemas is answered 5xx.

The requests are the same each time; `make clients ARGS=fuzz` seeks new ones over real HTTP.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import responses
from django.test import Client
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from pytest_django import Settings
from schemathesis import Case, GenerationMode, openapi
from schemathesis.core.result import Ok

from cohorts.models import Event, Person, Project, Refusal
from tests.clients.cast import make_target
from tests.clients.fuzzing import Surface, ingestion, rest_api
from tests.clients.live import make_rows
from tests.ingest.wire import basic

USERNAME, PASSWORD = "fuzzer", "a secret of thirty-two bytes or so"
# For each call of a schema: what the schema allows, and what it forbids.
EXAMPLES = {GenerationMode.POSITIVE: 20, GenerationMode.NEGATIVE: 8}


@pytest.fixture
def shop(db: None) -> Project:
    return make_target(token="0123456789abcdef0123456789abcdef", username=USERNAME, password=PASSWORD)


@pytest.fixture
def onesignal() -> Iterator[None]:
    """OneSignal's place: it refuses every key, whichever server is asked."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for method in ("GET", "POST", "PATCH", "DELETE"):
            mock.add(method, re.compile("https?://.*"), status=401, json={"errors": ["Access denied."]})
        yield


def send_all(surface: Surface) -> Counter[str]:
    """Send every request to the application; return how often each status came. Raises at the first of 5xx."""
    client = Client(raise_request_exception=False)
    account = basic(USERNAME, PASSWORD)["HTTP_AUTHORIZATION"]
    statuses: Counter[str] = Counter()

    def send(case: Case[Any]) -> None:
        made = requests.Request(**case.as_transport_kwargs(base_url="http://127.0.0.1")).prepare()
        address = urlsplit(made.url or "")
        path = f"{address.path}?{address.query}"
        headers = {
            **{name: value for name, value in made.headers.items() if name != "Cookie"},
            "Authorization": account,
        }
        kind = headers.pop("Content-Type", "")
        body = made.body or b""
        answer = client.generic(made.method or "", path, body, content_type=kind, headers=headers)
        assert answer.status_code < 500, (made.method, path, headers, body, answer.content)
        statuses[f"{made.method} {answer.status_code // 100}xx"] += 1

    for found in openapi.from_dict(surface.schema).get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if operation.method.upper() not in surface.methods:
            continue
        names = {parameter.name for parameter in operation.path_parameters}
        ids = {name: value for name, value in surface.ids.items() if name in names}
        for mode, count in EXAMPLES.items():
            cases = operation.as_strategy(generation_mode=mode, path_parameters=ids or None)
            rules = hypothesis_settings(
                max_examples=count,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            rules(given(case=cases)(send))()
    return statuses


def test_no_request_makes_a_route_of_mixpanel_fail(shop: Project, settings: Settings) -> None:
    settings.QUERY_MAX_PER_HOUR = settings.QUERY_MAX_CONCURRENT = 0
    statuses = send_all(ingestion(token=shop.token))
    assert statuses["POST 2xx"] > 50, statuses
    assert Event.objects.filter(project=shop).exists(), "no event got through, so nothing was tried"
    assert Person.objects.filter(project=shop).exclude(properties={}).exists(), "no profile got through"
    assert Refusal.objects.filter(project=shop).exists(), "nothing was refused"


def test_no_request_makes_the_public_api_fail(shop: Project, onesignal: None, settings: Settings) -> None:
    settings.API_MAX_REQUESTS_PER_MINUTE = settings.API_MAX_FAILED_LOGINS_PER_MINUTE = 1_000_000
    ids = make_rows(shop, onesignal_url="https://onesignal.test")
    document = Client().get("/api/v1/openapi.json").content
    statuses: Counter[str] = Counter()
    for surface in rest_api(document=document, ids=ids):
        statuses += send_all(surface)
    assert all(statuses[f"{method} 2xx"] for method in ("GET", "POST", "PATCH", "DELETE")), statuses
    assert all(statuses[f"{method} 4xx"] for method in ("GET", "POST", "PATCH", "DELETE")), statuses
