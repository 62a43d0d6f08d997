"""`make` brings its own environment: made once, pinned by hash, the same packages for running and for testing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cohortsync.standalone import environment
from tests.standalone.running import CHECKOUT


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", (CHECKOUT / name).read_text(), re.MULTILINE))


def test_what_is_tested_is_what_runs() -> None:
    running, testing = pins("requirements.txt"), pins("requirements-dev.txt")
    assert len(running) > 30
    assert running.items() <= testing.items()
    for name in ("requirements.txt", "requirements-dev.txt"):
        assert len(re.findall(r"==.*\\\n +--hash=", (CHECKOUT / name).read_text())) == len(
            re.findall(r"^[a-z].*==", (CHECKOUT / name).read_text(), re.MULTILINE)
        )


def test_psycopg_3_is_not_among_the_packages() -> None:
    """Django would silently prefer it, and `cursor.copy_expert` would be gone."""
    assert "psycopg" not in pins("requirements-dev.txt")


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "cohortsync/standalone").mkdir(parents=True)
    (tmp_path / "cohortsync/standalone/environment.py").touch()
    monkeypatch.setattr(environment, "CHECKOUT", str(tmp_path))
    monkeypatch.setattr(environment, "FOLDER", str(tmp_path / ".venv"))
    monkeypatch.setattr(environment, "PYTHON", str(tmp_path / ".venv/bin/python"))
    return tmp_path


def test_the_environment_is_made_once_and_again_when_the_pins_change(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment.main("requirements.txt")
    assert "Installing requirements.txt" in capfd.readouterr().out
    python = folder / ".venv/bin/python"
    assert (
        subprocess.run([python, "-c", "import sys; sys.exit(sys.prefix == sys.base_prefix)"], check=False).returncode
        == 0
    )

    environment.main("requirements.txt")
    assert capfd.readouterr().out == ""

    (folder / "requirements.txt").write_text("# changed\n")
    environment.main("requirements.txt")
    assert "Installing" in capfd.readouterr().out

    python.unlink()  # as when the Python it was made from is gone
    environment.main("requirements.txt")
    assert python.exists()


def test_a_package_that_cannot_be_installed_is_asked_for_again(folder: Path) -> None:
    (folder / "requirements.txt").write_text("./absent.whl --hash=sha256:00\n")
    for _ in range(2):
        with pytest.raises(SystemExit, match=r"The packages of requirements\.txt could not be installed"):
            environment.main("requirements.txt")


def test_an_old_python_is_told_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer and .* is 3\.9; name another one"):
        environment.main("requirements.txt")
