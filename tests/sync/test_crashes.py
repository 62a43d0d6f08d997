"""Whatever dies in the middle, the next finished run leaves the segment equal to the cohort (invariant 2)."""

from __future__ import annotations

import random
import time

import pytest
from django.db import connection as database
from django.utils import timezone

from integrations.models import Run, Sync
from integrations.sync import run_slice
from integrations.syncs import export_cohort, run_now
from tests.cast import make_cohort, make_people, make_project, property_definition, set_property, shoppers
from tests.sandbox_app import SandboxApp
from tests.sync.stories import connect_to, work
from tests.sync.test_ledger import DiesAt

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE = [f"user {number}" for number in range(12)]


def crash(app_id: int, *, position: int, is_after: bool) -> None:
    """Work a slice that dies before or after its nth statement, as a killed worker would."""
    try:
        with database.execute_wrapper(DiesAt(position, is_after=is_after)):
            run_slice(app_id=app_id)
    except RuntimeError:
        pass
    finally:
        database.close()


@pytest.mark.parametrize("seed", range(8))
def test_a_crash_at_any_statement_costs_nothing_but_time(onesignal: SandboxApp, seed: int) -> None:
    chance = random.Random(seed)
    shop = make_project()
    make_people(shop, shoppers(PEOPLE, plan="free", tier="gold"))
    onesignal.add_users(*PEOPLE)
    crm = connect_to(onesignal, shop)
    pro = make_cohort(shop)
    gold = make_cohort(shop, "Gold", property_definition("tier", "gold"))
    syncs = [
        export_cohort(cohort=cohort, connection=crm, mode="dynamic", by=None, now=timezone.now())[0]
        for cohort in (pro, gold)
    ]
    onesignal.set_faults(
        rate={"status": 500, "share": 0.05}, drop_connection={"before": 0.05, "after": 0.05}, seed=seed
    )
    for _ in range(4):
        for name, values in (("plan", ("pro", "free")), ("tier", ("gold", "tin"))):
            set_property(shop, chance.sample(PEOPLE, chance.randint(0, 6)), name, chance.choice(values))
        for sync in syncs:
            run_now(sync=sync, is_retry=False, now=timezone.now())
        crash(crm.app_id, position=chance.randint(1, 90), is_after=chance.random() < 0.5)
    onesignal.set_faults()
    work(crm)
    for sync in syncs:
        run_now(sync=sync, is_retry=True, now=timezone.now())
    work(crm)
    time.sleep(0.1)
    for sync, name, value in ((syncs[0], "plan", "pro"), (syncs[1], "tier", "gold")):
        last = Run.objects.filter(sync=sync).latest("id")
        assert last.status == Run.Status.SUCCEEDED, last.error
        assert onesignal.segment_users(sync.ledger.segment_id) == members(sync, name, value)


def members(sync: Sync, name: str, value: str) -> set[str]:
    """Return who belongs to the cohort, from the rows themselves."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT distinct_id FROM cohorts_person WHERE project_id = %s AND properties ->> %s = %s",
            [sync.project_id, name, value],
        )
        return {row[0] for row in cursor.fetchall()}
