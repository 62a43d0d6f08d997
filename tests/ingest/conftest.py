"""A project and what imports to it."""

from __future__ import annotations

import pytest

from cohorts.models import Project
from tests.cast import make_project
from tests.ingest.wire import account_of


@pytest.fixture
def shop(db: None) -> Project:
    return make_project("Shop")


@pytest.fixture
def simple_shop(db: None) -> Project:
    """A project on simplified ID merge."""
    return make_project("Simple shop", id_merge="simplified")


@pytest.fixture
def importer(shop: Project) -> dict[str, str]:
    """The credentials of an admin's service account of the shop, as a header."""
    return account_of(shop)
