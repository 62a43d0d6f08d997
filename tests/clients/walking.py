"""The live clients: what is installed, and one walk of one of them.

A walk is a program in `walks/` that makes a client's calls, part by part, and says of each how it ended as the client
sees it. The recorder and `make clients` walk the same walks.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from tests.browser import chromium
from tests.installation import CHECKOUT

WALKS = Path(__file__).parent / "walks"
WALK_SECONDS = 60
INSTALL_SECONDS = 180


class Target(TypedDict):
    """Where a walk sends to, and with which credentials (`walks/target.py`)."""

    url: str
    https_url: str
    token: str
    secret: str
    project_id: str
    # A cohort of the profiles whose plan is "pro", and their distinct_ids, joined by commas.
    cohort_id: str
    cohort_people: str
    username: str
    password: str


@dataclass(frozen=True)
class LiveClient:
    """A client: its walk, its package with the version that was recorded, and the parts of the walk."""

    name: str
    package: str
    version: str
    walk: str
    parts: tuple[str, ...]


CLIENTS = (
    LiveClient(
        "python_sdk", "PyPI mixpanel", "5.4.1", "python_sdk.py", ("events", "profiles", "groups", "import", "identity")
    ),
    LiveClient("utils", "PyPI mixpanel-utils", "2.2.7", "utils.py", ("events", "profiles", "export")),
    LiveClient(
        "node", "npm mixpanel", "0.24.0", "node.js", ("events", "profiles", "groups", "import", "key", "identity")
    ),
    LiveClient(
        "browser",
        "npm mixpanel-browser",
        "2.83.0",
        "browser.py",
        ("events", "profiles", "groups", "unload", "json", "singles", "get"),
    ),
)


@dataclass(frozen=True)
class Environment:
    """A scratch folder with every client in it, and the browser."""

    folder: Path
    browser: Path


@dataclass(frozen=True)
class Call:
    """One call of a client and its error, as the client sees it."""

    name: str
    error: str | None


class MissingProgram(Exception):
    """A program that the live clients need is not here; the message says how to get it."""


def install(folder: Path) -> Environment:
    """Install every client into `folder` from the registries, by name and version. Raises MissingProgram."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise MissingProgram(f"{program} is not here; install Node.js 18 or newer (Debian: apt-get install npm)")
    browser = chromium.find(os.environ)
    if browser is None:
        raise MissingProgram(chromium.absence(os.environ))
    wanted = {client.name: client for client in CLIENTS}
    (folder / "package.json").write_text('{"private": true}')
    npm = [f"{wanted[name].package.removeprefix('npm ')}@{wanted[name].version}" for name in ("node", "browser")]
    _run(
        ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent", "--ignore-scripts", *npm], folder
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"]
    _run([*pip, str(folder / "site"), f"mixpanel-utils=={wanted['utils'].version}"], folder)
    return Environment(folder, browser)


def walk(environment: Environment, name: str, part: str, target: Target) -> list[Call]:
    """Walk one part of a client's walk and return its calls; a walk that breaks off is a failed call of its own."""
    client = next(each for each in CLIENTS if each.name == name)
    program = WALKS / client.walk
    command = ["node", str(program), part] if client.walk.endswith(".js") else [sys.executable, str(program), part]
    modules = environment.folder / "node_modules"
    done = subprocess.run(
        command,
        cwd=environment.folder,
        env={
            **{key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TZ")},
            "TARGET": json.dumps(target),
            "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(environment.folder / "site")]),
            "NODE_PATH": str(modules),
            "NODE_EXTRA_CA_CERTS": str(environment.folder / "door.pem"),
            "SCRIPT": str(modules / "mixpanel-browser/dist/mixpanel.umd.js"),
            "CHROMIUM": str(environment.browser),
        },
        capture_output=True,
        text=True,
        timeout=WALK_SECONDS,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"call"')]
    calls = [Call(said["call"], said["error"]) for said in lines]
    if done.returncode != 0 or not calls:
        calls.append(Call("the walk itself", f"ended with {done.returncode}: {done.stderr[-2000:]}"))
    return calls


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise MissingProgram(f"`{' '.join(command)}` failed:\n{done.stdout[-2000:]}")
