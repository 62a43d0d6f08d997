"""The live view: what comes in appears, nothing of it becomes markup, older events are a page away."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from cohorts.models import Project
from tests.ingest.wire import event, send
from tests.pages.words import text_of

IN_A_PAGE = {"HX-Request": "true"}
EVIL = '"><script>alert(1)</script>'


def track(project: Project, *names: str, **properties: Any) -> None:
    """Send events as an SDK does, the last one the newest."""
    sent = [event(project, name, time=time.time() - 3600 + n, **properties) for n, name in enumerate(names)]
    assert send(Client(), "/track", sent) == (200, b"1")


def open_page(client: Client, project: Project, **choice: str) -> Any:
    answer = client.get(reverse("events", args=[project.pk]), choice)
    assert answer.status_code == 200
    return answer


def poll(client: Client, page: Any) -> Any:
    """Ask as the page does by itself."""
    return client.get(page.context["live_url"], headers=IN_A_PAGE)


def shown(page: Any) -> list[str]:
    return [each.name for each, _ in page.context["rows"]]


def test_without_events_the_page_says_how_to_send_one(as_consumer: Client, shop: Project) -> None:
    page = open_page(as_consumer, shop)
    assert "No events yet" in text_of(page)
    assert "curl http://testserver/track" in text_of(page)
    assert shop.token in text_of(page)
    assert poll(as_consumer, page).status_code == 204


def test_the_first_event_loads_the_page_anew(as_consumer: Client, shop: Project) -> None:
    page = open_page(as_consumer, shop)
    track(shop, "Signed Up")
    answer = as_consumer.get(page.context["live_url"] + "&empty", headers=IN_A_PAGE)
    assert answer.headers["HX-Refresh"] == "true"
    assert shown(open_page(as_consumer, shop)) == ["Signed Up"]


def test_what_comes_in_appears_with_the_next_question_and_only_then(as_owner: Client, shop: Project) -> None:
    track(shop, "First")
    page = open_page(as_owner, shop)
    assert poll(as_owner, page).status_code == 204
    track(shop, "Second")
    answer = poll(as_owner, page)
    assert shown(answer) == ["Second", "First"]
    assert poll(as_owner, answer).status_code == 204


def test_a_paused_page_and_an_older_one_do_not_ask(as_owner: Client, shop: Project) -> None:
    track(shop, *(f"e{n}" for n in range(60)))
    assert "hx-get" in open_page(as_owner, shop).content.decode()
    for choice in ({"paused": "1"}, {"before": open_page(as_owner, shop).context["next_url"].partition("before=")[2]}):
        assert "hx-get" not in open_page(as_owner, shop, **choice).content.decode()


def test_older_events_are_a_page_away(as_owner: Client, shop: Project) -> None:
    track(shop, *(f"e{n:03}" for n in range(120)))
    found, url = [], reverse("events", args=[shop.pk])
    while url:
        page: Any = as_owner.get(url)
        found += shown(page)
        url = page.context["next_url"]
    assert found == [f"e{n:03}" for n in reversed(range(120))]


def test_name_and_person_choose_and_stay_chosen_while_it_is_live(as_owner: Client, shop: Project) -> None:
    track(shop, "A", "B", distinct_id="ann")
    track(shop, "A", distinct_id="bob")
    assert shown(open_page(as_owner, shop, event="A")) == ["A", "A"]
    page = open_page(as_owner, shop, event="A", distinct_id="bob")
    assert shown(page) == ["A"]
    track(shop, "A", distinct_id="ann")
    assert poll(as_owner, page).status_code == 204
    assert "No such event" in text_of(open_page(as_owner, shop, event="Nope"))


def test_nothing_that_was_sent_becomes_markup(as_owner: Client, shop: Project) -> None:
    track(shop, EVIL, distinct_id=EVIL, **{EVIL: EVIL, "list": [EVIL]})
    page = open_page(as_owner, shop, distinct_id=EVIL, event=EVIL)
    assert shown(page) == [EVIL]
    one = as_owner.get(reverse("event", args=[shop.pk, page.context["rows"][0][0].key]))
    for answer in (page, one, open_page(as_owner, shop)):
        assert "<script>alert" not in answer.content.decode()


def test_long_values_are_cut_in_the_list_and_whole_on_the_events_page(as_owner: Client, shop: Project) -> None:
    many = {f"p{n:03}": "v" for n in range(100)}
    track(shop, "Long", items=["x" * 250] * 20, **many)
    page = open_page(as_owner, shop)
    assert len(page.context["rows"][0][1]) == 40
    assert "x" * 301 not in page.content.decode()
    one: Any = as_owner.get(reverse("event", args=[shop.pk, page.context["rows"][0][0].key]))
    assert json.loads(one.context["document"])["items"] == ["x" * 250] * 20


def test_an_event_that_belongs_to_nobody_says_so(as_owner: Client, shop: Project) -> None:
    track(shop, "Ghost", distinct_id="null")
    page = open_page(as_owner, shop)
    assert "This id names nobody" in page.content.decode()
    one = as_owner.get(reverse("event", args=[shop.pk, page.context["rows"][0][0].key]))
    assert "belongs to no person" in text_of(one)


@pytest.mark.parametrize("key", ["1", "a_b", f"1_{'0' * 32}"])
def test_an_event_or_a_place_that_is_none_is_not_found(as_owner: Client, shop: Project, key: str) -> None:
    assert as_owner.get(reverse("event", args=[shop.pk, key])).status_code == 404
    assert as_owner.get(reverse("events", args=[shop.pk]), {"before": key}).status_code == 404


def test_without_script_the_part_leads_to_its_page(as_owner: Client, shop: Project) -> None:
    answer = as_owner.get(reverse("events-live", args=[shop.pk]), {"event": "A b"})
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"{reverse('events', args=[shop.pk])}?event=A+b&distinct_id="
