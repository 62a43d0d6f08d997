"""kill -9 of every process in turn while a dynamic sync is at work; afterwards the segment must equal the cohort.

`make chaos` (ROUNDS=2). Starts an installation of its own in a temporary folder and prints what was survived.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import mixpanel
import requests

from tests.installation import Installation
from tests.sandbox_app import SandboxApp
from tests.stories.cdnow import Shop, bootstrap

VICTIMS = ("worker", "beat", "redis", "postgres", "web", "sandbox")
PEOPLE = [f"person {number}" for number in range(600)]
CHANGED = 300


def main() -> int:
    rounds = int(os.environ.get("ROUNDS", "1"))
    chance = random.Random(int(os.environ.get("SEED", "1")))
    with tempfile.TemporaryDirectory(prefix="cohortsync-chaos-") as folder:
        installation = Installation(Path(folder))
        try:
            installation.wait_until_healthy()
            return _story(installation, rounds, chance)
        finally:
            installation.stop()


def _story(installation: Installation, rounds: int, chance: random.Random) -> int:
    onesignal = SandboxApp(installation.sandbox_url())
    shop = bootstrap(installation.environment, url=installation.url, name="Chaos")
    onesignal.add_users(*PEOPLE)
    wanted = set(chance.sample(PEOPLE, CHANGED))
    _set_plans(shop, {person: "pro" if person in wanted else "free" for person in PEOPLE})
    sync = _export(shop, onesignal)
    shop.finished(sync["last_run_id"], seconds=120)
    print(f"{'killed':10} {'status':10} {'back after':>10} {'equal after':>11}  segment equals cohort", flush=True)
    failures = 0
    for victim in VICTIMS * rounds:
        onesignal.set_faults(latency_ms=100)
        wanted = set(chance.sample(PEOPLE, CHANGED))
        _set_plans(shop, {person: "pro" if person in wanted else "free" for person in PEOPLE})
        run_id = shop.call("POST", f"syncs/{sync['id']}/run", expect=202)["id"]
        _wait_until_running(shop, run_id)
        time.sleep(chance.uniform(0.2, 1.0))
        installation.kill(victim)
        began = time.monotonic()
        onesignal = _patiently(lambda app=onesignal: app.set_faults() or app)
        installation.wait_until_healthy(seconds=90)
        back = time.monotonic() - began
        run = _patiently(lambda run_id=run_id: shop.finished(run_id, seconds=120))
        while run["status"] != "succeeded" and time.monotonic() < began + 120:
            # A run may end as temporary when the sandbox itself was killed; the next one has to put it right.
            again = shop.call("POST", f"syncs/{sync['id']}/run", expect=202)["id"]
            run = shop.finished(again, seconds=120)
        is_equal = onesignal.segment_users(sync["segment"]["id"]) == wanted
        failures += not is_equal
        equal = time.monotonic() - began
        print(f"{victim:10} {run['status']:10} {back:9.1f}s {equal:10.1f}s  {'yes' if is_equal else 'NO'}", flush=True)
    print(f"{len(VICTIMS) * rounds - failures} passed, {failures} failed")
    return 1 if failures else 0


def _set_plans(shop: Shop, plans: dict[str, str]) -> None:
    consumer = mixpanel.BufferedConsumer(people_url=f"{shop.url}/engage", request_timeout=30)
    client = mixpanel.Mixpanel(shop.token, consumer=consumer)
    for person, plan in plans.items():
        client.people_set(person, {"plan": plan, "$onesignal_user_id": person})
    consumer.flush()


def _export(shop: Shop, onesignal: SandboxApp) -> Any:
    condition = {"kind": "property", "property": "plan", "type": "string", "operator": "equals", "values": ["pro"]}
    definition = {"match": "all", "groups": [{"match": "all", "conditions": [condition]}]}
    cohort = shop.call("POST", "cohorts", {"name": "Pro", "definition": definition}, expect=201)
    connection = shop.connect(onesignal)
    wish = {"cohort_id": cohort["id"], "connection_id": connection["id"], "mode": "dynamic"}
    return shop.call("POST", "syncs", wish, expect=201)


def _wait_until_running(shop: Shop, run_id: int) -> None:
    ends_at = time.monotonic() + 60
    while shop.call("GET", f"runs/{run_id}")["status"] == "queued" and time.monotonic() < ends_at:
        time.sleep(0.05)


def _patiently(call: Any) -> Any:
    """Call until the killed process answers again."""
    ends_at = time.monotonic() + 60
    while True:
        try:
            return call()
        except (requests.RequestException, AssertionError):
            if time.monotonic() > ends_at:
                raise
            time.sleep(0.3)


if __name__ == "__main__":
    sys.exit(main())
