"""A project with an empty cast, and partitions for what its people will do."""

from __future__ import annotations

import pytest

from cohorts.models import Project
from tests.cast import make_project
from tests.cohorts.people import make_partitions


@pytest.fixture
def shop(db: None) -> Project:
    """A project in UTC without people."""
    make_partitions()
    return make_project()
