"""Who gets in: service accounts by HTTP Basic, people by session and CSRF token, and how often."""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets

import pytest
import time_machine
from pytest_django import Settings

from cohortsync.api import limits
from tests.api.cast import Caller, basic, browsing, calling, make_account, make_member
from tests.api.conftest import Premises
from tests.cast import property_definition

NEW_COHORT = {"name": "New", "definition": property_definition()}


@pytest.mark.parametrize(
    "header",
    [
        basic("nobody", "secret"),
        basic("", ""),
        basic("with\0nul", "secret"),
        basic("no-colon", "")[:-4],
        "Basic %%%",
        "Basic",
        "Bearer something",
        "",
    ],
)
def test_bad_credentials_are_refused_with_the_way_in(shop: Premises, header: str) -> None:
    answer = Caller(shop.project).call("GET", "cohorts", HTTP_AUTHORIZATION=header)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="CohortSync", charset="UTF-8"'
    assert answer.json()["title"] == "Unauthorized"


def test_a_wrong_secret_is_refused(shop: Premises) -> None:
    account = make_account(shop.project)

    answer = Caller(shop.project).call("GET", "cohorts", HTTP_AUTHORIZATION=basic(account.username, "wrong"))

    assert answer.status_code == 401


def test_an_expired_account_is_refused(shop: Premises) -> None:
    expires_at = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    caller = calling(make_account(shop.project, expires_at=expires_at))

    with time_machine.travel(expires_at - dt.timedelta(seconds=1), tick=False):
        assert caller.call("GET", "cohorts").status_code == 200
    with time_machine.travel(expires_at, tick=False):
        assert caller.call("GET", "cohorts").status_code == 401


def test_a_person_reads_by_session(shop: Premises) -> None:
    caller = browsing(make_member(shop.project, "consumer"), shop.project, has_csrf=False)

    assert caller.call("GET", "cohorts").status_code == 200


def test_a_person_changes_something_only_with_the_csrf_token(shop: Premises) -> None:
    person = make_member(shop.project, "analyst")

    without = browsing(person, shop.project, has_csrf=False).call("POST", "cohorts", NEW_COHORT)
    with_token = browsing(person, shop.project).call("POST", "cohorts", NEW_COHORT)

    assert without.status_code == 403
    assert without.headers["Content-Type"] == "application/problem+json"
    assert "X-CSRFToken" in without.json()["detail"]
    assert with_token.status_code == 201
    assert shop.project.cohorts.filter(name="New").count() == 1


def test_bad_credentials_do_not_fall_back_to_the_session(shop: Premises) -> None:
    caller = browsing(make_member(shop.project), shop.project)

    answer = caller.call("GET", "cohorts", HTTP_AUTHORIZATION=basic("nobody", "secret"))

    assert answer.status_code == 401


def test_somebody_who_was_switched_off_is_out(shop: Premises) -> None:
    person = make_member(shop.project)
    caller = browsing(person, shop.project)
    person.is_active = False
    person.save()

    assert caller.call("GET", "cohorts").status_code == 401


def test_an_operator_who_is_no_member_is_a_stranger(shop: Premises, rival: Premises) -> None:
    operator = make_member(rival.project)
    operator.is_staff = operator.is_superuser = True
    operator.save()

    assert browsing(operator, shop.project).call("GET", "cohorts").status_code == 404


def test_a_service_account_is_slowed_down_alone(shop: Premises, settings: Settings) -> None:
    settings.API_MAX_REQUESTS_PER_MINUTE = 3
    busy, calm = calling(make_account(shop.project)), calling(make_account(shop.project))

    statuses = [busy.call("GET", "cohorts").status_code for _ in range(4)]
    refused = busy.call("GET", "cohorts")

    assert statuses == [200, 200, 200, 429]
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert calm.call("GET", "cohorts").status_code == 200


def test_wrong_credentials_are_slowed_down_by_address(shop: Premises, settings: Settings) -> None:
    settings.API_MAX_FAILED_LOGINS_PER_MINUTE = 2
    # Not seen before, whatever ran a minute ago.
    address, another = (str(ipaddress.IPv6Address(secrets.token_bytes(16))) for _ in range(2))
    guess = {"HTTP_AUTHORIZATION": basic("nobody", "guess"), "REMOTE_ADDR": address}
    caller = Caller(shop.project)

    statuses = [caller.call("GET", "cohorts", **guess).status_code for _ in range(3)]
    elsewhere = caller.call("GET", "cohorts", **{**guess, "REMOTE_ADDR": another})
    good = shop.admin.call("GET", "cohorts", REMOTE_ADDR=address)

    assert statuses == [401, 401, 429]
    assert elsewhere.status_code == 401
    assert good.status_code == 200


def test_requests_pass_while_redis_is_away(shop: Premises, settings: Settings) -> None:
    settings.API_MAX_REQUESTS_PER_MINUTE = 1
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    limits._limiter.cache_clear()
    try:
        statuses = [shop.admin.call("GET", "cohorts").status_code for _ in range(3)]
    finally:
        limits._limiter.cache_clear()

    assert statuses == [200, 200, 200]
