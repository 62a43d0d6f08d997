"""`bootstrap`: run by scripts, so again and again, and read by them, so one line."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django.utils import timezone

from cohorts.access import authenticate_service_account
from cohorts.models import Membership, Project, ServiceAccount, User
from tests.api.cast import basic


def bootstrap(*options: str, email: str = "ada@example.com", project: str = "Shop") -> dict[str, Any]:
    """Run the command as a script does, and read its line."""
    stdout = io.StringIO()
    call_command("bootstrap", "--email", email, "--project", project, "--json", *options, stdout=stdout)
    assert stdout.getvalue().endswith("\n")
    (line,) = stdout.getvalue().splitlines()
    answer: dict[str, Any] = json.loads(line)
    return answer


@pytest.mark.django_db
def test_the_first_time_it_makes_everything_and_shows_the_secrets() -> None:
    answer = bootstrap("--timezone", "Europe/Berlin", "--id-merge", "simplified")

    project = Project.objects.get(pk=answer["project_id"])
    assert set(answer) == {"project_id", "token", "service_account", "login", "api_url"}
    assert (project.name, project.timezone, project.id_merge) == ("Shop", "Europe/Berlin", "simplified")
    assert answer["token"] == project.token
    assert answer["api_url"] == f"http://127.0.0.1:{settings.PORT}/api/v1/projects/{project.pk}/"
    account = authenticate_service_account(**answer["service_account"], now=timezone.now())
    assert account is not None
    assert (account.project, account.role) == (project, "admin")
    user = User.objects.get(email="ada@example.com")
    assert user.check_password(answer["login"]["password"])
    assert Membership.objects.get(user=user, project=project).role == "owner"
    assert not user.is_staff
    assert project.match_properties.get().name == "$onesignal_user_id"


@pytest.mark.django_db
def test_what_it_prints_opens_the_api() -> None:
    answer = bootstrap()

    header = basic(**answer["service_account"])
    path = answer["api_url"].removeprefix(f"http://127.0.0.1:{settings.PORT}")
    assert Client().get(path + "cohorts", HTTP_AUTHORIZATION=header).json() == {"results": [], "next": None}


def test_its_login_opens_a_session(client: Client, db: None) -> None:
    login = bootstrap()["login"]

    assert client.login(username=login["email"].upper(), password=login["password"])


@pytest.mark.django_db
def test_again_it_changes_nothing_and_shows_no_secret() -> None:
    first = bootstrap()
    password = User.objects.get().password

    second = bootstrap(email="ADA@example.com ")

    assert second == {
        **first,
        "service_account": {"username": first["service_account"]["username"], "secret": None},
        "login": {"email": "ada@example.com", "password": None},
    }
    assert (Project.objects.count(), User.objects.count(), ServiceAccount.objects.count()) == (1, 1, 1)
    assert User.objects.get().password == password


@pytest.mark.django_db
def test_rotate_renews_both_secrets_and_the_old_ones_stop_working() -> None:
    first = bootstrap()

    second = bootstrap("--rotate")

    assert second["project_id"] == first["project_id"]
    assert authenticate_service_account(**first["service_account"], now=timezone.now()) is None
    assert authenticate_service_account(**second["service_account"], now=timezone.now()) is not None
    assert not User.objects.get().check_password(first["login"]["password"])
    assert User.objects.get().check_password(second["login"]["password"])


@pytest.mark.django_db
def test_a_known_login_keeps_its_password_and_owns_the_new_project_too() -> None:
    first = bootstrap()

    second = bootstrap(project="Second shop")

    assert second["project_id"] != first["project_id"]
    assert second["login"]["password"] is None
    assert second["service_account"]["secret"]
    assert Membership.objects.filter(user__email="ada@example.com", role="owner").count() == 2


@pytest.mark.django_db
def test_another_owners_project_of_the_same_name_stays_closed() -> None:
    first = bootstrap()

    second = bootstrap(email="bob@example.com")

    assert second["project_id"] != first["project_id"]
    assert not Membership.objects.filter(project=first["project_id"], user__email="bob@example.com").exists()


@pytest.mark.django_db
def test_staff_makes_the_login_an_operator() -> None:
    bootstrap()
    bootstrap("--staff")

    user = User.objects.get()
    assert user.is_staff
    assert user.is_superuser


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"email": "no address"}, "no e-mail address"),
        ({"project": ""}, "blank"),
        ({"project": "n" * 256}, "255"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(options: dict[str, str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        bootstrap(**options)
    assert not User.objects.exists()


@pytest.mark.django_db
def test_a_timezone_that_is_none_is_refused() -> None:
    with pytest.raises(CommandError, match="not an IANA timezone"):
        bootstrap("--timezone", "Mars/Base")


@pytest.mark.django_db
@pytest.mark.parametrize("options", [("--timezone", "Asia/Tokyo"), ("--id-merge", "simplified")])
def test_a_project_that_exists_is_not_silently_kept_otherwise(options: tuple[str, str]) -> None:
    bootstrap("--timezone", "UTC", "--id-merge", "original")

    with pytest.raises(CommandError, match="does not change it"):
        bootstrap(*options)
    assert bootstrap("--timezone", "UTC", "--id-merge", "original")["project_id"]


@pytest.mark.django_db
def test_without_json_it_is_written_for_people() -> None:
    stdout = io.StringIO()

    call_command("bootstrap", "--email", "ada@example.com", "--project", "Shop", stdout=stdout)

    assert "Shop" in stdout.getvalue()
    assert Project.objects.get().token in stdout.getvalue()


@pytest.mark.django_db(transaction=True)
def test_two_at_once_make_one_project() -> None:
    def run(_: int) -> int:
        try:
            return int(bootstrap()["project_id"])
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as threads:
        ids = set(threads.map(run, range(4)))

    assert len(ids) == 1
    assert (Project.objects.count(), User.objects.count(), ServiceAccount.objects.count()) == (1, 1, 1)
