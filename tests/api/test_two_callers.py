"""Two callers at the same moment: one of them may lose, and is told so; nothing is half done."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from cohorts.models import Cohort
from integrations.models import Sync
from tests.api.cast import calling, make_account, make_connection
from tests.cast import make_cohort, make_project, property_definition

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 6


def at_once(*calls: Callable[[], Any]) -> list[int]:
    """Make the calls from a thread each and return their status codes."""

    def run(call: Callable[[], Any]) -> int:
        try:
            return int(call().status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def test_a_cohort_deleted_while_it_is_exported_is_either_gone_or_exported() -> None:
    project = make_project()
    account, connection = make_account(project), make_connection(project)
    for _ in range(ROUNDS):
        cohort = make_cohort(project)
        body = {"cohort_id": cohort.pk, "connection_id": connection.pk, "mode": "dynamic"}

        deleted, exported = at_once(
            lambda: calling(account).call("DELETE", f"cohorts/{cohort.pk}"),  # noqa: B023 - called in this round
            lambda: calling(account).call("POST", "syncs", body),  # noqa: B023 - called in this round
        )

        assert (deleted, exported) in {(204, 404), (204, 409), (409, 201)}
        assert Cohort.objects.filter(pk=cohort.pk).exists() == (exported == 201)
        assert Sync.objects.filter(cohort_id=cohort.pk).exists() == (exported == 201)


def test_two_deletions_of_one_cohort_delete_it_once() -> None:
    project = make_project()
    account, cohort = make_account(project), make_cohort(project)

    statuses = at_once(*[lambda: calling(account).call("DELETE", f"cohorts/{cohort.pk}")] * 2)

    assert sorted(statuses) == [204, 404]


def test_two_edits_are_two_versions() -> None:
    project = make_project()
    account, cohort = make_account(project), make_cohort(project)

    def edit(value: str) -> Callable[[], Any]:
        body = {"definition": property_definition(value=value)}
        return lambda: calling(account).call("PATCH", f"cohorts/{cohort.pk}", body)

    assert at_once(edit("team"), edit("free")) == [200, 200]
    cohort.refresh_from_db()
    assert cohort.version == 3


def test_two_exports_of_one_pair_are_one_sync() -> None:
    project = make_project()
    account, connection, cohort = make_account(project), make_connection(project), make_cohort(project)
    body = {"cohort_id": cohort.pk, "connection_id": connection.pk, "mode": "dynamic"}

    statuses = at_once(*[lambda: calling(account).call("POST", "syncs", body)] * 3)

    assert sorted(statuses) == [200, 200, 201]
    assert Sync.objects.get().runs.count() == 1
