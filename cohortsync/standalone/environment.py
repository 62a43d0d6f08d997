"""Makes `.venv/` for `make`: run as a script by any Python, before a single package is there.

    python3 cohortsync/standalone/environment.py requirements.txt

Installs exactly what the file pins, by hash, and does nothing when that is already there. Only the standard library,
and no syntax that an old Python cannot read: it is to say that it is too old.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(CHECKOUT, ".venv")
PYTHON = os.path.join(FOLDER, "bin", "python")


def main(requirements: str) -> None:
    """Bring `.venv/` to the state that a requirements file describes."""
    if sys.version_info < (3, 11):  # noqa: UP036  (this is what says so)
        sys.exit(
            f"CohortSync needs Python 3.11 or newer and {sys.executable} is "
            f"{sys.version_info[0]}.{sys.version_info[1]}; name another one: make PYTHON=/path/to/python3 ..."
        )
    # Two `make` in one checkout would build into each other's folder.
    with open(os.path.join(CHECKOUT, "cohortsync", "standalone", "environment.py")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = read(os.path.join(CHECKOUT, requirements))
        stamp = os.path.join(FOLDER, "installed-" + os.path.basename(requirements))
        if wanted == read(stamp) and works():
            return
        if not works():
            create()
        install(requirements)
        with open(stamp, "w") as file:
            file.write(wanted)


def read(path: str) -> str:
    """Return a file's text, or nothing for a file that is not there."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def works() -> bool:
    """Say whether `.venv/` holds a usable Python: a moved or updated one leaves a dead link."""
    try:
        return subprocess.call([PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]) == 0
    except OSError:
        return False


def create() -> None:
    """Make `.venv/` anew, with uv where Python comes without its own pip."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    command = [sys.executable, "-m", "venv", FOLDER]
    if not has_module("ensurepip"):
        uv = shutil.which("uv")
        if uv is None:
            sys.exit(
                f"{sys.executable} cannot make virtual environments: its module ensurepip is missing. Install it "
                "(Debian and Ubuntu: apt-get install python3-venv) or uv, and try again."
            )
        command = [uv, "venv", "--quiet", "--python", sys.executable, FOLDER]
    run(command, f"The virtual environment {FOLDER} could not be made")


def install(requirements: str) -> None:
    """Install the pinned packages, with pip, or with uv where the environment has no pip."""
    print(f"Installing {requirements} into .venv (once; about 15 seconds to a minute)", flush=True)
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    if subprocess.call([PYTHON, "-c", "import pip"], stderr=subprocess.DEVNULL) != 0:
        pip = [shutil.which("uv") or "uv", "pip", "install", "--quiet", "--python", PYTHON]
    run([*pip, "--require-hashes", "-r", requirements], f"The packages of {requirements} could not be installed")


def has_module(name: str) -> bool:
    """Say whether this Python has a module."""
    return subprocess.call([sys.executable, "-c", "import " + name], stderr=subprocess.DEVNULL) == 0


def run(command: list[str], failure: str) -> None:
    """Run a command in the checkout; stop with a sentence when it fails."""
    if subprocess.call(command, cwd=CHECKOUT) != 0:
        sys.exit(failure + "; the lines above say why.")


if __name__ == "__main__":
    main(sys.argv[1])
