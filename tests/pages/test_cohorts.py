"""The pages of cohorts as a member uses them, with and without script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from cohorts.models import Cohort, Project, User
from tests.cast import make_cohort, make_sync, property_definition
from tests.pages.words import text_of

IN_A_PAGE = {"HX-Request": "true"}


def posted_definition(value: str = "pro") -> dict[str, str]:
    """Return what the builder sends for: plan is `value`."""
    at = "group-0-condition-0-"
    return {
        "base": "all_users",
        "match": "all",
        "group-0-match": "all",
        f"{at}does": "property",
        f"{at}property": "plan",
        f"{at}type": "string",
        f"{at}operator": "equals",
        f"{at}values": value,
        "action": "save",
    }


def test_the_list_shows_size_owner_and_syncs(as_owner: Client, owner: User, shop: Project) -> None:
    cohort = make_cohort(shop, "Pro users")
    Cohort.objects.filter(pk=cohort.pk).update(created_by=owner, count=12345)
    sync = make_sync(cohort)
    page = as_owner.get(reverse("cohorts", args=[shop.pk])).content.decode()
    assert "12,345" in page
    assert "Owner Miller" in page
    assert reverse("sync", args=[shop.pk, sync.pk]) in page
    assert reverse("cohort-export", args=[shop.pk, cohort.pk]) in page


def test_searching_finds_words_of_name_and_description(as_owner: Client, shop: Project) -> None:
    make_cohort(shop, "Pro users")
    Cohort.objects.filter(pk=make_cohort(shop, "Others").pk).update(description="all but the PRO ones")
    make_cohort(shop, "Free")
    found = text_of(as_owner.get(reverse("cohorts", args=[shop.pk]), {"q": "pro"}))
    assert "Pro users" in found
    assert "Others" in found
    assert "Free" not in found
    assert "No cohort fits" in text_of(as_owner.get(reverse("cohorts", args=[shop.pk]), {"q": "\0nobody"}))


def test_an_empty_project_says_what_to_do(as_owner: Client, as_consumer: Client, shop: Project) -> None:
    assert reverse("cohort-new", args=[shop.pk]) in as_owner.get(reverse("cohorts", args=[shop.pk])).content.decode()
    page = as_consumer.get(reverse("cohorts", args=[shop.pk])).content.decode()
    assert "No cohorts yet" in page
    assert reverse("cohort-new", args=[shop.pk]) not in page


def test_somebody_elses_private_cohort_is_unknown(
    as_owner: Client, shop: Project, analyst: User, log_in: Callable[[User], Client]
) -> None:
    cohort = make_cohort(shop, "Secret plan")
    Cohort.objects.filter(pk=cohort.pk).update(visibility="private", created_by=analyst)
    assert "Secret plan" not in as_owner.get(reverse("cohorts", args=[shop.pk])).content.decode()
    assert as_owner.get(reverse("cohort", args=[shop.pk, cohort.pk])).status_code == 404
    assert "Secret plan" in log_in(analyst).get(reverse("cohorts", args=[shop.pk])).content.decode()


def test_writing_a_cohort_saves_and_counts_it(as_analyst: Client, analyst: User, shop: Project) -> None:
    answer = as_analyst.post(
        reverse("cohort-new", args=[shop.pk]),
        {"name": "Pros", "description": "On pro", "visibility": "project", **posted_definition()},
        follow=True,
    )
    cohort = Cohort.objects.get(name="Pros")
    assert answer.redirect_chain == [(reverse("cohort", args=[shop.pk, cohort.pk]), 302)]
    assert cohort.created_by == analyst
    assert cohort.count == 4
    assert "Pros is saved: 4 members now." in text_of(answer)
    assert "plan is “pro”" in text_of(answer)


def test_everything_wrong_is_said_at_once_and_nothing_typed_is_lost(as_analyst: Client, shop: Project) -> None:
    sent = {"name": " ", "description": "kept", "visibility": "project", **posted_definition("")}
    answer = as_analyst.post(reverse("cohort-new", args=[shop.pk]), sent)
    page = text_of(answer)
    assert answer.status_code == 422
    assert "This field is required." in page
    assert "Give at least one value" in page
    assert "kept" in answer.content.decode()
    assert not Cohort.objects.exists()


def test_a_button_of_the_builder_saves_nothing(as_analyst: Client, shop: Project) -> None:
    sent = {"name": "Half written", "visibility": "project", **posted_definition(), "action": "add-condition:0"}
    answer = as_analyst.post(reverse("cohort-new", args=[shop.pk]), sent)
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "Half written" in page
    assert 'name="group-0-condition-1-does"' in page
    assert "This field is required" not in page
    part = as_analyst.post(reverse("cohort-new", args=[shop.pk]), sent, headers=IN_A_PAGE).content.decode()
    assert 'name="group-0-condition-1-does"' in part
    assert "<html" not in part
    assert not Cohort.objects.exists()


def test_changing_the_definition_runs_the_live_syncs(as_analyst: Client, shop: Project) -> None:
    cohort = make_cohort(shop)
    sync = make_sync(cohort)
    url = reverse("cohort-edit", args=[shop.pk, cohort.pk])
    assert "1 sync exports this cohort" in text_of(as_analyst.get(url))
    as_analyst.post(url, {"name": "Free users", "visibility": "project", **posted_definition("free")})
    cohort.refresh_from_db()
    assert (cohort.name, cohort.version, cohort.count) == ("Free users", 2, 0)
    assert sync.runs.filter(status="queued").exists()
    sync.ledger.refresh_from_db()
    assert sync.ledger.renamed_to == "(CohortSync) Free users"


def test_saving_an_unchanged_cohort_runs_nothing(as_analyst: Client, shop: Project) -> None:
    cohort = make_cohort(shop)
    sync = make_sync(cohort)
    url = reverse("cohort-edit", args=[shop.pk, cohort.pk])
    as_analyst.post(url, {"name": cohort.name, "visibility": "project", **posted_definition()})
    assert Cohort.objects.get(pk=cohort.pk).version == 1
    assert not sync.runs.exists()


def test_a_cohort_made_by_another_stays_shared(as_analyst: Client, shop: Project) -> None:
    cohort = make_cohort(shop)
    url = reverse("cohort-edit", args=[shop.pk, cohort.pk])
    answer = as_analyst.post(url, {"name": cohort.name, "visibility": "private", **posted_definition()})
    assert answer.status_code == 422
    assert "Only the person who made a cohort can keep it private" in text_of(answer)


def test_counting_shows_who_can_be_exported(as_consumer: Client, shop: Project) -> None:
    cohort = make_cohort(shop)
    url = reverse("cohort", args=[shop.pk, cohort.pk])
    part = text_of(as_consumer.get(reverse("cohort-coverage", args=[shop.pk, cohort.pk]), headers=IN_A_PAGE))
    for page in (part, text_of(as_consumer.get(f"{url}?count"))):
        assert "3 can be exported (75 %)" in page
        assert "1 without $onesignal_user_id" in page
    assert as_consumer.get(reverse("cohort-coverage", args=[shop.pk, cohort.pk])).headers["Location"] == f"{url}?count"
    assert Cohort.objects.get(pk=cohort.pk).count == 4


def test_refreshing_the_count_changes_the_cell_or_comes_back(as_consumer: Client, shop: Project) -> None:
    cohort = make_cohort(shop)
    url = reverse("cohort-count", args=[shop.pk, cohort.pk])
    assert text_of(as_consumer.post(url, headers=IN_A_PAGE)).startswith("4")
    came_from = f"http://testserver{reverse('cohorts', args=[shop.pk])}"
    answer = as_consumer.post(url, headers={"Referer": came_from}, follow=True)
    assert answer.redirect_chain == [(came_from, 302)]
    assert "Pro users has 4 members." in text_of(answer)


@pytest.mark.parametrize("came_from", ["http://evil.example/", "//evil.example/", ""])
def test_nobody_is_sent_to_another_site(as_consumer: Client, shop: Project, came_from: str) -> None:
    url = reverse("cohort-count", args=[shop.pk, make_cohort(shop).pk])
    answer = as_consumer.post(url, headers={"Referer": came_from})
    assert answer.headers["Location"] == reverse("cohorts", args=[shop.pk])


def test_members_come_in_pages_of_one_moment(as_consumer: Client, shop: Project, monkeypatch: Any) -> None:
    monkeypatch.setattr("cohortsync.pages.cohorts.MEMBERS_PER_PAGE", 3)
    url = reverse("cohort-members", args=[shop.pk, make_cohort(shop).pk])
    first = as_consumer.get(url)
    assert [name in text_of(first) for name in ("ann", "bob", "cat", "no-id")] == [True, True, True, False]
    following = first.content.decode().split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    second = text_of(as_consumer.get(following))
    assert "no-id" in second
    assert "ann" not in second
    assert as_consumer.get(f"{url}?after=x&as_of=yesterday").status_code == 200


def test_a_copy_is_ones_own(as_analyst: Client, analyst: User, shop: Project) -> None:
    cohort = make_cohort(shop, "x" * 255)
    answer = as_analyst.post(reverse("cohort-duplicate", args=[shop.pk, cohort.pk]), follow=True)
    copy = Cohort.objects.exclude(pk=cohort.pk).get()
    assert (copy.visibility, copy.created_by, copy.definition) == ("private", analyst, cohort.definition)
    assert len(copy.name) == 255
    assert answer.redirect_chain[-1][0] == reverse("cohort", args=[shop.pk, copy.pk])


def test_an_exported_cohort_cannot_be_deleted(as_analyst: Client, shop: Project) -> None:
    cohort = make_cohort(shop)
    sync = make_sync(cohort)
    url = reverse("cohort-delete", args=[shop.pk, cohort.pk])
    for answer in (as_analyst.get(url, headers=IN_A_PAGE), as_analyst.post(url)):
        assert "is exported and cannot be deleted" in text_of(answer)
        assert reverse("sync", args=[shop.pk, sync.pk]) in answer.content.decode()
    assert Cohort.objects.filter(pk=cohort.pk).exists()


def test_deleting_from_a_dialog_leads_to_the_list(as_analyst: Client, shop: Project) -> None:
    cohort = make_cohort(shop, definition=property_definition("plan", "free"))
    answer = as_analyst.post(reverse("cohort-delete", args=[shop.pk, cohort.pk]), headers=IN_A_PAGE)
    assert answer.headers["HX-Redirect"] == reverse("cohorts", args=[shop.pk])
    assert not Cohort.objects.exists()


def test_a_definition_of_an_older_version_is_said_and_can_be_mended(as_analyst: Client, shop: Project) -> None:
    cohort = make_cohort(shop, definition={"groups": [{"conditions": [{"kind": "horoscope"}]}]})
    page = as_analyst.get(reverse("cohort", args=[shop.pk, cohort.pk]), {"count": ""})
    assert page.status_code == 200
    assert "cannot read" in text_of(page)
    edit = as_analyst.get(reverse("cohort-edit", args=[shop.pk, cohort.pk]))
    assert "horoscope" in edit.content.decode()
