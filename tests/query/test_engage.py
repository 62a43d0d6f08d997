"""People by /engage: who is found, what is shown of them, and pages that fit together while people are written."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from cohorts.models import Cohort, PeopleSession, Person, Project, ServiceAccount
from cohorts.tasks import forget_people_sessions
from tests.api.cast import basic, make_account, make_member
from tests.cast import make_cohort, make_people, make_project, property_definition, set_property
from tests.cohorts.people import define, did, make_partitions, store
from tests.ingest.wire import send, update
from tests.query.asking import Asker, asker_of
from tests.reference_evaluator import Deed, Human


def crowd(project: Project, count: int, **properties: object) -> None:
    store(project, [Human(f"u{number:05}", dict(properties)) for number in range(count)])


def test_a_profile_is_shown_as_mixpanel_shows_it(client: Client, shop: Project, reader: Asker) -> None:
    written = update(shop, "ann", set={"$email": "ann@example.com", "plan": "pro", "spent": 12.5, "tags": ["a"]})
    assert send(client, "/engage", [written])[1] == b"1"
    seen_at = Person.objects.get(project=shop).profile_updated_at
    assert seen_at is not None

    answer = reader.answer()

    session = answer.pop("session_id")
    assert session
    assert answer == {
        "page": 0,
        "page_size": 1000,
        "results": [
            {
                "$distinct_id": "ann",
                "$properties": {
                    "$email": "ann@example.com",
                    "$last_seen": f"{seen_at:%Y-%m-%dT%H:%M:%S}",
                    "plan": "pro",
                    "spent": 12.5,
                    "tags": ["a"],
                },
            }
        ],
        "status": "ok",
        "total": 1,
    }


@pytest.mark.parametrize("path", ["/api/query/engage", "/api/2.0/engage"])
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_route_answers(shop: Project, reader: Asker, path: str, slash: str, method: str) -> None:
    make_people(shop, {"ann": {"plan": "pro"}})
    assert reader.found(path=path + slash, method=method, project_id=shop.pk, where='user["plan"] == "pro"') == ["ann"]


def test_1001_people_have_a_total_of_1001_on_both_pages(shop: Project, reader: Asker) -> None:
    crowd(shop, 1001, plan="pro")
    first = reader.answer(where='properties["plan"] == "pro"')

    # One leaves the selection, one enters it, and one is gone.
    set_property(shop, ["u01000"], "plan", "free")
    make_people(shop, {"new": {"plan": "pro"}})
    Person.objects.filter(project=shop, distinct_id="u00000").delete()

    asked = {"where": 'properties["plan"] == "pro"', "session_id": first["session_id"]}
    again, second, third = (reader.answer(**asked, page=number) for number in range(3))
    assert [page["total"] for page in (first, again, second, third)] == [1001] * 4
    assert [page["page"] for page in (first, again, second, third)] == [0, 0, 1, 2]
    ids = [[each["$distinct_id"] for each in page["results"]] for page in (first, again, second, third)]
    assert ids[0] == [f"u{number:05}" for number in range(1000)]
    assert ids[1:] == [ids[0][1:], ["u01000"], []]
    # The set is frozen, the profiles are those of the moment.
    assert second["results"][0]["$properties"] == {"plan": "free"}


def test_a_page_above_0_needs_its_session(shop: Project, reader: Asker) -> None:
    assert "needs the session_id" in reader.refusal(page=1)
    assert "no such session_id" in reader.refusal(page=1, session_id="1764000000-0123456789ABCDEF")
    assert "whole number" in reader.refusal(page="-1")
    assert "whole number" in reader.refusal(page="9" * 30)


def test_a_session_belongs_to_the_account_that_asked(shop: Project, reader: Asker) -> None:
    session = reader.answer()["session_id"]
    assert "no such session_id" in asker_of(shop, role="owner").refusal(session_id=session)
    assert "no such session_id" in asker_of(make_project("Rival")).refusal(session_id=session)


def test_a_session_goes_on_with_its_own_question_only(shop: Project, reader: Asker) -> None:
    make_people(shop, {"ann": {"plan": "pro"}, "bob": {"plan": "free"}})
    session = reader.answer(where='user["plan"] == "pro"')["session_id"]
    assert "other parameters" in reader.refusal(session_id=session, where='user["plan"] == "free"')
    assert reader.found(session_id=session) == ["ann"]
    assert reader.found(session_id=session, where='user["plan"] == "pro"', as_of_timestamp=1) == ["ann"]


def test_an_expired_session_is_refused_and_then_forgotten(shop: Project, reader: Asker, settings: Settings) -> None:
    kept = reader.answer()["session_id"]
    settings.QUERY_SESSION_MINUTES = -1
    expired = reader.answer()["session_id"]
    assert "expired" in reader.refusal(session_id=expired)
    forget_people_sessions()
    assert list(PeopleSession.objects.values_list("name", flat=True)) == [kept]


def test_a_page_costs_the_same_however_many_people_there_are(
    shop: Project, reader: Asker, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    crowd(shop, 2500, plan="pro")
    session = reader.answer()["session_id"]
    with django_assert_num_queries(4):  # the account, the session, its ids, the profiles
        assert len(reader.found(session_id=session, page=2)) == 500
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attstorage FROM pg_attribute WHERE attrelid = 'cohorts_peoplesession'::regclass"
            " AND attname = 'person_ids'"
        )
        # Uncompressed and in pieces, or each page would unpack them all.
        assert cursor.fetchone() == ("e",)


def test_some_properties_only(shop: Project, reader: Asker) -> None:
    make_people(shop, {"ann": {"plan": "pro", "$email": "ann@example.com"}, "bob": {"age": 3}})
    Person.objects.filter(distinct_id="ann").update(
        profile_updated_at=dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    )
    shown = reader.answer(output_properties=["plan", "$last_seen", "nobody has it"])["results"]
    assert [each["$properties"] for each in shown] == [{"plan": "pro", "$last_seen": "2026-01-02T03:04:05"}, {}]
    assert "JSON list" in reader.refusal(output_properties={"plan": 1})
    assert "not valid JSON" in reader.refusal(output_properties="plan")


def test_people_by_any_of_their_ids(client: Client, shop: Project, reader: Asker) -> None:
    make_people(shop, {"ann": {"a": 1}, "bob": {"a": 1}, "7": {"a": 1}})
    send(client, "/engage", [update(shop, "ann", set={"$onesignal_user_id": "os-1"})])
    assert reader.found(distinct_id="os-1") == ["ann"]
    assert sorted(reader.found(distinct_ids=["os-1", "bob", 7, "nobody"])) == ["7", "ann", "bob"]
    assert reader.found(distinct_id="nobody") == []
    assert reader.found(distinct_ids=[]) == []
    assert reader.found(distinct_id="bob", distinct_ids=["ann", "bob"]) == ["bob"]
    assert reader.found(distinct_id="bob", where='user["a"] == 2') == []
    assert "JSON list" in reader.refusal(distinct_ids="7")
    assert "at most 2000" in reader.refusal(distinct_ids=[str(number) for number in range(2001)])


def test_people_of_a_cohort(shop: Project, reader: Asker) -> None:
    make_people(shop, {"ann": {"plan": "pro"}, "bob": {"plan": "free"}, "eve": {"plan": "pro", "age": 9}})
    cohort = make_cohort(shop)
    assert reader.found(filter_by_cohort={"id": cohort.pk}) == ["ann", "eve"]
    assert reader.found(filter_by_cohort={"id": str(cohort.pk)}, where='defined(user["age"])') == ["eve"]
    assert reader.found(filter_by_cohort={"raw_cohort": property_definition(value="free")}) == ["bob"]
    wrongs: list[object] = [{"id": 0}, {"id": True}, {"id": cohort.pk, "raw_cohort": {}}, [], {"id": 2**63}]
    for wrong in wrongs:
        assert "filter_by_cohort is" in reader.refusal(filter_by_cohort=wrong)
    assert "groups" in reader.refusal(filter_by_cohort={"raw_cohort": {"groups": []}})


def test_members_without_a_profile_are_left_out_on_request(shop: Project, reader: Asker) -> None:
    make_people(shop, {"ann": {"plan": "pro"}, "anonymous-1": {}})
    everybody = {
        "raw_cohort": define(
            {"kind": "property", "property": "plan", "type": "string", "operator": "not_equals", "values": ["free"]}
        )
    }
    assert reader.found(filter_by_cohort=everybody) == ["ann", "anonymous-1"]
    assert reader.found(filter_by_cohort=everybody, include_all_users="false") == ["ann"]
    # Without a cohort it is profiles that are asked for.
    assert reader.found() == ["ann"]
    assert reader.found(include_all_users="true") == ["ann", "anonymous-1"]
    assert "true or false" in reader.refusal(include_all_users="perhaps")


def test_a_cohort_as_of_a_moment(shop: Project, reader: Asker) -> None:
    make_partitions()
    moment = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
    store(shop, [Human("ann")], [Deed("ann", "Purchase", moment)])
    bought = {"raw_cohort": define(did("Purchase"))}
    stamp = int(moment.timestamp())
    assert reader.found(filter_by_cohort=bought, as_of_timestamp=stamp - 1) == []
    assert reader.found(filter_by_cohort=bought, as_of_timestamp=stamp) == ["ann"]
    assert reader.found(filter_by_cohort=bought, as_of_timestamp=stamp * 2) == ["ann"]
    assert "seconds since 1970" in reader.refusal(filter_by_cohort=bought, as_of_timestamp="yesterday")


def test_a_private_cohort_is_nobody_elses(shop: Project, reader: Asker) -> None:
    private = make_cohort(shop, "Private")
    Cohort.objects.filter(pk=private.pk).update(visibility="private", created_by=make_member(shop))
    others = make_cohort(make_project("Rival"))
    for cohort in (private, others):
        assert reader.refusal(filter_by_cohort={"id": cohort.pk}) == (
            f"filter_by_cohort: There is no cohort {cohort.pk} in this project."
        )


def test_nobody_sees_another_projects_people(shop: Project, reader: Asker) -> None:
    rival = make_project("Rival")
    make_people(rival, {"ann": {"plan": "pro"}, "zoe": {"plan": "pro"}})
    assert reader.found() == reader.found(distinct_ids=["ann", "zoe"]) == []
    assert "no project" in reader.refusal(status=403, project_id=rival.pk)
    assert "no project" in reader.refusal(status=403, project_id=rival.pk + 1000)


def test_credentials_are_asked_for(shop: Project) -> None:
    expired = make_account(shop, expires_at=timezone.now() - dt.timedelta(seconds=1))
    for authorization in (
        "",
        "Bearer x",
        basic("nobody", "x"),
        basic(shop.token, ""),
        basic(expired.username, expired.username[::-1]),
    ):
        asker = Asker(HTTP_AUTHORIZATION=authorization)
        assert "Invalid service account" in asker.refusal(status=401)
        assert asker.ask("/api/query/cohorts/list").status_code == 401
    assert ServiceAccount.objects.count() == 1


@pytest.mark.parametrize("role", ["owner", "admin", "analyst", "consumer"])
def test_every_role_may_read(shop: Project, role: str) -> None:
    assert asker_of(shop, role=role).found() == []


def test_what_cannot_be_done_says_what_to_do(shop: Project, reader: Asker) -> None:
    assert "raw_cohort" in reader.refusal(behaviors=[{"window": "90d"}])
    assert "exclude each other" in reader.refusal(behaviors="[]", filter_by_cohort={"id": 1})
    assert "users only" in reader.refusal(data_group_id="1")
    assert "give one of them" in reader.refusal(where="true", selector="true")
    assert "selector: The expression cannot be read" in reader.refusal(selector="user[")
    response = reader.post("/api/query/engage", {"where": "true"})
    assert (response.status_code, "urlencoded" in response.json()["error"]) == (400, True)
    assert reader.put("/api/query/engage").status_code == 405
    assert reader.ask(where="x" * 1_100_000).status_code == 413


def test_parameters_may_come_as_json(shop: Project, reader: Asker) -> None:
    make_people(shop, {"ann": {"plan": "pro"}, "bob": {"plan": "pro"}})
    body = {"distinct_ids": ["ann"], "where": 'user["plan"] == "pro"'}
    response = reader.post(f"/api/query/engage?project_id={shop.pk}", body, content_type="application/json")
    assert [each["$distinct_id"] for each in response.json()["results"]] == ["ann"]
    assert "is not valid JSON" in reader.post("/api/query/engage", "{", content_type="application/json").json()["error"]


def test_a_query_that_takes_too_long_is_stopped(shop: Project, reader: Asker, settings: Settings) -> None:
    crowd(shop, 3000, note="a" * 200)
    settings.QUERY_TIMEOUT_SECONDS = 0.001
    many = [f"{number}-{'b' * 100}" for number in range(250)]
    response = reader.ask(where=" or ".join(f'user["note"] == "{each}"' for each in many))
    assert (response.status_code, response["Retry-After"]) == (503, "10")
    assert "was stopped after 0.001 seconds" in response.json()["error"]
