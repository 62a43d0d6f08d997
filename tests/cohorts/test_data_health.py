"""Refusals by reason and day add up, have words, are kept as long as said, and leave as CSV that harms nobody."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection as database

from cohorts.data_health import (
    HEADER,
    Wanted,
    by_day,
    by_reason,
    endpoints_and_reasons,
    kept_since,
    sample_rows,
    sweep_refusals,
)
from cohorts.models import Project, Refusal
from cohorts.refusals import Reason, RefusedRecord, record_refusals
from cohorts.remedies import remedy_of
from cohorts.tasks import sweep_refusals as sweep_task
from tests.cast import at, make_project

NOW = at("2026-11-25T10:00:00")
TODAY = NOW.date()
WEEK = Wanted(TODAY - dt.timedelta(days=6), TODAY)


@pytest.fixture
def shop(db: None) -> Project:
    return make_project("Shop")


def refuse(
    project: Project,
    reason: str = Reason.TIME_TOO_OLD,
    *,
    count: int = 1,
    endpoint: str = "/track",
    days_ago: int = 0,
    message: str = "too old",
    sample: str = '{"event":"A"}',
) -> None:
    """Refuse records as a request does."""
    refusals = [RefusedRecord(n, reason, "", message, "", sample) for n in range(count)]  # type: ignore[arg-type]
    with database.cursor() as cursor:
        now = NOW - dt.timedelta(days=days_ago)
        record_refusals(cursor, project_id=project.pk, endpoint=endpoint, refusals=refusals, now=now)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_known_reason_has_a_sentence_of_its_own(reason: Reason) -> None:
    remedy, unknown = remedy_of(reason), remedy_of("A reason of tomorrow")
    assert remedy.sentence != unknown.sentence
    assert remedy.sentence.endswith(".")
    assert remedy.title


def test_mixpanels_words_for_identity_get_a_title() -> None:
    for word in ("errAliasAlreadyExists", "errManyIDs", "errSameIDs"):
        assert remedy_of(word).is_about_identity
        assert not remedy_of(word).title.startswith("err")
    assert not remedy_of(Reason.TIME_TOO_OLD).is_about_identity


def test_a_reason_nobody_knows_yet_is_shown_as_it_is(shop: Project) -> None:
    refuse(shop, "errOfTomorrow")
    refuse(shop, "Something new")
    identity, record = sorted(by_reason(shop, WEEK), key=lambda each: each.reason, reverse=True)
    assert (identity.remedy.title, identity.remedy.is_about_identity) == ("errOfTomorrow", True)
    assert (record.remedy.title, record.remedy.is_about_identity) == ("Something new", False)
    assert record.remedy.sentence


def test_reasons_are_summed_over_days_and_endpoints_the_most_frequent_first(shop: Project) -> None:
    refuse(shop, count=2, days_ago=3)
    refuse(shop, count=3, endpoint="/import")
    refuse(shop, "errManyIDs", count=9, days_ago=1)
    refuse(make_project("Other"), count=50)
    many, old = by_reason(shop, WEEK)
    assert (many.reason, many.count, many.endpoints) == ("errManyIDs", 9, ["/track"])
    assert (old.reason, old.count, old.endpoints, old.last_at) == (Reason.TIME_TOO_OLD, 5, ["/import", "/track"], NOW)


def test_days_add_up_to_the_reasons_and_quiet_days_are_zero(shop: Project) -> None:
    refuse(shop, count=2, days_ago=3)
    refuse(shop, "errManyIDs", count=4, days_ago=3)
    refuse(shop, count=1)
    refuse(shop, count=99, days_ago=7)
    days = by_day(shop, WEEK)
    assert [(day.records, day.identities) for day in days] == [(0, 0)] * 3 + [(2, 4)] + [(0, 0)] * 2 + [(1, 0)]
    assert sum(day.records + day.identities for day in days) == sum(each.count for each in by_reason(shop, WEEK))


def test_a_choice_narrows_everything(shop: Project) -> None:
    refuse(shop, count=2)
    refuse(shop, count=3, endpoint="/import")
    refuse(shop, Reason.NOT_JSON, count=4, endpoint="/import")
    wanted = Wanted(TODAY, TODAY, endpoint="/import", reason=Reason.TIME_TOO_OLD)
    assert [each.count for each in by_reason(shop, wanted)] == [3]
    assert [day.records for day in by_day(shop, wanted)] == [3]
    assert len(list(sample_rows(shop, wanted))) == 1 + 3
    assert endpoints_and_reasons(shop) == (["/import", "/track"], [Reason.NOT_JSON, Reason.TIME_TOO_OLD])


def test_a_list_shows_few_samples_of_the_newest_day_and_one_reason_alone_all(shop: Project) -> None:
    refuse(shop, count=9, days_ago=2, message="of the day before yesterday")
    refuse(shop, count=9, message="of today")
    (listed,) = by_reason(shop, WEEK)
    assert [sample.message for sample in listed.samples] == ["of today"] * 3
    (alone,) = by_reason(shop, Wanted(WEEK.first_date, TODAY, reason=Reason.TIME_TOO_OLD))
    assert len(alone.samples) == 9
    assert (alone.samples[0].refused_at, alone.samples[0].record) == (NOW, '{"event":"A"}')


def test_the_csv_has_every_sample_and_no_formula(shop: Project) -> None:
    refuse(shop, count=2, sample="=HYPERLINK(1)", message="-1 is no time")
    refuse(shop, days_ago=1, endpoint="/import")
    header, *rows = sample_rows(shop, WEEK)
    assert tuple(header) == HEADER
    assert [row[:3] for row in rows] == [
        ("2026-11-25", "/track", Reason.TIME_TOO_OLD),
        ("2026-11-25", "/track", Reason.TIME_TOO_OLD),
        ("2026-11-24", "/import", Reason.TIME_TOO_OLD),
    ]
    assert rows[0][3:] == (NOW.isoformat(), "'-1 is no time", "'=HYPERLINK(1)")


def test_what_is_older_than_the_days_kept_is_swept_in_all_projects(shop: Project, settings: Any) -> None:
    settings.REFUSALS_KEPT_DAYS = 3
    other = make_project("Other")
    for project in (shop, other):
        for days_ago in range(5):
            refuse(project, days_ago=days_ago)
    assert kept_since(NOW) == dt.date(2026, 11, 23)
    assert sweep_refusals(now=NOW) == 4
    assert sweep_refusals(now=NOW) == 0
    assert {row.refused_date.day for row in Refusal.objects.all()} == {23, 24, 25}


def test_beat_sweeps(shop: Project, settings: Any) -> None:
    refuse(shop, days_ago=4000)
    (entry,) = [each for each in settings.CELERY_BEAT_SCHEDULE.values() if each["task"] == sweep_task.name]
    assert entry["schedule"] <= 24 * 3600
    sweep_task()
    assert not Refusal.objects.exists()
