"""Every page with every role: what is forbidden is refused, and nothing changes by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from cohorts.access import has_role
from cohorts.arrivals import arrivals
from cohorts.models import Cohort, Event, Project, ServiceAccount, User
from cohorts.models.projects import Role
from integrations.models import Connection, Ledger, Run, Sync
from tests.cast import make_cohort, make_connection, make_sync
from tests.ingest.wire import event, send

READ, WRITE, SYNC, CONNECT = Role.CONSUMER, Role.ANALYST, Role.ANALYST, Role.ADMIN
DOWNLOAD, ADMINISTER = Role.ANALYST, Role.ADMIN

# The least role of each page in a project, and the methods it takes.
PAGES: Mapping[str, tuple[Role, str]] = {
    "project": (READ, "GET"),
    "cohorts": (READ, "GET"),
    "cohort": (READ, "GET"),
    "cohort-coverage": (READ, "GET"),
    "cohort-members": (READ, "GET"),
    "cohort-count": (READ, "POST"),
    "cohort-new": (WRITE, "GET POST"),
    "cohort-edit": (WRITE, "GET POST"),
    "cohort-duplicate": (WRITE, "POST"),
    "cohort-delete": (WRITE, "GET POST"),
    "cohort-export": (SYNC, "GET POST"),
    "cohort-forecast": (SYNC, "GET"),
    "integrations": (CONNECT, "GET"),
    "destination": (CONNECT, "GET"),
    "connection-new": (CONNECT, "GET POST"),
    "connection-settings": (CONNECT, "GET POST"),
    "connection-key": (CONNECT, "GET POST"),
    "connection-check": (CONNECT, "POST"),
    "connection-disconnect": (CONNECT, "GET POST"),
    "sync": (READ, "GET"),
    "sync-live": (READ, "GET"),
    "sync-run": (SYNC, "POST"),
    "sync-pause": (SYNC, "POST"),
    "sync-resume": (SYNC, "POST"),
    "sync-mode": (SYNC, "POST"),
    "sync-delete": (SYNC, "GET POST"),
    "run": (READ, "GET"),
    "run-live": (READ, "GET"),
    "events": (READ, "GET"),
    "events-live": (READ, "GET"),
    "event": (READ, "GET"),
    "data-health": (READ, "GET"),
    "data-health-csv": (DOWNLOAD, "GET"),
    # Its form is posted to it: others than admins read it (tests/pages/test_settings.py).
    "settings": (READ, "GET"),
    "service-account-new": (ADMINISTER, "GET POST"),
    "service-account-delete": (ADMINISTER, "GET POST"),
}
# Outside of projects: for everybody who has logged in, and for everybody.
FOR_MEMBERS = {"home", "account_logout", "account_reauthenticate", "account_change_password", "account_set_password"}
FOR_EVERYBODY = {
    "account_login",
    "account_inactive",
    "account_signup",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
}
STATE = (Cohort, Connection, Sync, Run, Ledger, Project, ServiceAccount, Event)
# Parameters of routes that name something of a project.
ABOUT = {"cohort_id", "connection_id", "sync_id", "run_id", "event_key", "account_id"}
CASES = [(name, method) for name, (_, methods) in PAGES.items() for method in methods.split()]


@pytest.fixture
def ids(shop: Project) -> dict[str, Any]:
    """A cohort with a sync and a run, an event, an account in the shop; the ids of everything a page can be about."""
    cohort, connection = make_cohort(shop), make_connection(shop)
    sync = make_sync(cohort, connection)
    run = Run.objects.create(project=shop, sync=sync, trigger="manual", queued_at=timezone.now())
    send(Client(), "/track", [event(shop)])
    account = ServiceAccount.objects.create(project=shop, username="importer", secret_hash="x", role="admin")
    return {
        "event_key": arrivals(project=shop, limit=1).shown[0].key,
        "account_id": account.pk,
        "project_id": shop.pk,
        "cohort_id": cohort.pk,
        "connection_id": connection.pk,
        "sync_id": sync.pk,
        "run_id": run.pk,
        "kind": "onesignal",
    }


def patterns(resolver: URLResolver, *, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name and the route of every URL."""
    for each in resolver.url_patterns:
        route = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from patterns(each, prefix=route)
        elif isinstance(each, URLPattern):
            yield each.name or "", route


def test_no_page_is_missing_from_this_table() -> None:
    names = {name for name, route in patterns(get_resolver()) if route.startswith("projects/")}
    assert names == set(PAGES)


def test_no_other_page_is_missing_from_the_tables() -> None:
    elsewhere = ("projects/", "api/v1/", "admin/", "accounts/2fa/", "^track", "^import", "^engage", "^groups", "^api/")
    names = {name for name, route in patterns(get_resolver()) if not route.startswith(elsewhere)}
    assert names == FOR_MEMBERS | FOR_EVERYBODY


def address(name: str, ids: Mapping[str, Any]) -> str:
    """Return the page's address, with those ids that its route takes."""
    routes = dict(patterns(get_resolver()))
    path = reverse(name, kwargs={key: value for key, value in ids.items() if f":{key}>" in routes[name]})
    return f"{path}?connection={ids['connection_id']}" if name == "cohort-forecast" else path


def state() -> tuple[object, ...]:
    """Return what a forbidden action could have changed."""
    return tuple(list(model.objects.order_by("pk").values()) for model in STATE)


@pytest.mark.parametrize(("name", "method"), CASES)
@pytest.mark.parametrize("role", Role.values)
def test_a_member_may_what_the_role_allows_and_nothing_else(
    name: str,
    method: str,
    role: str,
    ids: dict[str, Any],
    member: Callable[[str], User],
    log_in: Callable[[User], Client],
) -> None:
    client, before = log_in(member(role)), state()
    answer = client.generic(method, address(name, ids), "", "application/x-www-form-urlencoded")
    if has_role(Role(role), PAGES[name][0]):
        assert answer.status_code in (200, 302, 422)
    else:
        assert answer.status_code == 403
        assert "takes the role" in answer.content.decode()
        assert state() == before


@pytest.mark.parametrize(("name", "method"), CASES)
def test_a_stranger_finds_nothing(
    name: str, method: str, ids: dict[str, Any], stranger: User, log_in: Callable[[User], Client]
) -> None:
    before = state()
    answer = log_in(stranger).generic(method, address(name, ids), "", "application/x-www-form-urlencoded")
    assert answer.status_code == 404
    assert "Pro users" not in answer.content.decode()
    assert state() == before


@pytest.mark.parametrize(("name", "method"), CASES)
def test_ids_of_another_project_are_unknown_in_ones_own(
    name: str, method: str, ids: dict[str, Any], stranger: User, log_in: Callable[[User], Client]
) -> None:
    own = Project.objects.get(memberships__user=stranger)
    path = address(name, {**ids, "project_id": own.pk})
    before = state()
    answer = log_in(stranger).generic(method, path, "", "application/x-www-form-urlencoded")
    is_about_something = bool(path_keys(name) & ABOUT)
    assert answer.status_code == 404 if is_about_something else answer.status_code in (200, 302, 422)
    assert state() == before


def path_keys(name: str) -> set[str]:
    """Return the parameters of a page's route."""
    route = dict(patterns(get_resolver()))[name]
    return {part.partition(">")[0].rpartition(":")[2] for part in route.split("<")[1:]}


@pytest.mark.parametrize(("name", "method"), CASES)
def test_without_a_login_every_page_leads_to_it(name: str, method: str, ids: dict[str, Any], client: Client) -> None:
    answer = client.generic(method, address(name, ids), "", "application/x-www-form-urlencoded")
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(reverse("account_login"))


@pytest.mark.parametrize(("name", "method"), [case for case in CASES if case[1] == "POST"])
def test_a_post_from_elsewhere_is_refused(name: str, method: str, ids: dict[str, Any], owner: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    before = state()
    assert browser.generic(method, address(name, ids), "", "application/x-www-form-urlencoded").status_code == 403
    assert state() == before


@pytest.mark.parametrize("name", [name for name, (_, methods) in PAGES.items() if methods == "POST"])
def test_what_changes_something_is_not_a_link(name: str, ids: dict[str, Any], as_owner: Client) -> None:
    assert as_owner.get(address(name, ids)).status_code == 405
