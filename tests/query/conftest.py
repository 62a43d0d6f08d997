"""A project with a program that may read, and no limits on what it asks."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from cohorts.models import Project
from tests.cast import make_project
from tests.query.asking import Asker, asker_of


@pytest.fixture
def shop(db: None) -> Project:
    return make_project("Shop")


@pytest.fixture
def reader(shop: Project) -> Asker:
    """A service account of the least role."""
    return asker_of(shop, role="consumer")


@pytest.fixture(autouse=True)
def unlimited(settings: Settings) -> None:
    """Tests that are not about limits are not limited."""
    settings.QUERY_MAX_PER_HOUR = 0
    settings.QUERY_MAX_CONCURRENT = 0
