"""Mixpanel's own clients, live, against the whole product; then kills under load, then schemathesis. `make clients`.

Installs the clients into a scratch folder from the registries, starts an installation of its own in a temporary folder,
and prints what every client said and what was stored. `make clients ARGS="walks"`, `"durability"` or `"fuzz"` runs one
part; `SECONDS=60` is how long the last two run.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.clients.walking import MissingProgram, install
from tests.installation import Installation

SENDERS = 10
# Nothing here is about limits.
UNLIMITED = {
    "API_MAX_REQUESTS_PER_MINUTE": "1000000",
    "API_MAX_FAILED_LOGINS_PER_MINUTE": "1000000",
    "QUERY_MAX_PER_HOUR": "0",
    "QUERY_MAX_CONCURRENT": "0",
}
KILLS = ("web/child", "postgres", "web/child", "web", "postgres")


def main() -> int:
    parts: dict[str, Callable[[Path, Installation], int]] = {
        "walks": _walks,
        "durability": _durability,
        "fuzz": _fuzz,
    }
    wanted = sys.argv[1:] or list(parts)
    if unknown := sorted(set(wanted) - set(parts)):
        print(f"No part {unknown[0]!r}; there are: {', '.join(parts)}.")
        return 2
    with (
        tempfile.TemporaryDirectory(prefix="cohortsync-clients-") as folder,
        tempfile.TemporaryDirectory(prefix="cohortsync-clients-up-") as data_dir,
    ):
        installation = Installation(Path(data_dir), **UNLIMITED)
        try:
            installation.wait_until_healthy()
            _set_django_up(installation)
            return max([parts[name](Path(folder), installation) for name in wanted])
        except MissingProgram as missing:
            print(missing)
            return 2
        finally:
            installation.stop()


def _set_django_up(installation: Installation) -> None:
    """Make this process see the installation's rows, as `manage.py` beside it does."""
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    os.environ.update(installation.environment)
    os.environ["DJANGO_SETTINGS_MODULE"] = "cohortsync.settings"
    import django

    django.setup()


def _walks(folder: Path, installation: Installation) -> int:
    from tests.clients.live import walk_all

    began = time.monotonic()
    environment = install(folder)
    print(f"installed the clients in {time.monotonic() - began:.0f} s", flush=True)
    print(f"{'client':12} {'part':10} {'calls':>5} {'took':>7}  succeeded, and the rows are right", flush=True)
    failures = 0
    for walked in walk_all(environment, installation):
        failures += bool(walked.faults)
        verdict = "yes" if not walked.faults else "NO"
        print(f"{walked.client:12} {walked.part:10} {walked.calls:5} {walked.seconds:6.1f}s  {verdict}", flush=True)
        for fault in walked.faults:
            print(f"    {fault}", flush=True)
    print(f"{failures} parts failed" if failures else "all parts passed", flush=True)
    return int(failures > 0)


def _durability(folder: Path, installation: Installation) -> int:
    from tests.clients.durability import send_while_killing
    from tests.clients.live import make_target_of

    _, target = make_target_of("durable", installation)
    outcome = send_while_killing(installation, target, senders=SENDERS, seconds=_seconds(), kills=KILLS)
    print(f"{SENDERS} clients for {outcome.seconds:.0f} s, killed: {', '.join(outcome.kills)}")
    print(f"{outcome.answered} records answered with success in {outcome.requests} requests, {outcome.unanswered} not")
    print(f"{sum(outcome.errors.values())} requests met a kill and were repeated")
    for fault in outcome.faults():
        print(f"    {fault}")
    if not outcome.faults():
        print("every record answered with success is there exactly once")
    return int(bool(outcome.faults()))


def _fuzz(folder: Path, installation: Installation) -> int:
    """Fuzz over real HTTP: half of the time the ingestion routes, the rest the public API."""
    import requests

    from tests.clients.fuzzing import fuzz, ingestion, rest_api
    from tests.clients.live import make_rows, make_target_of

    installation.wait_until_healthy()
    project, target = make_target_of("fuzzer", installation)
    document = requests.get(f"{installation.url}/api/v1/openapi.json", timeout=30).content
    rows = make_rows(project, onesignal_url=installation.sandbox_url())
    surfaces = [ingestion(token=target["token"]), *rest_api(document=document, ids=rows)]
    failures = 0
    for surface, share in zip(surfaces, (0.5, 0.4, 0.1), strict=True):
        done = fuzz(
            surface,
            folder=folder,
            url=installation.url,
            username=target["username"],
            password=target["password"],
            seconds=round(_seconds() * share),
        )
        failures += not done.is_clean
        counted = next((line.strip() for line in done.report.splitlines() if " generated, " in line), "")
        print(f"{surface.name:14} {counted}; {'no answer was 5xx' if done.is_clean else 'FAILED'}", flush=True)
        if not done.is_clean:
            print(done.report, flush=True)
    return int(failures > 0)


def _seconds() -> float:
    return float(os.environ.get("SECONDS", "60"))


if __name__ == "__main__":
    sys.exit(main())
