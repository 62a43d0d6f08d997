"""The list of cohorts: those that the program sees, in Mixpanel's shape."""

from __future__ import annotations

import datetime as dt

import pytest

from cohorts.models import Cohort, Project
from tests.api.cast import make_member
from tests.cast import make_cohort, make_project
from tests.query.asking import Asker


@pytest.mark.parametrize("path", ["/api/query/cohorts/list", "/api/query/cohorts/list/", "/api/2.0/cohorts/list"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_shared_cohorts_are_listed(shop: Project, reader: Asker, path: str, method: str) -> None:
    counted, fresh = make_cohort(shop, "Pro users"), make_cohort(shop, "Fresh")
    made_at = dt.datetime(2026, 3, 19, 23, 49, 51, 7, tzinfo=dt.UTC)
    Cohort.objects.filter(project=shop).update(created_at=made_at)
    Cohort.objects.filter(pk=counted.pk).update(count=150, counted_at=made_at, description="They pay")
    private = make_cohort(shop, "Private")
    Cohort.objects.filter(pk=private.pk).update(visibility="private", created_by=make_member(shop))
    make_cohort(make_project("Rival"))

    response = reader.ask(path, method=method, project_id=shop.pk)

    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    shared = {"is_visible": 1, "created": "2026-03-19 23:49:51", "project_id": shop.pk}
    assert response.json() == [
        {"id": counted.pk, "name": "Pro users", "description": "They pay", "count": 150, **shared},
        {"id": fresh.pk, "name": "Fresh", "description": "", "count": 0, **shared},
    ]
