"""Access is decided in one place: credentials, the project, the role."""

from __future__ import annotations

import datetime as dt

import pytest

from cohorts.access import AccessDenied, Action, Actor, NotFound, actor_for, authenticate_service_account, require
from cohorts.models import Membership, Project, ServiceAccount, User
from cohorts.models.projects import Role
from cohorts.projects import InvalidProject, create_project, create_service_account, rotate_service_account

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)

# api.md, "Who may".
MAY = {
    Action.READ: {"owner", "admin", "analyst", "consumer"},
    Action.WRITE_COHORTS: {"owner", "admin", "analyst"},
    Action.SYNC: {"owner", "admin", "analyst"},
    Action.DOWNLOAD: {"owner", "admin", "analyst"},
    Action.CONNECT: {"owner", "admin"},
    Action.ADMINISTER: {"owner", "admin"},
    Action.ERASE: {"owner", "admin"},
}


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada@example.com", "correct horse battery")


@pytest.fixture
def shop(ada: User) -> Project:
    return create_project(name="Shop", timezone="Europe/Berlin", id_merge="original", owner=ada)


@pytest.fixture
def program(shop: Project) -> tuple[ServiceAccount, str]:
    return create_service_account(project=shop, username="loader", role=Role.ANALYST, now=NOW)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("role", Role)
def test_each_action_takes_its_role_or_a_higher_one(action: Action, role: Role) -> None:
    actor = Actor(visitor=User(email="eve@example.com"), project=Project(), role=role)

    if role in MAY[action]:
        require(actor, action)
    else:
        with pytest.raises(AccessDenied) as refusal:
            require(actor, action)
        assert f"takes the role {action.least_role}" in refusal.value.sentence
        assert f"yours in this project is {role}" in refusal.value.sentence


def test_a_new_project_has_its_owner_and_a_complete_match_property(shop: Project, ada: User) -> None:
    assert actor_for(visitor=ada, project_id=shop.pk) == Actor(ada, shop, Role.OWNER)
    match_property = shop.match_properties.get()
    assert match_property.name == "$onesignal_user_id"
    assert match_property.completed_at is not None


@pytest.mark.parametrize(
    ("name", "timezone", "id_merge"), [("", "UTC", "original"), ("Shop", "Mars/Base", "original"), ("S", "UTC", "both")]
)
def test_a_project_that_cannot_be_is_refused_with_a_sentence(
    ada: User, name: str, timezone: str, id_merge: str
) -> None:
    with pytest.raises(InvalidProject, match=r"\w"):
        create_project(name=name, timezone=timezone, id_merge=id_merge, owner=ada)
    assert not Project.objects.exists()


def test_a_stranger_and_a_wrong_number_read_the_same(shop: Project, program: tuple[ServiceAccount, str]) -> None:
    stranger = User.objects.create_user("eve@example.com")
    theirs = create_project(name="Rival", timezone="UTC", id_merge="simplified", owner=stranger)

    visitors: list[tuple[User | ServiceAccount, int]] = [
        (stranger, shop.pk),
        (program[0], theirs.pk),
        (stranger, 0),
        (program[0], 0),
    ]
    for visitor, project_id in visitors:
        with pytest.raises(NotFound) as answer:
            actor_for(visitor=visitor, project_id=project_id)
        assert answer.value.sentence == f"There is no project {project_id} that these credentials may enter."


def test_somebody_who_was_put_out_is_a_stranger(shop: Project, ada: User) -> None:
    Membership.objects.filter(user=ada).delete()

    with pytest.raises(NotFound):
        actor_for(visitor=ada, project_id=shop.pk)


def test_the_secret_is_shown_once_and_only_its_hash_is_kept(program: tuple[ServiceAccount, str]) -> None:
    account, secret = program

    stored = ServiceAccount.objects.filter(pk=account.pk).values().get()
    assert len(secret) >= 40
    assert secret not in str(stored)
    assert authenticate_service_account(username="loader", secret=secret, now=NOW) == account


def test_the_wrong_secret_another_name_and_the_hash_itself_do_not_open(program: tuple[ServiceAccount, str]) -> None:
    account, secret = program

    for username, guess in [
        ("loader", "wrong"),
        ("loader", ""),
        ("nobody", secret),
        ("Loader", secret),
        ("loader", account.secret_hash),
        ("loader\0", secret),
        ("nobody", ""),
    ]:
        assert authenticate_service_account(username=username, secret=guess, now=NOW) is None


def test_a_renewed_secret_replaces_the_old_one(program: tuple[ServiceAccount, str]) -> None:
    account, old = program

    new = rotate_service_account(account=account)

    assert authenticate_service_account(username="loader", secret=old, now=NOW) is None
    assert authenticate_service_account(username="loader", secret=new, now=NOW) == account


def test_an_account_ends_at_its_expiry(shop: Project) -> None:
    ends_at = NOW + dt.timedelta(hours=1)
    _, secret = create_service_account(project=shop, username="intern", role=Role.CONSUMER, now=NOW, expires_at=ends_at)

    before = authenticate_service_account(username="intern", secret=secret, now=ends_at - dt.timedelta(seconds=1))
    assert before is not None
    assert authenticate_service_account(username="intern", secret=secret, now=ends_at) is None


def test_an_account_that_has_expired_already_is_not_made(shop: Project) -> None:
    with pytest.raises(InvalidProject, match="expired already"):
        create_service_account(project=shop, username="late", role=Role.ADMIN, now=NOW, expires_at=NOW)
