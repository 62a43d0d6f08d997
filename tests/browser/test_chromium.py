"""Where the browser comes from, and what becomes of the tests when there is none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import chromium
from tests.browser.chromium import NoBrowserError
from tests.installation import CHECKOUT

WITHOUT_SERVER = "tests/browser/test_watching.py::test_an_unlabelled_field_is_found_on_any_page"


def program(path: Path, script: str) -> Path:
    """Write a program that runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("distribution", "is_root", "has_apt_get", "environ", "expected"),
    [
        ("debian", True, True, {}, True),
        ("debian", True, True, {"CHROMIUM": ""}, True),
        ("debian", True, True, {"CHROMIUM": "/opt/mine"}, False),
        ("debian", False, True, {}, False),
        ("debian", True, False, {}, False),
        ("ubuntu", True, True, {}, False),
        ("", True, True, {}, False),
    ],
)
def test_only_root_on_debian_installs_and_not_instead_of_a_named_browser(
    distribution: str, is_root: bool, has_apt_get: bool, environ: dict[str, str], expected: bool
) -> None:
    found = chromium.can_install(environ, distribution=distribution, is_root=is_root, has_apt_get=has_apt_get)
    assert found is expected


def test_a_named_browser_wins_and_one_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path / "bin/chromium", "exit 10")
    chrome = program(tmp_path / "bin/google-chrome", "exit 0")
    named = program(tmp_path / "mine", "exit 0")
    path = {"PATH": str(tmp_path / "bin")}

    assert chromium.find(path) == chrome
    assert chromium.find({**path, "CHROMIUM": str(named)}) == named
    assert chromium.find({**path, "CHROMIUM": "/nowhere"}) is None


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A Debian whose root has no browser, and an apt-get that notes how it was called."""
    monkeypatch.setattr(chromium, "distribution", lambda: "debian")
    monkeypatch.setattr(chromium, "APPLICATIONS", ())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(chromium, "LINES_SHOWN", 3)
    return {"PATH": str(tmp_path / "bin"), "FOLDER": str(tmp_path)}


NOTE = 'echo "$DEBIAN_FRONTEND $*" >> "$FOLDER/calls"'


def test_debians_browser_is_installed_although_the_lists_cannot_be_updated(
    debian: dict[str, str], tmp_path: Path
) -> None:
    browser = tmp_path / "bin/chromium"
    make = f"echo '#!/bin/sh' > {browser}; /bin/chmod 755 {browser}"
    program(tmp_path / "bin/apt-get", f'{NOTE}; case "$*" in *update) exit 100;; esac; {make}')

    told: list[str] = []
    assert chromium.provide(debian, tmp_path, told.append) == browser
    assert chromium.provide(debian, tmp_path, told.append) == browser
    assert told == ["Installing Debian's chromium for the browser tests ..."]
    update, install = (tmp_path / "calls").read_text().splitlines()
    assert re.fullmatch(r"noninteractive -q .* update", update)
    assert re.fullmatch(r"noninteractive -q -y .* install --no-install-recommends chromium .*", install)


def test_an_installation_that_fails_is_tried_once_and_says_why(debian: dict[str, str], tmp_path: Path) -> None:
    program(tmp_path / "bin/apt-get", f"{NOTE}; echo Reading; echo 'E: Unable to locate package chromium'; exit 100")

    said: list[str] = []
    for _ in range(2):
        with pytest.raises(NoBrowserError) as raised:
            chromium.provide(debian, tmp_path, lambda sentence: None)
        said.append(str(raised.value))
    assert said[0] == said[1]
    first, *output = said[0].splitlines()
    assert first.startswith("Debian's chromium could not be installed (apt-get ended with 100: E: Unable to locate")
    assert output[-1] == "E: Unable to locate package chromium"
    assert len(output) == 3
    assert len((tmp_path / "calls").read_text().splitlines()) == 2


def run_without_browser(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the browser tests that need no server where CHROMIUM leads nowhere."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_") and name != "CI"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", WITHOUT_SERVER, *arguments],
        cwd=CHECKOUT,
        env={**inherited, "CHROMIUM": "/nowhere", **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_without_a_browser_one_line_says_what_was_left_out() -> None:
    done = run_without_browser("-n", "2")

    assert done.returncode == 0, done.stdout
    [line] = [line for line in done.stdout.splitlines() if "browser tests" in line]
    assert line.startswith("SKIPPED [2] tests/browser/conftest.py")
    assert "the browser tests were left out: CHROMIUM names /nowhere, which does not run; install Chromium" in line


def test_without_a_browser_ci_fails() -> None:
    done = run_without_browser("-n", "0", CI="true")

    assert done.returncode == 1
    assert "CI needs a browser: CHROMIUM names /nowhere" in done.stdout
    assert "2 errors" in done.stdout
