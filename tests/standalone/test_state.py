"""What `up` leaves in DATA_DIR: where it is, who may read it, and whether it is true."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cohortsync.standalone.errors import CannotStart
from cohortsync.standalone.state import (
    State,
    default_data_dir,
    hold_lock,
    is_running,
    read_or_create_secrets,
    read_secrets,
    read_state,
    recorded_state,
    write_state,
)

RUNNING = State(
    port=8000,
    sandbox_port=8001,
    database_url="postgres://u:p@127.0.0.1/d",
    redis_url="redis://127.0.0.1/0",
    pids={"web": 7},
)


def as_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def test_root_keeps_its_data_below_var_lib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    folder = default_data_dir(tmp_path, 8000, {"HOME": "/home/ada", "XDG_DATA_HOME": "/home/ada/share"})
    assert folder.parent == Path("/var/lib/cohortsync")
    assert len(folder.name) == 8


def test_an_ordinary_user_keeps_data_in_the_xdg_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    as_ordinary_user(monkeypatch)
    assert default_data_dir(tmp_path, 8000, {"XDG_DATA_HOME": "/x"}).parent == Path("/x/cohortsync")
    assert default_data_dir(tmp_path, 8000, {"HOME": "/h"}).parent == Path("/h/.local/share/cohortsync")
    relative = default_data_dir(tmp_path, 8000, {"HOME": "/h", "XDG_DATA_HOME": "relative"})
    assert relative.parent == Path("/h/.local/share/cohortsync")


def test_another_checkout_or_port_has_other_data(tmp_path: Path) -> None:
    folders = {default_data_dir(path, port, {}) for path in (tmp_path / "a", tmp_path / "b") for port in (8000, 9000)}
    assert len(folders) == 4
    assert default_data_dir(tmp_path / "a" / ".." / "b", 9000, {}) in folders


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    assert read_secrets(tmp_path) is None
    made = read_or_create_secrets(tmp_path)
    assert read_or_create_secrets(tmp_path) == made == read_secrets(tmp_path)
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_damaged_secrets_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text('{"secret_key":')
    with pytest.raises(CannotStart, match="put it back from a backup"):
        read_or_create_secrets(tmp_path)


def test_state_is_private_and_has_the_agreed_shape(tmp_path: Path) -> None:
    write_state(tmp_path, RUNNING)
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600
    assert set(json.loads((tmp_path / "state.json").read_text())) == {
        *("port", "sandbox_port", "database_url", "redis_url", "pids")
    }
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_state_counts_only_while_its_up_runs(tmp_path: Path) -> None:
    with hold_lock(tmp_path):
        write_state(tmp_path, RUNNING)
        assert read_state(tmp_path) == RUNNING
    assert read_state(tmp_path) is None
    assert recorded_state(tmp_path) == RUNNING


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"port": "x"}', '{"port": 1, "pids": []}'])
def test_a_torn_state_file_is_no_state(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    assert recorded_state(tmp_path) is None


def test_a_second_up_on_the_same_data_is_refused_with_the_address(tmp_path: Path) -> None:
    with hold_lock(tmp_path):
        write_state(tmp_path, RUNNING)
        with (
            pytest.raises(CannotStart, match=r"already runs .* at http://127\.0\.0\.1:8000; stop it"),
            hold_lock(tmp_path),
        ):
            pass


def test_the_lock_goes_with_the_process_that_held_it(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from cohortsync.standalone.state import hold_lock\n"
    code += "with hold_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert is_running(tmp_path)
        holder.kill()
        holder.wait()
        assert not is_running(tmp_path)


def test_a_data_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match="cannot be used"), hold_lock(tmp_path / "file" / "data"):
        pass
