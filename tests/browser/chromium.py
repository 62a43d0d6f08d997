"""Where the browser of the tests comes from: one that is here, or Debian's, installed.

`CHROMIUM=/path/to/it` names one. A machine that gets none runs every other test; in CI that is a failure.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
HOW_TO_GET_ONE = "install Chromium or Chrome, or name one with CHROMIUM=/path/to/it"
# A mirror may be out of reach while the lists that are here still do, so this one may fail.
UPDATE = ("apt-get", "-q", "-o", "Acquire::Retries=3", "update")
INSTALL = (
    *("apt-get", "-q", "-y", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=300"),
    *("install", "--no-install-recommends", "chromium", "fonts-dejavu-core"),
)
UPDATE_SECONDS, INSTALL_SECONDS = 180, 900
LINES_SHOWN = 25
ARGUMENTS = (
    *("--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-sync"),
    *("--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server"),
    # No other host has a name here, so whatever a page asks for elsewhere fails before it is sent.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)


class NoBrowserError(Exception):
    """There is no browser: the first line says why and how to get one, further lines what the installer said."""


def is_ci(environ: Mapping[str, str]) -> bool:
    """Tell whether a missing browser is a failure here."""
    return bool(environ.get("CI"))


def can_install(environ: Mapping[str, str], *, distribution: str, is_root: bool, has_apt_get: bool) -> bool:
    """Tell whether Debian's Chromium can be installed: not in the place of a browser that was named.

    Debian alone: Ubuntu's package of that name only asks for the snap.
    """
    return distribution == "debian" and is_root and has_apt_get and not environ.get("CHROMIUM")


def distribution() -> str:
    """Return the system's name as os-release has it, or nothing."""
    try:
        return platform.freedesktop_os_release().get("ID", "")
    except OSError:
        return ""


def provide(environ: Mapping[str, str], folder: Path, tell: Callable[[str], None]) -> Path:
    """Return the browser, installed when it has to and can be, and `tell` so before.

    Of the processes that share `folder` one installs; the others wait and have its outcome. Raises NoBrowserError.
    """
    is_installable = can_install(
        environ,
        distribution=distribution(),
        is_root=os.geteuid() == 0,
        has_apt_get=shutil.which("apt-get", path=environ.get("PATH", "")) is not None,
    )
    if browser := find(environ):
        return browser
    if not is_installable:
        raise NoBrowserError(absence(environ))
    with (folder / "chromium.lock").open("a+") as outcome:
        fcntl.flock(outcome, fcntl.LOCK_EX)
        outcome.seek(0)
        failure = outcome.read()
        if not failure and not find(environ):
            tell("Installing Debian's chromium for the browser tests ...")
            failure = install(environ)
            outcome.write(failure)
    if failure:
        raise NoBrowserError(failure)
    if browser := find(environ):
        return browser
    raise NoBrowserError(f"Debian's chromium was installed, but does not run; {HOW_TO_GET_ONE}")


def find(environ: Mapping[str, str]) -> Path | None:
    """Return the browser that was named, or else the first that is here, if it runs."""
    on_path = (shutil.which(name, path=environ.get("PATH", "")) for name in NAMES)
    named = environ.get("CHROMIUM")
    for candidate in (named,) if named else (*on_path, *APPLICATIONS):
        if candidate and does_run(candidate):
            return Path(candidate)
    return None


def absence(environ: Mapping[str, str]) -> str:
    """Say what was looked for in vain, and what to do."""
    if named := environ.get("CHROMIUM"):
        return f"CHROMIUM names {named}, which does not run; {HOW_TO_GET_ONE}"
    return f"no Chromium or Chrome was found; {HOW_TO_GET_ONE}"


def does_run(program: str) -> bool:
    """Tell whether this is a browser; Ubuntu's `chromium-browser` without the snap is none."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def install(environ: Mapping[str, str]) -> str:
    """Install Debian's Chromium; return nothing, or what went wrong."""
    unattended = {**environ, "DEBIAN_FRONTEND": "noninteractive"}
    said = ""
    for command, seconds in ((UPDATE, UPDATE_SECONDS), (INSTALL, INSTALL_SECONDS)):
        failure, output = run(command, unattended, seconds)
        said += f"$ {' '.join(command)}\n{output}"
        if failure and command == INSTALL:
            shown = "\n".join(said.splitlines()[-LINES_SHOWN:])
            return f"Debian's chromium could not be installed ({failure}); {HOW_TO_GET_ONE}\n{shown}"
    return ""


def run(command: tuple[str, ...], environ: Mapping[str, str], seconds: float) -> tuple[str, str]:
    """Run a command; return why it failed (nothing when it did not) and what it said."""
    try:
        done = subprocess.run(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        return f"not done after {seconds:g} seconds", (expired.stdout or b"").decode(errors="replace")
    if done.returncode == 0:
        return "", done.stdout
    last = done.stdout.strip().splitlines()[-1:] or [""]
    return f"apt-get ended with {done.returncode}: {last[0]}".removesuffix(": "), done.stdout


def start(playwright: Playwright, program: Path) -> Browser:
    """Start a browser without a window."""
    # Chromium's sandbox refuses to work for root.
    as_root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    return playwright.chromium.launch(executable_path=program, args=[*ARGUMENTS, *as_root])
