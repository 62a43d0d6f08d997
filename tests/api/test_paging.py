"""Lists come in pages, and nothing comes twice or is lost while others write."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.cast import Caller, make_connection, make_run, make_sync
from tests.api.conftest import Premises
from tests.cast import make_cohort, make_people, shoppers


def walk(caller: Caller, path: str, *, limit: int, between: Any = None) -> list[Any]:
    """Return all results of a list, read page by page; `between` is called after each page."""
    results, cursor = [], None
    while True:
        query = f"limit={limit}" + (f"&cursor={cursor}" if cursor else "")
        page = caller.call("GET", f"{path}{'&' if '?' in path else '?'}{query}").json()
        assert len(page["results"]) <= limit
        results += page["results"]
        cursor = page["next"]
        if cursor is None:
            return results
        if between:
            between()


def test_pages_in_the_order_of_ids_hold_everything_once(shop: Premises) -> None:
    ids = [shop.cohort.pk] + [make_cohort(shop.project, f"Cohort {number}").pk for number in range(6)]

    assert [cohort["id"] for cohort in walk(shop.admin, "cohorts", limit=3)] == ids


def test_a_page_that_is_exactly_full_is_the_last(shop: Premises) -> None:
    make_cohort(shop.project)

    assert shop.admin.call("GET", "cohorts?limit=2").json()["next"] is None


def test_nothing_comes_twice_while_cohorts_are_made_and_deleted(shop: Premises) -> None:
    cohorts = [make_cohort(shop.project, f"Cohort {number}") for number in range(6)]

    def write() -> None:
        make_cohort(shop.project, "Late")
        shop.project.cohorts.filter(pk=cohorts[0].pk).delete()

    seen = [cohort["id"] for cohort in walk(shop.admin, "cohorts", limit=4, between=write)]

    assert len(seen) == len(set(seen))
    assert {cohort.pk for cohort in cohorts} <= set(seen)


def test_runs_come_newest_first_and_new_ones_do_not_repeat_old_ones(shop: Premises) -> None:
    old = [shop.run.pk] + [make_run(shop.sync).pk for _ in range(5)]

    seen = [run["id"] for run in walk(shop.admin, "runs", limit=2, between=lambda: make_run(shop.sync))]

    assert seen == sorted(old, reverse=True)


def test_runs_of_one_sync_page_for_themselves(shop: Premises) -> None:
    other = make_sync(make_cohort(shop.project), make_connection(shop.project, "Other app"))
    for _ in range(3):
        make_run(shop.sync)
        make_run(other)

    runs = walk(shop.admin, f"runs?sync_id={other.pk}", limit=2)

    assert [run["sync_id"] for run in runs] == [other.pk] * 3
    cursor = shop.admin.call("GET", f"runs?sync_id={other.pk}&limit=1").json()["next"]
    assert shop.admin.call("GET", f"runs?limit=1&cursor={cursor}").status_code == 422


@pytest.mark.parametrize("listing", ["connections", "syncs"])
def test_other_lists_page_by_id_too(shop: Premises, listing: str) -> None:
    for number in range(4):
        make_sync(make_cohort(shop.project), make_connection(shop.project, f"App {number}"))

    seen = [row["id"] for row in walk(shop.admin, listing, limit=2)]

    assert seen == sorted(set(seen))
    assert len(seen) == 5


def test_members_page_without_repeating_anybody_while_people_come_and_go(shop: Premises) -> None:
    make_people(shop.project, shoppers([f"u{number}" for number in range(7)], plan="pro"))
    late = iter(range(100))

    def write() -> None:
        make_people(shop.project, shoppers([f"late{next(late)}"], plan="pro"))

    members = walk(shop.admin, f"cohorts/{shop.cohort.pk}/members", limit=3, between=write)
    seen = [member["distinct_id"] for member in members]

    assert len(seen) == len(set(seen))
    assert {f"u{number}" for number in range(7)} <= set(seen)


def test_a_list_costs_the_same_queries_however_long_it_is(shop: Premises, django_assert_max_num_queries: Any) -> None:
    for number in range(20):
        make_run(make_sync(make_cohort(shop.project), make_connection(shop.project, f"App {number}")))

    for listing in ("cohorts", "connections", "syncs", "runs"):
        with django_assert_max_num_queries(3):
            assert len(shop.admin.call("GET", listing).json()["results"]) == 21
