"""The operators' admin: everything is there, nothing secret is shown, nothing that breaks an invariant opens."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection as database
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pyroaring import BitMap
from pytest_django import Settings

from cohorts.admin_tables import FirstRowsPaginator, LargeTableAdmin
from cohorts.models import (
    ErasedKey,
    ErasedPerson,
    Erasure,
    Event,
    FormerKey,
    GroupProfile,
    MatchKey,
    Membership,
    PeopleSession,
    Person,
    PersonKey,
    Project,
    Redirect,
    Refusal,
    ServiceAccount,
    User,
)
from cohorts.partitions import ensure_partitions
from integrations.bitmaps import bitmap_bytes
from integrations.models import (
    Connection,
    LedgerBitmap,
    LedgerEntry,
    RejectedRecipient,
    RunBitmap,
    UnmatchedRecipient,
    WriteClock,
)
from tests.api.cast import API_KEY, make_account, make_connection, make_member, make_run, make_sync
from tests.cast import make_cohort, make_people, make_project, shoppers

BITMAP = bitmap_bytes(BitMap([1, 2, 70_000]))
OURS = [model for app in ("cohorts", "integrations", "cohortsync") for model in apps.get_app_config(app).get_models()]


def path_of(model: type[Model], *, project: Project) -> str:
    query = f"?project={project.pk}" if isinstance(admin.site.get_model_admin(model), LargeTableAdmin) else ""
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/{query}"


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create(email="root@example.com", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def shop(db: None) -> Project:
    """A project with a row in every table."""
    project = make_project("Shop")
    make_account(project)
    make_member(project, "owner", "ada@example.com")
    make_people(project, shoppers(["ada", "bob"], plan="pro"))
    key, now = MatchKey.objects.filter(project=project).first(), timezone.now()
    assert key is not None
    ensure_partitions(moments=[now], now=now)
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO cohorts_event (project_id, dedup_at, dedup_hash, occurred_at, received_at, content_hash, name,"
            " distinct_id) VALUES (%s, %s, gen_random_uuid(), now(), now(), 1, 'Purchase', 'ada')",
            [project.pk, now],
        )
    Redirect.objects.create(project=project, loser_id=1, winner_id=2, created_at=now)
    GroupProfile.objects.create(project=project, group_key="company", group_id="acme", created_at=now)
    session = {"name": "1-A", "total": 0, "person_ids": b"", "created_at": now, "expires_at": now}
    PeopleSession.objects.create(project=project, service_account=ServiceAccount.objects.get(), **session)
    Refusal.objects.create(project=project, refused_date=now, endpoint="track", reason="No event", count=1, last_at=now)
    erasure = Erasure.objects.create(
        project=project, requested_by="dpo", requested_at=now, id_hashes=["ab" * 32], person_count=1, key_count=1
    )
    ErasedPerson.objects.create(project=project, person_id=0, erasure=erasure)
    ErasedKey.objects.create(
        project=project, match_property=key.match_property, match_key=key, erasure=erasure, value_hash=b"\xab" * 32
    )
    FormerKey.objects.create(project=project, person=Person.objects.filter(project=project)[0], match_key=key)
    connection = make_connection(project)
    sync = make_sync(make_cohort(project), connection)
    RunBitmap.objects.create(run=make_run(sync), kind="wanted", recipients=BITMAP)
    LedgerBitmap.objects.create(ledger=sync.ledger, delivered=BITMAP, doubt_set=BITMAP, doubt_clear=b"")
    entry: dict[str, Any] = {"ledger": sync.ledger, "value": True, "recipients": BITMAP}
    LedgerEntry.objects.create(lease_token=1, batch_number=1, kind="intent", **entry)
    WriteClock.objects.create(until=now, **entry)
    answer: dict[str, Any] = {"project": project, "match_key": key, "answered_at": now, "retry_at": now}
    UnmatchedRecipient.objects.create(app=connection.app, reason="Unknown there", **answer)
    RejectedRecipient.objects.create(ledger=sync.ledger, reason="Tag limit", **answer)
    return project


def test_every_model_is_registered() -> None:
    assert [model.__name__ for model in OURS if not admin.site.is_registered(model)] == []


@pytest.mark.parametrize("model", OURS)
def test_every_list_and_every_page_opens_without_a_secret(operator: Client, shop: Project, model: type[Model]) -> None:
    listed = operator.get(path_of(model, project=shop))
    html = listed.content.decode()

    assert listed.status_code == 200
    assert listed.context["cl"].result_count >= 1
    pages = set(re.findall(rf'"(/admin/{model._meta.app_label}/{model._meta.model_name}/[^/"]+/change/)', html))
    # Events and the tables of ids are shown as lists alone.
    assert pages or model._meta.model_name in {"event", "distinctid", "matchkey", "personkey", "redirect", "formerkey"}
    for page in pages:
        opened = operator.get(page)
        assert opened.status_code == 200, page
        html += opened.content.decode()
    assert API_KEY not in html
    assert API_KEY[:12] not in html
    for stored in Connection.objects.raw("SELECT id, credential::bytea AS sealed FROM integrations_connection"):
        assert bytes(stored.sealed).decode() not in html  # type: ignore[attr-defined]
    assert "memory at 0x" not in html
    assert repr(BITMAP)[2:-1] not in html
    assert not re.search(r"[0-9a-f]{64}", html)


@pytest.mark.parametrize("model", [RunBitmap, LedgerBitmap, LedgerEntry, WriteClock])
def test_a_bitmap_is_shown_as_a_count_and_not_read_for_a_list(
    operator: Client, shop: Project, model: type[Model]
) -> None:
    with CaptureQueriesContext(database) as queries:
        operator.get(path_of(model, project=shop))
    row = model._default_manager.get()
    page = operator.get(f"/admin/integrations/{model._meta.model_name}/{row.pk}/change/").content.decode()

    assert not any(name in query["sql"] for query in queries for name in ('"recipients"', '"delivered"'))
    assert ": 3" in page


def test_a_connection_shows_the_last_characters_of_its_key(operator: Client, shop: Project) -> None:
    connection = Connection.objects.get()

    page = operator.get(f"/admin/integrations/connection/{connection.pk}/change/").content.decode()

    assert f"••••{API_KEY[-4:]}" in page


def test_connections_open_although_a_key_is_lost(operator: Client, shop: Project, settings: Settings) -> None:
    page = f"connection/{Connection.objects.get().pk}/change/"
    settings.CREDENTIAL_KEYS = []

    for path in ("connection/", page, "sync/", "ledger/"):
        assert operator.get(f"/admin/integrations/{path}").status_code == 200


@pytest.mark.parametrize("model", [model for model in OURS if model._meta.app_label == "integrations"])
def test_nothing_of_the_sync_spine_can_be_written_by_hand(operator: Client, shop: Project, model: type[Model]) -> None:
    row = model._default_manager.first()
    assert row is not None
    folder = f"/admin/integrations/{model._meta.model_name}"

    assert operator.get(f"{folder}/add/").status_code == 403
    assert operator.post(f"{folder}/{row.pk}/change/", {}).status_code == 403
    assert operator.post(f"{folder}/{row.pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("model", [Event, Person, PersonKey, MatchKey])
def test_a_large_table_shows_nothing_before_a_project_is_chosen(
    operator: Client, shop: Project, model: type[Model]
) -> None:
    answer = operator.get(f"/admin/cohorts/{model._meta.model_name}/")

    assert answer.status_code == 200
    assert answer.context["cl"].result_count == 0


@pytest.mark.parametrize(
    "model", [model for model in OURS if isinstance(admin.site.get_model_admin(model), LargeTableAdmin)]
)
def test_a_large_table_is_never_counted(operator: Client, shop: Project, model: type[Model]) -> None:
    with CaptureQueriesContext(database) as queries:
        operator.get(path_of(model, project=shop))

    on_table = [query["sql"] for query in queries if f'FROM "{model._meta.db_table}"' in query["sql"]]
    assert any(sql.endswith(f"LIMIT {FirstRowsPaginator.ROWS}") for sql in on_table)
    assert not any("COUNT(" in sql.upper() for sql in on_table)
    assert all(f'"project_id" = {shop.pk}' in sql for sql in on_table)


def test_only_the_first_thousand_rows_are_paged(operator: Client, shop: Project) -> None:
    make_people(shop, {f"p{number}": {} for number in range(FirstRowsPaginator.ROWS + 5)})

    listed = operator.get(path_of(Person, project=shop))

    assert listed.context["cl"].result_count == FirstRowsPaginator.ROWS


def test_a_person_is_found_by_any_of_their_ids(operator: Client, shop: Project) -> None:
    ada = Person.objects.get(distinct_id="ada")
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO cohorts_distinctid (project_id, distinct_id, person_id) VALUES (%s, 'device-1', %s)",
            [shop.pk, ada.pk],
        )

    found = operator.get(path_of(Person, project=shop) + "&q=device-1")
    page = operator.get(f"/admin/cohorts/person/{shop.pk}-{ada.pk}/change/").content.decode()

    assert [person.pk for person in found.context["cl"].result_list] == [ada.pk]
    assert "device-1" in page


@pytest.mark.parametrize(
    ("model", "term"),
    [
        *(("matchkey", "ada"), ("distinctid", "ada"), ("event", "Purchase"), ("personkey", "0")),
        ("groupprofile", "acme"),
    ],
)
def test_large_tables_are_searched_by_equality(operator: Client, shop: Project, model: str, term: str) -> None:
    answer = operator.get(f"/admin/cohorts/{model}/?project={shop.pk}&q={term}")

    assert answer.context["cl"].result_count == (0 if term == "0" else 1)


@pytest.mark.parametrize("object_id", ["1", "x-1", "1-x", "0-0", "-"])
def test_a_person_needs_project_and_number(operator: Client, shop: Project, object_id: str) -> None:
    assert operator.get(f"/admin/cohorts/person/{object_id}/change/").status_code == 302


def test_the_last_owner_stays(operator: Client, shop: Project) -> None:
    owner = Membership.objects.get(project=shop)
    page = f"/admin/cohorts/membership/{owner.pk}"

    refused = operator.post(f"{page}/change/", {"role": "admin"})

    assert "A project needs an owner" in refused.content.decode()
    assert operator.post(f"{page}/delete/", {"post": "yes"}).status_code == 403
    make_member(shop, "owner")
    assert operator.post(f"{page}/change/", {"role": "admin"}).status_code == 302
    assert Membership.objects.get(pk=owner.pk).role == "admin"


def test_an_operator_makes_a_login(operator: Client) -> None:
    fields = {
        "email": "New@Example.com",
        "usable_password": "true",
        "password1": "correct horse battery",
        "password2": "correct horse battery",
    }

    answer = operator.post("/admin/cohorts/user/add/", fields)

    assert answer.status_code == 302, answer.content.decode()
    assert User.objects.get(email="new@example.com").check_password("correct horse battery")


def test_somebody_without_staff_rights_sees_no_admin(db: None) -> None:
    client = Client()
    client.force_login(make_member(make_project(), "owner"))

    assert client.get("/admin/cohorts/project/").status_code == 302
