"""The data health page: what was refused, why, what to do about it; filters, samples, the empty states."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cohorts.models import Project
from cohorts.refusals import Reason, RefusedRecord, record_refusals
from cohorts.remedies import remedy_of
from tests.ingest.wire import event, send
from tests.pages.words import text_of

EVIL = '<img src=x onerror="alert(1)">'


def refuse(project: Project, reason: str, *, endpoint: str = "/track", days_ago: int = 0, count: int = 1) -> None:
    refusals = [RefusedRecord(n, reason, "", f"message {EVIL}", "", f"record {EVIL}") for n in range(count)]  # type: ignore[arg-type]
    now = timezone.now() - dt.timedelta(days=days_ago)
    with database.cursor() as cursor:
        record_refusals(cursor, project_id=project.pk, endpoint=endpoint, refusals=refusals, now=now)


def open_page(client: Client, project: Project, **choice: Any) -> Any:
    answer = client.get(reverse("data-health", args=[project.pk]), choice)
    assert answer.status_code == 200
    return answer


def test_what_a_sender_sent_wrong_is_there_with_what_to_do_about_it(as_consumer: Client, shop: Project) -> None:
    send(Client(), "/track", [event(shop, "Old", time=1_000_000_000), event(shop, "New")])
    text = text_of(open_page(as_consumer, shop))
    assert Reason.TIME_TOO_OLD in text
    assert remedy_of(Reason.TIME_TOO_OLD).sentence in text
    assert '"event":"Old"' in text
    assert "Records refused 1" in text
    assert "Events accepted today 1" in text


def test_identity_refusals_are_counted_apart_and_say_that_the_record_was_stored(
    as_owner: Client, shop: Project
) -> None:
    refuse(shop, "errAliasAlreadyExists", count=3)
    refuse(shop, Reason.NOT_JSON, count=2)
    text = text_of(open_page(as_owner, shop))
    assert "Records refused 2" in text
    assert "Links between ids refused 3" in text
    assert "The alias belongs to somebody already" in text
    assert "errAliasAlreadyExists" in text


def test_nothing_of_a_sample_becomes_markup(as_owner: Client, shop: Project) -> None:
    refuse(shop, Reason.NOT_JSON)
    page = open_page(as_owner, shop)
    assert EVIL not in page.content.decode()
    assert EVIL in text_of(page) or "onerror" in text_of(page)


def test_days_endpoint_and_reason_narrow_what_is_shown(as_owner: Client, shop: Project) -> None:
    refuse(shop, Reason.NOT_JSON, count=2)
    refuse(shop, Reason.NOT_JSON, count=30, endpoint="/import")
    refuse(shop, Reason.TOO_DEEP, count=400, days_ago=3)
    today = timezone.now().date()
    assert "Records refused 432" in text_of(open_page(as_owner, shop))
    assert "Records refused 32" in text_of(open_page(as_owner, shop, **{"from": today, "to": today}))
    assert "Records refused 30" in text_of(open_page(as_owner, shop, endpoint="/import"))
    assert "Records refused 400" in text_of(open_page(as_owner, shop, reason=Reason.TOO_DEEP))


@pytest.mark.parametrize(
    "choice",
    [
        {"from": "yesterday", "to": "2026-02-31"},
        {"from": "9999-12-31", "to": "0001-01-01"},
        {"endpoint": "/nowhere\0", "reason": "\0"},
    ],
)
def test_a_choice_that_makes_no_sense_is_a_page_all_the_same(
    as_owner: Client, shop: Project, choice: dict[str, str]
) -> None:
    open_page(as_owner, shop, **choice)


def test_when_nothing_was_refused_the_page_says_so(as_owner: Client, shop: Project) -> None:
    assert "Nothing has come in today either" in text_of(open_page(as_owner, shop))
    send(Client(), "/track", [event(shop)])
    assert "Everything that came in on these days was taken." in text_of(open_page(as_owner, shop))
    assert "Nothing was refused for this choice" in text_of(open_page(as_owner, shop, endpoint="/import"))


def test_the_csv_has_what_the_page_is_about(as_analyst: Client, shop: Project) -> None:
    refuse(shop, Reason.NOT_JSON, count=2)
    refuse(shop, Reason.TOO_DEEP, count=5)
    page = open_page(as_analyst, shop, reason=Reason.NOT_JSON)
    answer: Any = as_analyst.get(page.context["csv_url"])
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(b"".join(answer).decode())))
    assert [(row["reason"], row["message"], row["record"]) for row in rows] == [
        (Reason.NOT_JSON, f"message {EVIL}", f"record {EVIL}")
    ] * 2


def test_a_consumer_reads_and_downloads_nothing(as_consumer: Client, shop: Project) -> None:
    refuse(shop, Reason.NOT_JSON)
    assert "Samples as CSV" not in text_of(open_page(as_consumer, shop))
    assert as_consumer.get(reverse("data-health-csv", args=[shop.pk])).status_code == 403
