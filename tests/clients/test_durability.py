"""A success means stored, though a web worker and PostgreSQL are killed under load (design.md, invariant 1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.durability import send_while_killing
from tests.clients.walking import Target
from tests.installation import Installation
from tests.stories.cdnow import bootstrap


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    running = Installation(tmp_path)
    try:
        running.wait_until_healthy()
        yield running
    finally:
        running.stop()


def test_every_record_answered_with_success_is_there_once_though_processes_die(installation: Installation) -> None:
    shop = bootstrap(installation.environment, url=installation.url, name="Durable")
    target = Target(
        url=shop.url,
        https_url="",
        token=shop.token,
        secret=shop.token,
        project_id=str(shop.project_id),
        cohort_id="",
        cohort_people="",
        username=shop.username,
        password=shop.secret,
    )
    kills = ("web/child", "postgres")
    outcome = send_while_killing(installation, target, senders=6, seconds=6, kills=kills)
    assert outcome.faults() == []
    assert outcome.answered >= 6 * 50
    assert outcome.unanswered == 0
    assert outcome.errors, "no client met the kills"
