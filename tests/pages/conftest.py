"""The people who look at the pages: one of each role in the shop, a stranger with a project of their own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from cohorts.models import Membership, Project, User
from cohorts.models.projects import Role
from tests.cast import make_people, make_project, shoppers
from tests.sandbox_app import onesignal, sandbox_url

__all__ = ["onesignal", "sandbox_url"]


@pytest.fixture
def shop(db: None) -> Project:
    """A project with three pro users whom OneSignal can know, one without an id and one anonymous."""
    project = make_project("Shop")
    make_people(project, shoppers(["ann", "bob", "cat"], plan="pro") | {"no-id": {"plan": "pro"}, "anon": {}})
    return project


@pytest.fixture
def member(shop: Project) -> Callable[[str], User]:
    """Return how to make a member of the shop with a role, named after it."""

    def make(role: str) -> User:
        user = User.objects.create_user(f"{role}@example.com", first_name=role.title(), last_name="Miller")
        Membership.objects.create(project=shop, user=user, role=role)
        return user

    return make


@pytest.fixture
def owner(member: Callable[[str], User]) -> User:
    return member(Role.OWNER)


@pytest.fixture
def analyst(member: Callable[[str], User]) -> User:
    return member(Role.ANALYST)


@pytest.fixture
def consumer(member: Callable[[str], User]) -> User:
    return member(Role.CONSUMER)


@pytest.fixture
def stranger(db: None) -> User:
    """Somebody who is the owner of another project."""
    user = User.objects.create_user("stranger@example.com")
    Membership.objects.create(project=make_project("Elsewhere"), user=user, role=Role.OWNER)
    return user


@pytest.fixture
def log_in() -> Callable[[User], Client]:
    """Return how to get a browser in which somebody is logged in."""

    def open_browser(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return open_browser


@pytest.fixture
def as_owner(owner: User, log_in: Callable[[User], Client]) -> Client:
    return log_in(owner)


@pytest.fixture
def as_analyst(analyst: User, log_in: Callable[[User], Client]) -> Client:
    return log_in(analyst)


@pytest.fixture
def as_consumer(consumer: User, log_in: Callable[[User], Client]) -> Client:
    return log_in(consumer)
