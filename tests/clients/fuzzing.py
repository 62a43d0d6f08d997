"""What schemathesis makes requests from: the schemas of the public API and of the ingestion routes; and its live runs.

`test_fuzz.py` sends a fixed number of requests within the process; `make clients ARGS=fuzz` uses all of schemathesis'
phases over real HTTP, for as long as it is told to.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

INGESTION = Path(__file__).parent / "ingestion-openapi.yaml"
# A run has this long for its start and for the request under way when its time is up.
GRACE_SECONDS = 60


@dataclass(frozen=True)
class Surface:
    """What is fuzzed: a schema, and rows for its path parameters, for any others nearly every answer would be 404."""

    name: str
    schema: dict[str, Any]
    ids: dict[str, int]
    methods: tuple[str, ...]


def ingestion(*, token: str) -> Surface:
    """Return the ingestion routes, with records of one project."""
    schema = yaml.safe_load(INGESTION.read_text().replace("TOKEN", token))
    return Surface("ingestion", schema, {}, ("GET", "POST", "OPTIONS"))


def rest_api(*, document: bytes, ids: dict[str, int]) -> list[Surface]:
    """Return the public REST API by its own document: first what leaves the rows there, then what deletes them."""
    schema = json.loads(document)
    return [
        Surface("REST", schema, ids, ("GET", "POST", "PATCH")),
        Surface("REST, DELETE", schema, ids, ("DELETE",)),
    ]


@dataclass(frozen=True)
class Fuzzed:
    """How a live run ended; `report` is what schemathesis said, with every offending request as a curl command."""

    is_clean: bool
    report: str


def fuzz(surface: Surface, *, folder: Path, url: str, username: str, password: str, seconds: int) -> Fuzzed:
    """Send requests for so long; looks for answers of 500 and above only."""
    schema, config = folder / "schema.json", folder / "schemathesis.toml"
    schema.write_text(json.dumps(surface.schema))
    config.write_text("[parameters]\n" + "".join(f'"path.{name}" = {value}\n' for name, value in surface.ids.items()))
    methods = [word for method in surface.methods for word in ("--include-method", method)]
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", str(schema), *methods),
        *("--url", url, "--auth", f"{username}:{password}", "--checks", "not_a_server_error"),
        *("--phases", "examples,coverage,fuzzing,stateful", "--max-time", str(seconds), "--continue-on-failure"),
        *("--generation-database", "none", "--warnings", "off", "--no-color", "--no-shrink"),
        *("--request-timeout", "20", "--suppress-health-check", "all"),
    ]
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds + GRACE_SECONDS,
        check=False,
    )
    return Fuzzed(done.returncode == 0, done.stdout)
