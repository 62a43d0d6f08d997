"""The main job on real purchases, driven from outside as a customer would: SDK in, REST, segment out.

Orders come from CDNOW (tests/fixtures/README.md names the origin). Run it by hand against `make up`:
`.venv/bin/python -m tests.stories.cdnow --file cdnow.csv`; it prints the wall time of each stage.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mixpanel
import requests

from tests.installation import CHECKOUT
from tests.sandbox_app import SandboxApp

USERS_AT_A_TIME = 5000


@dataclass(frozen=True)
class Order:
    """One line of the file; `line` makes its insert id, since 255 orders repeat another line exactly."""

    line: int
    customer: str
    date: dt.date
    units: int
    dollars: float


def read_orders(path: Path) -> list[Order]:
    """Return the orders of a CDNOW file."""
    with path.open(newline="") as file:
        return [
            Order(
                line,
                row["customer_id"],
                dt.date.fromisoformat(row["date"]),
                int(row["number_of_cds"]),
                float(row["dollar_value"]),
            )
            for line, row in enumerate(csv.DictReader(file), start=2)
        ]


def expected_customers(orders: list[Order], *, dollars: float) -> set[str]:
    """Return who bought at least twice and for at least so much in 1997, in plain Python."""
    counts: dict[str, int] = {}
    cents: dict[str, int] = {}
    for order in orders:
        if order.date.year == 1997:
            counts[order.customer] = counts.get(order.customer, 0) + 1
            cents[order.customer] = cents.get(order.customer, 0) + round(order.dollars * 100)
    return {customer for customer, count in counts.items() if count >= 2 and cents[customer] >= round(dollars * 100)}


def definition(*, dollars: float) -> dict[str, Any]:
    """Return the cohort: at least 2 purchases and at least so many dollars in 1997."""
    window = {"type": "fixed", "from": "1997-01-01", "to": "1997-12-31"}
    purchase = {"kind": "event", "event": "Purchase", "did": True, "window": window}
    return {
        "base": "profiles",
        "match": "all",
        "groups": [
            {
                "match": "all",
                "conditions": [
                    {**purchase, "operator": "at_least", "value": 2},
                    {
                        **purchase,
                        "measure": {"type": "sum", "property": "dollars"},
                        "operator": "at_least",
                        "value": dollars,
                    },
                ],
            }
        ],
    }


@dataclass
class Shop:
    """A project as `bootstrap` made it, and its REST API."""

    project_id: int
    token: str
    username: str
    secret: str
    url: str
    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Note the wall time of a stage."""
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)

    def call(self, method: str, path: str, body: Any = None, *, expect: int = 200) -> Any:
        """Call the REST API; any other status than the expected one is an error with the answer's words."""
        answer = requests.request(
            method,
            f"{self.url}/api/v1/projects/{self.project_id}/{path}",
            json=body,
            auth=(self.username, self.secret),
            timeout=60,
        )
        if answer.status_code != expect:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def send_orders(self, orders: list[Order]) -> None:
        """Send the orders through `import_data` of Mixpanel's official SDK, with service-account credentials."""
        credentials = mixpanel.ServiceAccountCredentials(
            username=self.username, secret=self.secret, project_id=str(self.project_id)
        )
        consumer = mixpanel.BufferedConsumer(
            import_url=f"{self.url}/import", request_timeout=60, credentials=credentials
        )
        client = mixpanel.Mixpanel(self.token, consumer=consumer)
        for order in orders:
            client.import_data(
                api_key=None,
                distinct_id=order.customer,
                event_name="Purchase",
                timestamp=dt.datetime.combine(order.date, dt.time(), dt.UTC).timestamp(),
                properties={"units": order.units, "dollars": order.dollars, "$insert_id": f"cdnow-{order.line}"},
            )
        consumer.flush()

    def send_profiles(self, customers: list[str]) -> None:
        """Set each customer's id at OneSignal through the SDK's `people_set`."""
        consumer = mixpanel.BufferedConsumer(people_url=f"{self.url}/engage", request_timeout=60)
        client = mixpanel.Mixpanel(self.token, consumer=consumer)
        for customer in customers:
            client.people_set(customer, {"$onesignal_user_id": customer, "source": "cdnow"})
        consumer.flush()

    def connect(self, onesignal: SandboxApp) -> Any:
        """Connect an app of the sandbox and return the connection."""
        wish = {
            "destination": "onesignal",
            "name": "Sandbox",
            "config": {"app_id": onesignal.app_id, "sandbox": True},
            "credentials": {"api_key": onesignal.api_key},
        }
        return self.call("POST", "connections", wish, expect=201)

    def finished(self, run_id: int, *, seconds: float = 300) -> dict[str, Any]:
        """Wait for a run to end and return it."""
        ends_at = time.monotonic() + seconds
        while True:
            run: dict[str, Any] = self.call("GET", f"runs/{run_id}")
            if run["status"] not in ("queued", "running"):
                return run
            assert time.monotonic() < ends_at, f"run {run_id} does not end: {run}"
            time.sleep(0.2)


def bootstrap(environment: dict[str, str], *, url: str, name: str) -> Shop:
    """Make a project beside a running `make up` with the bootstrap command."""
    command = [sys.executable, "manage.py", "bootstrap", "--email", "cdnow@example.com", "--project", name, "--json"]
    done = subprocess.run(
        [*command, "--rotate"], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    account = made["service_account"]
    return Shop(made["project_id"], made["token"], account["username"], account["secret"], url)


def tell(
    shop: Shop,
    onesignal: SandboxApp,
    orders: list[Order],
    *,
    during_first_export: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Walk the whole way and check every segment against plain Python; return the figures."""
    customers = sorted({order.customer for order in orders})
    with shop.stage("orders by import_data"):
        shop.send_orders(orders)
    with shop.stage("profiles by people_set"):
        shop.send_profiles(customers)
    with shop.stage("users made at the sandbox"):
        for start in range(0, len(customers), USERS_AT_A_TIME):
            onesignal.add_users(*customers[start : start + USERS_AT_A_TIME])
    fifty, hundred_twenty = (expected_customers(orders, dollars=dollars) for dollars in (50, 120))
    cohort = shop.call("POST", "cohorts", {"name": "Good customers", "definition": definition(dollars=50)}, expect=201)
    with shop.stage("count"):
        coverage = shop.call("POST", f"cohorts/{cohort['id']}/count")
    assert coverage["matched_keys"] == len(fifty), (coverage, len(fifty))
    connection = shop.connect(onesignal)
    wish = {"cohort_id": cohort["id"], "connection_id": connection["id"], "mode": "one_time"}
    with shop.stage("first export"):
        sync = shop.call("POST", "syncs", wish, expect=201)
        during_first_export()
        first = shop.finished(sync["last_run_id"])
    segment_id = sync["segment"]["id"]
    assert first["status"] == "succeeded", first
    assert onesignal.segment_users(segment_id) == fifty
    with shop.stage("narrowed and exported again"):
        shop.call("PATCH", f"cohorts/{cohort['id']}", {"definition": definition(dollars=120)})
        sync = shop.call("POST", "syncs", wish)
        second = shop.finished(sync["last_run_id"])
    assert second["status"] == "succeeded", second
    assert onesignal.segment_users(segment_id) == hundred_twenty
    assert second["counts"]["removed"] == len(fifty - hundred_twenty), second
    onesignal.reset_stats()
    with shop.stage("third export without change"):
        sync = shop.call("POST", "syncs", wish)
        third = shop.finished(sync["last_run_id"])
    assert third["status"] == "succeeded", third
    assert onesignal.user_requests() == 0
    return {
        "orders": len(orders),
        "customers": len(customers),
        "members": [len(fifty), len(hundred_twenty)],
        "requests": [run["requests"] for run in (first, second, third)],
        "seconds": shop.seconds,
    }


def main() -> None:
    """Tell the story to a running `make up` and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--url", default=f"http://127.0.0.1:{os.environ.get('PORT', '8000')}")
    parser.add_argument("--sandbox", default=f"http://127.0.0.1:{int(os.environ.get('PORT', '8000')) + 1}")
    arguments = parser.parse_args()
    name = f"CDNOW {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%S}"
    shop = bootstrap(dict(os.environ), url=arguments.url, name=name)
    print(json.dumps(tell(shop, SandboxApp(arguments.sandbox), read_orders(arguments.file)), indent=1))


if __name__ == "__main__":
    main()
