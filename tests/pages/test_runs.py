"""The page of a run says what the API says, in counts that add up, and what follows from how the run ended."""

from __future__ import annotations

import datetime as dt
import html
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cohorts.models import Project
from integrations.connections import disconnect
from integrations.models import Connection, Run, Sync
from integrations.syncs import cohort_changed, delete_sync, pause_sync
from tests.cast import make_cohort, make_people, property_definition, set_property, shoppers
from tests.pages.words import text_of
from tests.sandbox_app import SandboxApp
from tests.sync.conftest import short_clocks
from tests.sync.stories import connect_to, export, start_export, work, work_steps

__all__ = ["short_clocks"]

pytestmark = pytest.mark.django_db(transaction=True)
IN_A_PAGE = {"HX-Request": "true"}

_SUM = re.compile(r'<dl class="sum">(.*?)</dl>', re.DOTALL)
_TERM = re.compile(r"<dt>(.*?)</dt><dd>(.*?)</dd>", re.DOTALL)
# Where each number of the page stands in the API.
COVERAGE = {
    "Members": "members",
    "Matched profiles": "matched_profiles",
    "Without property": "without_match_property",
    "Invalid id": "invalid_id",
    "Anonymous": "anonymous",
    "Matched keys": "matched_keys",
}
COUNTS = {"Unchanged": "unchanged", "Added": "added", "Unmatched": "unmatched", "Rejected": "rejected"}


@pytest.fixture
def crm(onesignal: SandboxApp, shop: Project) -> Connection:
    onesignal.add_users("ann", "bob", "cat")
    return connect_to(onesignal, shop)


def url_of(run: Run, name: str = "run") -> str:
    return reverse(name, args=[run.project_id, run.pk])


def sums_of(page: Any) -> list[dict[str, int]]:
    """Return each sum on a run's page: the whole first, then its parts."""
    found = []
    for block in _SUM.findall(page.content.decode()):
        terms = {
            html.unescape(re.sub(r"<[^>]+>|[=+]", "", name)).strip(): int(number.replace(",", ""))
            for name, number in _TERM.findall(block)
        }
        found.append(terms)
    return found


def assert_page_equals_api(client: Client, run: Run) -> list[dict[str, int]]:
    """Compare every number of the page with the API; return the sums, each of which adds up."""
    told = client.get(f"/api/v1/projects/{run.project_id}/runs/{run.pk}").json()
    counts, coverage = told["counts"], told["coverage"]
    sums = sums_of(client.get(url_of(run)))
    expected = {
        **{name: coverage[field] for name, field in COVERAGE.items() if coverage[field] is not None},
        **{name: counts[field] for name, field in COUNTS.items()},
        "To add": counts["to_add"],
        "To remove": counts["to_remove"],
        "Removed": counts["removed"],
    }
    for terms in sums:
        whole, *parts = terms.values()
        assert whole == sum(parts), terms
        left = counts["left_to_remove" if "To remove" in terms else "left_to_add"]
        assert terms == {name: left if name == "Left" else expected[name] for name in terms}
    return sums


def test_the_counts_are_those_of_the_api_and_add_up(as_consumer: Client, shop: Project, crm: Connection) -> None:
    make_people(shop, shoppers(["nobody-there"], plan="pro"))
    sync, _ = export(make_cohort(shop), crm, "dynamic")
    set_property(shop, ["ann"], "plan", "free")
    _, run = export(sync.cohort, crm, "dynamic")
    members, keys, entering, leaving = assert_page_equals_api(as_consumer, run)
    assert members == {
        "Members": 4,
        "Matched profiles": 3,
        "Without property": 1,
        "Invalid id": 0,
        "Anonymous": 0,
    }
    assert keys == {"Matched keys": 3, "Unchanged": 2, "To add": 1}
    assert entering == {"To add": 1, "Added": 0, "Unmatched": 1, "Rejected": 0, "Left": 0}
    assert leaving == {"To remove": 1, "Removed": 1, "Left": 0}
    words = text_of(as_consumer.get(url_of(run)))
    assert "Succeeded" in words
    assert "nobody-there" in words
    assert "OneSignal does not know this id." in words
    assert f'href="{url_of(run, "api-v1:get_members")}"' in as_consumer.get(url_of(run)).content.decode()


def test_a_partial_run_names_who_was_rejected_and_why(
    as_analyst: Client, as_consumer: Client, shop: Project, crm: Connection, onesignal: SandboxApp
) -> None:
    onesignal.change(tag_limit=1)
    set_property(shop, ["ann"], "vip", "yes")
    export(make_cohort(shop, "VIP", property_definition("vip", "yes")), crm, "dynamic")
    _, run = export(make_cohort(shop), crm, "dynamic")
    assert run.status == "partial"
    assert_page_equals_api(as_consumer, run)
    page = as_analyst.get(url_of(run))
    words = text_of(page)
    assert "Partial" in words
    assert re.search(r"ann ann Rejected OneSignal answered 409: .* Asked now, again from", words.replace(" ,", ","))
    assert "Rejected members are asked again after a day" in words
    assert "Retry unmatched and rejected" in words
    assert "Retry unmatched and rejected</button>" not in as_consumer.get(url_of(run)).content.decode()
    assert "tag-ok" not in page.content.decode()


def test_at_most_twenty_of_each_are_shown_and_the_csv_has_all(
    as_consumer: Client, shop: Project, crm: Connection, django_assert_max_num_queries: Any
) -> None:
    make_people(shop, shoppers([f"unknown-{n:02}" for n in range(25)], plan="pro"))
    _, run = export(make_cohort(shop), crm)
    as_consumer.get(url_of(run))
    with django_assert_max_num_queries(20):
        page = as_consumer.get(url_of(run))
    assert len(re.findall(r'class="name mono">unknown-\d\d', page.content.decode())) == 20
    assert "0 rejected, 25 unmatched: the first 20 of each" in text_of(page)
    rows = b"".join(as_consumer.get(url_of(run, "api-v1:get_members"))).decode()
    assert rows.count(",unmatched,") == 25


def test_a_queued_run_waits_for_its_turn(as_consumer: Client, shop: Project, crm: Connection) -> None:
    start_export(make_cohort(shop), crm)
    run = start_export(make_cohort(shop, "Others"), crm).runs.get()
    page = as_consumer.get(url_of(run))
    words = text_of(page)
    assert "Waiting for its turn: 1 run before it on this OneSignal app." in words
    assert "Queued" in words
    assert "<progress" not in page.content.decode()
    assert sums_of(page) == []
    assert "CSV of its members" not in words


def test_a_running_run_shows_how_far_it_is_and_follows_itself_to_its_end(
    as_analyst: Client, shop: Project, crm: Connection, settings: Any, django_assert_max_num_queries: Any
) -> None:
    settings.DELIVERY_BATCH_RECIPIENTS = 1
    run = start_export(make_cohort(shop), crm).runs.get()
    work_steps(crm, 2)
    sums = assert_page_equals_api(as_analyst, run)
    assert sums[2] == {"To add": 3, "Added": 2, "Unmatched": 0, "Rejected": 0, "Left": 1}
    page = as_analyst.get(url_of(run))
    assert "2 of 3 (67 %)" in text_of(page)
    assert 'hx-trigger="every 2s"' in page.content.decode()
    assert "Run again" not in text_of(page)
    live = url_of(run, "run-live")
    with django_assert_max_num_queries(14):
        part = as_analyst.get(live, {"seen": "running"}, headers=IN_A_PAGE).content.decode()
    assert "<html" not in part
    assert "hx-swap-oob" not in part
    work(crm)
    part = as_analyst.get(live, {"seen": "running"}, headers=IN_A_PAGE).content.decode()
    assert "every 2s" not in part
    assert 'id="run-actions" hx-swap-oob="true"' in part
    assert "Run again" in part


def test_a_run_that_waits_says_what_for_and_promises_no_time(
    as_consumer: Client, shop: Project, crm: Connection, settings: Any
) -> None:
    settings.DELIVERY_BATCH_RECIPIENTS = 1
    run = start_export(make_cohort(shop), crm).runs.get()
    work_steps(crm, 1)
    began_at = timezone.now() - dt.timedelta(minutes=1)
    Run.objects.filter(pk=run.pk).update(started_at=began_at)
    crm.app.lease_expires_at = timezone.now() + dt.timedelta(minutes=1)
    crm.app.save(update_fields=["lease_expires_at"])
    assert re.search(r"1 of 3 \(33 %\) 0\.0 a second, about \d+ minutes left", text_of(as_consumer.get(url_of(run))))
    Run.objects.filter(pk=run.pk).update(waiting_for="Waiting until 12:00:00 UTC.")
    words = text_of(as_consumer.get(url_of(run)))
    assert "Waiting until 12:00:00 UTC." in words
    assert " left Status" not in words


def test_a_failed_run_tells_its_kind_and_what_follows(
    as_consumer: Client, shop: Project, crm: Connection, onesignal: SandboxApp
) -> None:
    onesignal.change(plan="free")
    _, run = export(make_cohort(shop), crm)
    page = as_consumer.get(url_of(run))
    words = text_of(page)
    assert "App may not submit cohort updates from Mixpanel" in words
    assert "It will fail again until somebody changes something. The sync is paused" in words
    assert "tag-ok" not in page.content.decode()


def test_a_failure_that_may_pass_names_the_next_run_and_later_the_runs_that_followed(
    as_consumer: Client, shop: Project, crm: Connection, onesignal: SandboxApp, settings: Any
) -> None:
    settings.DELIVERY_RETRY_PAUSE_SECONDS = 0.01
    onesignal.set_faults(rate={"status": 500, "share": 1.0})
    sync, run = export(make_cohort(shop), crm, "dynamic")
    assert (run.status, run.error_kind) == ("failed", "temporary")
    words = text_of(as_consumer.get(url_of(run)))
    assert "It may pass by itself. The next run follows" in words
    assert run.error
    assert run.error in words
    onesignal.set_faults()
    _, later = export(sync.cohort, crm, "dynamic")
    page = as_consumer.get(url_of(run))
    assert "Later runs have followed." in text_of(page)
    assert "The next run follows" not in text_of(page)
    assert f'href="{url_of(later)}"' in page.content.decode()


def test_a_stopped_run_says_why_and_is_no_error(as_consumer: Client, shop: Project, crm: Connection) -> None:
    sync = start_export(make_cohort(shop), crm)
    pause_sync(sync=sync, reason="Paused by ann@example.com.", now=timezone.now())
    page = as_consumer.get(url_of(sync.runs.get()))
    assert "The sync was paused. Paused by ann@example.com." in text_of(page)
    assert "Cancelled" in text_of(page)
    assert "is-error" not in page.content.decode()


def test_a_superseded_run_names_the_version_that_took_its_place(
    as_consumer: Client, shop: Project, crm: Connection
) -> None:
    sync = start_export(make_cohort(shop), crm)
    first = sync.runs.get()
    sync.cohort.version = 2
    sync.cohort.save(update_fields=["version"])
    cohort_changed(cohort=sync.cohort, is_redefined=True, is_renamed=False, now=timezone.now())
    words = text_of(as_consumer.get(url_of(first)))
    assert "Superseded by version 2 of the cohort." in words
    assert f"Run {sync.runs.latest('id').pk} is the newest" in words


def test_a_run_stopped_by_a_disconnect_says_so(as_consumer: Client, shop: Project, crm: Connection) -> None:
    run = start_export(make_cohort(shop), crm).runs.get()
    disconnect(connection=crm, delete_segments=False, now=timezone.now())
    words = text_of(as_consumer.get(url_of(run)))
    assert "The connection “CRM” is disconnected. Reconnect it to go on." in words


def test_a_removal_has_words_of_its_own_and_ends_with_its_sync(
    as_analyst: Client, shop: Project, crm: Connection, settings: Any
) -> None:
    settings.DELIVERY_BATCH_RECIPIENTS = 1
    sync, _ = export(make_cohort(shop), crm)
    run = delete_sync(sync=sync, delete_segment=True, now=timezone.now())
    assert run is not None
    assert "Removing the segment" in text_of(as_analyst.get(url_of(run)))
    work_steps(crm, 1)
    sums = assert_page_equals_api(as_analyst, run)
    assert sums == [{"To remove": 3, "Removed": sums[0]["Removed"], "Left": sums[0]["Left"]}]
    assert "Run again" not in text_of(as_analyst.get(url_of(run)))
    work(crm)
    assert not Sync.objects.exists()
    gone = as_analyst.get(url_of(run, "run-live"), {"seen": "running"}, headers=IN_A_PAGE)
    assert (gone.status_code, "This run is gone" in text_of(gone)) == (286, True)
    assert as_analyst.get(url_of(run)).status_code == 404
