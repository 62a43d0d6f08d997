"""How much a project may ask: so much an hour and so much at once, the pages of a session apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection
from pytest_django import Settings

from cohorts.models import PeopleSession, Project
from integrations.mixpanel.query import limits
from tests.cast import make_project
from tests.query.asking import Asker, asker_of


def test_one_query_too_many_an_hour_has_to_wait(shop: Project, reader: Asker, settings: Settings) -> None:
    settings.QUERY_MAX_PER_HOUR = 3
    session = reader.answer()["session_id"]
    assert reader.ask("/api/query/cohorts/list").status_code == 200
    assert reader.refusal(where="no expression")
    # Another program of the same project.
    asker_of(shop).answer()

    for path in ("/api/query/engage", "/api/query/cohorts/list"):
        refused = reader.ask(path)
        assert refused.status_code == 429
        assert 0 < int(refused["Retry-After"]) <= 3600
        assert "3 queries an hour" in refused.json()["error"]
    # A paged session counted once, with its first page.
    assert reader.answer(session_id=session, page=1)["total"] == 0
    assert PeopleSession.objects.count() == 2
    # Another project.
    asker_of(make_project("Rival")).answer()


def test_no_hourly_limit_is_no_limit(reader: Asker, settings: Settings) -> None:
    settings.QUERY_MAX_PER_HOUR = 0
    for _ in range(5):
        reader.answer()


def test_without_redis_queries_pass(reader: Asker, settings: Settings) -> None:
    settings.QUERY_MAX_PER_HOUR = 1
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    limits._limiter.cache_clear()
    try:
        reader.answer()
        reader.answer()
    finally:
        limits._limiter.cache_clear()


@contextmanager
def others_asking(project: Project, count: int, settings: Settings) -> Iterator[None]:
    """So many queries of the project that are being answered on other connections."""
    others = [connection.copy() for _ in range(count)]
    try:
        for other in others:
            other.set_autocommit(False)
            with other.cursor() as cursor:
                cursor.execute(
                    "SELECT place FROM generate_series(1, %s) AS place"
                    " WHERE pg_try_advisory_xact_lock(%s, hashtext(%s || ' ' || place)) LIMIT 1",
                    [settings.QUERY_MAX_CONCURRENT, limits._LOCK_CLASS, str(project.pk)],
                )
                assert cursor.fetchone() is not None
        yield
    finally:
        for other in others:
            other.close()


@pytest.mark.django_db(transaction=True)
def test_one_query_too_many_at_once_has_to_wait(settings: Settings) -> None:
    settings.QUERY_MAX_CONCURRENT = 2
    shop = make_project()
    reader = asker_of(shop)
    with others_asking(shop, 1, settings):
        session = reader.answer()["session_id"]
    with others_asking(shop, 2, settings):
        refused = reader.ask()
        assert (refused.status_code, refused["Retry-After"]) == (429, "5")
        assert "2 queries of the project are being answered" in refused.json()["error"]
        reader.answer(session_id=session)
        asker_of(make_project("Rival")).answer()
    # Whoever asked has ended, or died: the places went with their connections.
    reader.answer()
