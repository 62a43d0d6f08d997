"""The page of a sync says whether the segment equals the cohort, and follows a run while it is at work."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
import requests
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cohorts.models import Cohort, Project, User
from integrations.connections import disconnect
from integrations.models import Connection, Run, Sync
from integrations.syncs import pause_sync, resume_sync
from tests.cast import make_cohort, make_people, property_definition, shoppers
from tests.pages.words import text_of
from tests.sandbox_app import SandboxApp
from tests.sync.conftest import short_clocks
from tests.sync.stories import connect_to, export, start_export, work, work_steps

__all__ = ["short_clocks"]

pytestmark = pytest.mark.django_db(transaction=True)
IN_A_PAGE = {"HX-Request": "true"}


@pytest.fixture
def crm(onesignal: SandboxApp, shop: Project) -> Connection:
    onesignal.add_users("ann", "bob", "cat")
    return connect_to(onesignal, shop)


def test_the_sync_page_says_whether_the_segment_equals_the_cohort(
    as_consumer: Client, shop: Project, crm: Connection
) -> None:
    sync = start_export(make_cohort(shop), crm)
    url = reverse("sync", args=[shop.pk, sync.pk])
    assert "Nothing has been exported yet." in text_of(as_consumer.get(url))
    work(crm)
    words = text_of(as_consumer.get(url))
    assert "The segment equals the cohort." in words
    assert "Dynamic sync: every 15 minutes" in words
    assert "In the segment now 3" in words
    assert sync.ledger.tag in words


def test_members_whom_onesignal_does_not_know_are_named_beside_equality(
    as_consumer: Client, shop: Project, crm: Connection
) -> None:
    make_people(shop, shoppers(["nobody-there"], plan="pro"))
    sync, run = export(make_cohort(shop), crm)
    page = as_consumer.get(reverse("sync", args=[shop.pk, sync.pk]))
    words = text_of(page)
    assert "The segment equals the cohort, apart from 1 member unknown to OneSignal." in words
    assert "None: a one-time export is not updated afterwards" in words
    assert "Exported in all runs 3" in words
    assert "3 of 4" in words
    assert f'href="{reverse("api-v1:get_members", args=[shop.pk, run.pk])}"' in page.content.decode()


def test_the_way_to_the_sandbox_leads_to_the_segments_users(
    as_consumer: Client, shop: Project, crm: Connection, onesignal: SandboxApp
) -> None:
    sync = start_export(make_cohort(shop), crm)
    url = reverse("sync", args=[shop.pk, sync.pk])
    assert as_consumer.get(url).context["sandbox_url"] == ""
    work(crm)
    sandbox_url = as_consumer.get(url).context["sandbox_url"]
    assert sandbox_url in as_consumer.get(url).content.decode()
    users = requests.get(sandbox_url, timeout=10)
    assert users.status_code == 200
    assert all(name in users.text for name in ("ann", "bob", "cat"))


def test_a_pause_tells_its_reason_and_what_to_do(
    as_analyst: Client, shop: Project, crm: Connection, onesignal: SandboxApp
) -> None:
    sync, _ = export(make_cohort(shop), crm, "dynamic")
    url = reverse("sync", args=[shop.pk, sync.pk])
    pause_sync(sync=sync, reason="Paused by ann@example.com.", now=timezone.now())
    words = text_of(as_analyst.get(url))
    assert "Paused by ann@example.com. What was delivered stays at OneSignal." in words
    assert "The sync is paused: the segment does not follow the cohort." in words
    assert "None while it is paused" in words
    assert "Resume" in words
    resume_sync(sync=sync, now=timezone.now())
    disconnect(connection=crm, delete_segments=False, now=timezone.now())
    page = as_analyst.get(url)
    assert "is disconnected. Reconnect it to go on." in text_of(page)
    assert "An owner or admin can give the connection “CRM” valid credentials" in text_of(page)
    assert reverse("sync-resume", args=[shop.pk, sync.pk]) not in page.content.decode()


def test_a_sync_that_is_due_and_not_begun_says_so(as_consumer: Client, shop: Project, crm: Connection) -> None:
    sync, _ = export(make_cohort(shop), crm, "dynamic")
    url = reverse("sync", args=[shop.pk, sync.pk])
    assert "not begun" not in text_of(as_consumer.get(url))
    Sync.objects.filter(pk=sync.pk).update(next_run_at=timezone.now() - dt.timedelta(minutes=20))
    assert re.search(r"Due since \S+ \d\d:\d\d UTC and not begun", text_of(as_consumer.get(url)))


def test_a_warning_from_over_there_stands_on_the_page(as_consumer: Client, shop: Project, crm: Connection) -> None:
    make_people(shop, {"ghost": {"plan": "ghost", "$onesignal_user_id": "ghost"}})
    sync, _ = export(make_cohort(shop, "Ghosts", property_definition("plan", "ghost")), crm)
    words = text_of(as_consumer.get(reverse("sync", args=[shop.pk, sync.pk])))
    assert "There is no segment yet: OneSignal knows none of the 1 members by their id." in words
    assert "OneSignal holds no segment yet: nobody of the cohort could be exported." in words
    assert "The segment equals the cohort" not in words


def test_a_failed_run_is_told_with_its_sentence_and_never_reads_as_success(
    as_analyst: Client, shop: Project, crm: Connection, onesignal: SandboxApp
) -> None:
    onesignal.change(plan="free")
    sync, run = export(make_cohort(shop), crm)
    for url in (reverse("sync", args=[shop.pk, sync.pk]), reverse("run", args=[shop.pk, run.pk])):
        page = as_analyst.get(url)
        words = text_of(page)
        assert "App may not submit cohort updates from Mixpanel" in words
        assert "Failed" in words
        assert "Succeeded" not in words
        assert "The segment equals the cohort." not in words
    assert "Put that right, then resume the sync" in text_of(as_analyst.get(reverse("sync", args=[shop.pk, sync.pk])))


def test_a_page_follows_an_open_run_and_stops_when_it_has_ended(
    as_consumer: Client, shop: Project, crm: Connection, settings: Any
) -> None:
    settings.DELIVERY_BATCH_RECIPIENTS = 1
    sync = start_export(make_cohort(shop), crm)
    url, live = (reverse(name, args=[shop.pk, sync.pk]) for name in ("sync", "sync-live"))
    assert f'hx-get="{live}' in as_consumer.get(url).content.decode()
    work_steps(crm, 2)
    run = sync.runs.get()
    assert run.status == "running"
    part = as_consumer.get(live, {"seen": "x"}, headers=IN_A_PAGE)
    assert "<html" not in part.content.decode()
    assert f"{run.added + run.unmatched} of 3" in text_of(part)
    assert 'hx-trigger="every 2s"' in as_consumer.get(reverse("run", args=[shop.pk, run.pk])).content.decode()
    work(crm)
    last = as_consumer.get(live, {"seen": "x"}, headers=IN_A_PAGE).content.decode()
    assert "every 2s" not in last
    assert 'hx-swap-oob="true"' in last
    assert "every 2s" not in as_consumer.get(url).content.decode()


def test_between_two_changes_a_page_is_sent_the_open_rows_alone(
    as_analyst: Client, shop: Project, crm: Connection, settings: Any
) -> None:
    settings.DELIVERY_BATCH_RECIPIENTS = 1
    sync = start_export(make_cohort(shop), crm)
    work_steps(crm, 1)
    run = sync.runs.get()
    page = as_analyst.get(reverse("sync", args=[shop.pk, sync.pk]))
    live = reverse("sync-live", args=[shop.pk, sync.pk])
    seen = str(page.context["state"])
    part = as_analyst.get(live, {"seen": seen}, headers=IN_A_PAGE).content.decode()
    assert re.findall(r'id="([\w-]+)" hx-swap-oob="true"', part) == [f"run-{run.pk}"]
    older = as_analyst.get(live, {"seen": seen, "older": ""}, headers=IN_A_PAGE).content.decode()
    assert "hx-swap-oob" not in older
    pause_sync(sync=sync, now=timezone.now())
    part = as_analyst.get(live, {"seen": seen}, headers=IN_A_PAGE).content.decode()
    assert re.findall(r'id="([\w-]+)" hx-swap-oob="true"', part) == ["sync-actions", "segment", "history"]
    assert "Resume" in part
    assert "Run now" not in part


def test_without_script_a_live_part_leads_to_its_page(as_consumer: Client, shop: Project, crm: Connection) -> None:
    sync = start_export(make_cohort(shop), crm)
    answer = as_consumer.get(reverse("sync-live", args=[shop.pk, sync.pk]))
    assert answer.headers["Location"] == reverse("sync", args=[shop.pk, sync.pk])


def test_run_pause_resume_and_mode(as_analyst: Client, shop: Project, crm: Connection) -> None:
    sync, _ = export(make_cohort(shop), crm, "one_time")

    def press(name: str, **fields: str) -> str:
        answer = as_analyst.post(reverse(name, args=[shop.pk, sync.pk]), fields, follow=True)
        sync.refresh_from_db()
        return text_of(answer)

    assert "This is a dynamic sync now. A run is queued." in press("sync-mode", mode="dynamic")
    assert (sync.mode, sync.status) == ("dynamic", "active")
    assert sync.next_run_at is not None
    assert "is paused; its segment stays as it is." in press("sync-pause")
    assert sync.pause_reason == "Paused by analyst@example.com."
    assert "This sync is paused" in press("sync-run")
    assert "a run is queued" in press("sync-resume")
    assert sync.status == "active"
    work(crm)
    assert "A run is queued." in press("sync-run")
    assert sync.runs.filter(status="queued").count() == 1
    assert "Give one of: one_time, dynamic." in press("sync-mode", mode="weekly")


def test_deleting_asks_what_becomes_of_the_segment(
    as_analyst: Client, shop: Project, crm: Connection, onesignal: SandboxApp
) -> None:
    cohort = make_cohort(shop)
    sync, _ = export(cohort, crm)
    segment_id = sync.ledger.segment_id
    url = reverse("sync-delete", args=[shop.pk, sync.pk])
    assert "Leave it as it is" in text_of(as_analyst.get(url, headers=IN_A_PAGE))
    answer = as_analyst.post(url, {"segment": "keep"}, headers=IN_A_PAGE)
    assert answer.headers["HX-Redirect"] == reverse("cohort", args=[shop.pk, cohort.pk])
    assert not Sync.objects.exists()
    assert onesignal.segment_users(segment_id) == {"ann", "bob", "cat"}
    sync, _ = export(cohort, crm)
    as_analyst.post(reverse("sync-delete", args=[shop.pk, sync.pk]), {"segment": "delete"})
    live = reverse("sync-live", args=[shop.pk, sync.pk])
    assert "The segment is being removed" in text_of(as_analyst.get(live, headers=IN_A_PAGE))
    work(crm)
    gone = as_analyst.get(live, headers=IN_A_PAGE)
    assert (gone.status_code, "This sync is gone" in text_of(gone)) == (286, True)
    assert onesignal.segments() == []


def test_retrying_asks_again_for_the_unmatched(
    as_analyst: Client, shop: Project, crm: Connection, onesignal: SandboxApp
) -> None:
    make_people(shop, shoppers(["late"], plan="pro"))
    sync, run = export(make_cohort(shop), crm)
    onesignal.add_users("late")
    answer = as_analyst.post(reverse("sync-run", args=[shop.pk, sync.pk]), {"retry": "1", "show": "run"})
    assert answer.headers["Location"] == reverse("run", args=[shop.pk, sync.runs.latest("id").pk])
    work(crm)
    assert "late" in onesignal.segment_users(sync.ledger.segment_id)
    assert "Accepted in a later run." in text_of(as_analyst.get(reverse("run", args=[shop.pk, run.pk])))


def test_the_sync_of_a_private_cohort_is_for_its_owner_and_the_admins(
    shop: Project,
    crm: Connection,
    analyst: User,
    as_owner: Client,
    as_consumer: Client,
    log_in: Callable[[User], Client],
) -> None:
    cohort = make_cohort(shop, "Secret plan")
    sync, run = export(cohort, crm)
    Cohort.objects.filter(pk=cohort.pk).update(visibility="private", created_by=analyst)
    for name, pk in (("sync", sync.pk), ("run", run.pk)):
        url = reverse(name, args=[shop.pk, pk])
        assert log_in(analyst).get(url).status_code == 200
        assert as_owner.get(url).status_code == 200
        assert as_consumer.get(url).status_code == 404
    api = f"/api/v1/projects/{shop.pk}/"
    assert as_consumer.get(f"{api}syncs").json()["results"] == []
    assert as_consumer.get(f"{api}runs/{run.pk}").status_code == 404


def test_a_reader_sees_no_buttons(as_consumer: Client, shop: Project, crm: Connection) -> None:
    sync, run = export(make_cohort(shop), crm, "dynamic")
    for url in (reverse("sync", args=[shop.pk, sync.pk]), reverse("run", args=[shop.pk, run.pk])):
        page = as_consumer.get(url).content.decode()
        assert "sync-run" not in page
        assert "Run now" not in page
        assert f"{reverse('sync-delete', args=[shop.pk, sync.pk])}" not in page


def test_runs_come_in_pages(as_consumer: Client, shop: Project, crm: Connection) -> None:
    sync, _ = export(make_cohort(shop), crm)
    pause_sync(sync=sync, now=timezone.now())
    now = timezone.now()
    Run.objects.bulk_create(
        Run(project=shop, sync=sync, trigger="schedule", status="succeeded", queued_at=now, finished_at=now)
        for _ in range(55)
    )
    url = reverse("sync", args=[shop.pk, sync.pk])
    first = as_consumer.get(url).content.decode()
    assert first.count("On schedule") == 50
    following = first.split('href="')
    next_url = next(each.split('"')[0] for each in following if "?before=" in each.split('"')[0])
    second = as_consumer.get(next_url.partition("#")[0]).content.decode()
    assert second.count("On schedule") == 5
    assert as_consumer.get(f"{url}?before=x").status_code == 404
