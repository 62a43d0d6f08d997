"""The main job through the product as it is shipped: `manage.py up`, an SDK, REST, and a worker that dies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation import CHECKOUT, Installation
from tests.sandbox_app import SandboxApp
from tests.stories.cdnow import bootstrap, read_orders, tell

SAMPLE = CHECKOUT / "tests" / "fixtures" / "cdnow-sample.csv"


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    running = Installation(tmp_path)
    try:
        running.wait_until_healthy()
        yield running
    finally:
        running.stop()


def test_orders_become_a_segment_that_equals_the_cohort_although_the_worker_dies(installation: Installation) -> None:
    onesignal = SandboxApp(installation.sandbox_url())
    shop = bootstrap(installation.environment, url=installation.url, name="CDNOW")
    orders = read_orders(SAMPLE)
    onesignal.set_faults(latency_ms=150)

    def kill_the_worker() -> None:
        ends_at = time.monotonic() + 20
        while onesignal.user_requests() < 30:
            assert time.monotonic() < ends_at, installation.output()
            time.sleep(0.02)
        installation.kill("worker")
        onesignal.set_faults()

    figures = tell(shop, onesignal, orders, during_first_export=kill_the_worker)
    assert figures["members"][0] > 100
    assert figures["requests"][2] == 0
