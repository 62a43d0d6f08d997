"""The project's settings: who sees and changes what, secrets shown once, and lines that really work."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer

from cohorts.models import DistinctId, Event, Person, PersonKey, Project, ServiceAccount, User
from cohorts.models.projects import Role
from cohortsync.pages.sdks import SDKS
from tests.ingest.wire import basic, event, people, send
from tests.pages.words import text_of

IN_A_PAGE = {"HX-Request": "true"}


def settings_of(client: Client, project: Project) -> Any:
    answer = client.get(reverse("settings", args=[project.pk]))
    assert answer.status_code == 200
    return answer


def save(client: Client, project: Project, **changes: str) -> Any:
    known = {"name": project.name, "timezone": project.timezone, "id_merge": project.id_merge}
    return client.post(reverse("settings", args=[project.pk]), {**known, **changes})


@pytest.fixture
def young(shop: Project) -> Project:
    """The shop before anybody came."""
    for model in (PersonKey, DistinctId, Person):
        model.objects.filter(project=shop).delete()
    return shop


def test_an_owner_changes_name_timezone_and_identity_of_a_young_project(as_owner: Client, young: Project) -> None:
    assert save(as_owner, young, name="Store", timezone="Asia/Tokyo", id_merge="simplified").status_code == 302
    young.refresh_from_db()
    assert (young.name, young.timezone, young.id_merge) == ("Store", "Asia/Tokyo", "simplified")


def test_with_people_the_identity_is_fixed_whatever_is_posted(as_owner: Client, shop: Project) -> None:
    assert "Fixed since the first event or person came in" in text_of(settings_of(as_owner, shop))
    save(as_owner, shop, name="Store", id_merge="simplified")
    shop.refresh_from_db()
    assert (shop.name, shop.id_merge) == ("Store", "original")


def test_a_wrong_timezone_is_said_at_its_field_and_nothing_is_saved(as_owner: Client, shop: Project) -> None:
    answer = save(as_owner, shop, name="Store", timezone="Berlin")
    assert answer.status_code == 422
    assert "'Berlin' is not an IANA timezone such as Europe/Berlin or UTC." in text_of(answer)
    assert 'aria-describedby="id_timezone_error' in answer.content.decode().replace("id_timezone_helptext ", "")
    shop.refresh_from_db()
    assert shop.name == "Shop"


@pytest.mark.parametrize("role", [Role.ANALYST, Role.CONSUMER])
def test_others_read_the_settings_and_the_lines_and_change_nothing(
    role: str, shop: Project, member: Callable[[str], User], log_in: Callable[[User], Client]
) -> None:
    ServiceAccount.objects.create(project=shop, username="importer.abc", secret_hash="x", role="admin")
    client = log_in(member(role))
    text = text_of(settings_of(client, shop))
    assert shop.token in text
    assert "React Native" in text
    assert "importer.abc" not in text
    assert "New service account" not in text
    assert save(client, shop, name="Mine").status_code == 403
    shop.refresh_from_db()
    assert shop.name == "Shop"


def make_account(client: Client, project: Project, **fields: str) -> Any:
    url = reverse("service-account-new", args=[project.pk])
    return client.post(url, {"name": "Nightly import", "role": "admin", **fields}, headers=IN_A_PAGE)


def test_a_secret_is_shown_once_and_opens_the_import(as_owner: Client, shop: Project) -> None:
    answer = make_account(as_owner, shop)
    account = ServiceAccount.objects.get(project=shop)
    secret = answer.context["secret"]
    assert account.username in text_of(answer)
    assert secret in text_of(answer)
    assert "no-store" in answer.headers["Cache-Control"]
    assert secret not in settings_of(as_owner, shop).content.decode()
    assert account.username in text_of(settings_of(as_owner, shop))
    sent = event(shop, insert_id="1", time=1_700_000_000)
    path = f"/import?strict=1&project_id={shop.pk}"
    assert send(Client(), path, [sent], **basic(account.username, secret))[0] == 200
    assert send(Client(), path, [sent], **basic(account.username, secret + "x"))[0] == 401


def test_an_admin_gives_roles_up_to_their_own(
    shop: Project, member: Callable[[str], User], log_in: Callable[[User], Client]
) -> None:
    client = log_in(member(Role.ADMIN))
    assert make_account(client, shop, role="owner").status_code == 422
    assert not ServiceAccount.objects.exists()
    assert make_account(client, shop, role="analyst").status_code == 200
    owners = ServiceAccount.objects.create(project=shop, username="owners", secret_hash="x", role="owner")
    url = reverse("service-account-delete", args=[shop.pk, owners.pk])
    assert client.post(url).status_code == 403
    assert ServiceAccount.objects.filter(pk=owners.pk).exists()


def test_a_service_account_is_deleted_after_asking(as_owner: Client, shop: Project) -> None:
    account = ServiceAccount.objects.create(project=shop, username="old", secret_hash="x", role="admin")
    url = reverse("service-account-delete", args=[shop.pk, account.pk])
    assert "are refused with 401 from then on" in text_of(as_owner.get(url, headers=IN_A_PAGE))
    assert ServiceAccount.objects.exists()
    answer = as_owner.post(url, headers=IN_A_PAGE)
    assert answer.headers["HX-Redirect"] == reverse("settings", args=[shop.pk])
    assert not ServiceAccount.objects.exists()


def lines_of(page: Any, slug: str) -> str:
    found = re.search(rf'<pre id="sdk-{slug}-lines"[^>]*>(.*?)</pre>', page.content.decode(), re.DOTALL)
    assert found is not None, slug
    return html.unescape(found[1])


def test_every_sdk_has_lines_with_this_host_and_this_projects_token(as_owner: Client, shop: Project) -> None:
    page = settings_of(as_owner, shop)
    for sdk in SDKS:
        if sdk.slug != "curl":
            lines = lines_of(page, sdk.slug)
            assert shop.token in lines, sdk.slug
            assert "testserver" in lines, sdk.slug
            assert "mixpanel.com" not in lines, sdk.slug
    templates = {path.stem for path in (Path(django_settings.BASE_DIR) / "templates" / "sdks").iterdir()}
    assert templates == {sdk.slug for sdk in SDKS} - {"curl"}


def test_what_cannot_be_redirected_and_which_versions_are_needed_is_said(as_owner: Client, young: Project) -> None:
    text = text_of(settings_of(as_owner, young))
    assert "Do not call alias()" in text
    assert "For simplified ID merge: version 2.46 or newer." in text
    save(as_owner, young, id_merge="simplified")
    assert "This project is on simplified ID merge: version 2.46 or newer." in text_of(settings_of(as_owner, young))


@pytest.mark.django_db(transaction=True)
def test_the_lines_for_python_and_curl_do_what_they_say(live_server: LiveServer, as_owner: Client) -> None:
    project = Project.objects.get(name="Shop")
    page: Any = as_owner.get(
        reverse("settings", args=[project.pk]), headers={"Host": live_server.url.removeprefix("http://")}
    )
    exec(lines_of(page, "python"), {})
    assert Event.objects.filter(project=project, name="Signed Up", distinct_id="user-1").count() == 1
    assert people(project)["user-1"] == {"plan": "pro", "$onesignal_user_id": "user-1"}
    if shutil.which("curl") is None:
        return
    people_before = len(people(project))
    for name in ("event-snippet", "profile-snippet"):
        found = re.search(rf'<pre id="{name}"[^>]*>(.*?)</pre>', page.content.decode(), re.DOTALL)
        assert found is not None
        subprocess.run(["bash", "-c", html.unescape(found[1])], check=True, capture_output=True)
    assert Event.objects.filter(project=project, name="Signed Up").count() == 2
    assert len(people(project)) == people_before
