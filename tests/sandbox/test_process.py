"""The process: what it keeps through crashes, when it refuses to start, how it stops."""

from __future__ import annotations

import ast
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import integrations
from integrations.destinations.onesignal.sandbox.server import run
from tests.sandbox.cast import CHECKOUT, App, SandboxProcess, patch_statuses, some_uuid, user_path, wait_until

PACKAGE = Path(integrations.__file__).parent / "destinations" / "onesignal" / "sandbox"


def everything(app: App, names: list[str]) -> dict[str, Any]:
    """Return all that an app shows."""
    segments = app.call("GET", "/segments").json()
    return {
        "app": app.control("GET"),
        "faults": app.control("GET", "/faults"),
        "segments": segments,
        "members": {each["id"]: app.members(each["id"]) for each in segments["segments"]},
        "users": {name: app.call("GET", user_path(name)).json() for name in names},
    }


def test_a_kill_loses_nothing_that_was_answered(own_sandbox: SandboxProcess) -> None:
    app = App(own_sandbox.url, plan="professional", name="Kept")
    names = [f"user-{number}" for number in range(40)]
    app.add_users(*names)
    player_id = some_uuid()
    app.control("POST", "/users", {"users": [{"external_id": "ann", "subscriptions": [player_id]}]})
    app.call("POST", "/users", {"identity": {"external_id": "bob", "crm": "c-1"}, "properties": {"language": "de"}})
    app.patch("bob", {"cs_1": "1"})
    app.call("PATCH", f"/subscriptions/{player_id}/owner", {"identity": {"external_id": "bob"}})
    app.call("PATCH", f"{user_path('ann')}/identity", {"identity": {"external_id": "ann2"}})
    app.call("DELETE", user_path("user-39"))
    app.create_segment("Buyers")
    app.create_segment("Second", key="cs_2")
    doomed = app.create_segment("Doomed").json()["id"]
    app.call("DELETE", f"/segments/{doomed}")
    app.control("PUT", "/faults", {"limit_per_second": 77, "seed": 3, "latency_ms": 1})
    assert patch_statuses(app, names[:30], {"cs_1": "1"}) == [202] * 30
    own_sandbox.kill()
    own_sandbox.start_again()
    kept = [*names[:39], "ann2", "bob"]
    after = everything(app, kept)
    assert after["members"] == {
        each["id"]: ({*names[:30], "bob"} if each["name"] == "Buyers" else set())
        for each in after["segments"]["segments"]
    }
    assert [each["name"] for each in after["segments"]["segments"]] == ["Buyers", "Second"]
    assert after["users"]["bob"]["subscriptions"][0]["id"] == player_id
    assert after["users"]["bob"]["identity"]["crm"] == "c-1"
    assert (after["app"]["name"], after["app"]["users"]) == ("Kept", 41)
    assert (after["faults"]["limit_per_second"], after["faults"]["seed"]) == (77, 3)
    own_sandbox.kill()
    own_sandbox.start_again()
    assert everything(app, kept) == after


def test_a_rewritten_journal_says_the_same_in_fewer_lines(own_sandbox: SandboxProcess) -> None:
    app = App(own_sandbox.url)
    app.add_users("ann", "bob", "cat")
    app.call("DELETE", user_path("cat"))
    app.create_segment()
    app.control("PUT", "/faults", {"apply_after_ms": {"ms": 60_000, "share": 1}})
    app.patch("bob", {"late": "1"})
    app.control("PUT", "/faults", {"limit_per_second": 10_000})
    for _ in range(15):
        patch_statuses(app, ["ann", "bob"] * 40, {"cs_1": "1", "a": "x"})
    before = everything(app, ["ann", "bob"])
    journal = own_sandbox.state_dir / "journal.ndjson"
    assert journal.read_bytes().count(b"\n") > 1200
    assert own_sandbox.stop() == 0
    own_sandbox.start_again()
    assert journal.read_bytes().count(b"\n") < 20
    assert b'"late":"1"' in journal.read_bytes()
    assert everything(app, ["ann", "bob"]) == before
    app.add_users("dan")
    assert app.control("GET")["users"] == 3
    assert own_sandbox.stop() == 0


def test_a_late_write_is_stored_even_after_a_kill(own_sandbox: SandboxProcess) -> None:
    app = App(own_sandbox.url)
    app.add_users("ann")
    app.control("PUT", "/faults", {"apply_after_ms": {"ms": 700, "share": 1}})
    app.patch("ann", {"cs_1": "1"}, deltas={"session_count": 1})
    own_sandbox.kill()
    own_sandbox.start_again()
    wait_until(lambda: app.tags("ann") == {"cs_1": "1"})


def test_a_line_that_a_crash_cut_short_is_dropped(own_sandbox: SandboxProcess) -> None:
    app = App(own_sandbox.url)
    app.add_users("ann")
    own_sandbox.kill()
    with (own_sandbox.state_dir / "journal.ndjson").open("ab") as journal:
        journal.write(b'["tags","' + app.app_id.encode() + b'",0,{"a":"1')
    own_sandbox.start_again()
    assert app.tags("ann") == {}
    app.patch("ann", {"b": "1"})
    own_sandbox.kill()
    own_sandbox.start_again()
    assert app.tags("ann") == {"b": "1"}


def test_a_broken_journal_stops_the_start_and_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = tmp_path / "journal.ndjson"
    first_line = b'["onesignal-sandbox",1]\n'
    for content in (b"not ours\n", first_line + b'{broken\n["x"]\n', first_line + b'["x","y"]\n', first_line + b"[]\n"):
        journal.write_bytes(content)
        assert run(host="127.0.0.1", port=0, state_dir=tmp_path) == 1
        assert "Delete the file to start with an empty sandbox." in capsys.readouterr().err
        assert journal.read_bytes() == content


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run(host="127.0.0.1", port=0, state_dir=tmp_path / "file") == 1
    assert "name a folder it may write to" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="prlimit is Linux's")
def test_a_disk_that_is_full_ends_it_before_it_answers_what_it_cannot_keep(own_sandbox: SandboxProcess) -> None:
    app = App(own_sandbox.url)
    names = [f"user-{number}" for number in range(100)]
    app.add_users(*names)
    room = (own_sandbox.state_dir / "journal.ndjson").stat().st_size + 1000
    resource.prlimit(own_sandbox.process.pid, resource.RLIMIT_FSIZE, (room, room))
    statuses = patch_statuses(app, names, {"cs_1": "1"})
    assert own_sandbox.process.wait(5) == 1
    answered = {name for name, status in zip(names, statuses, strict=True) if status == 202}
    assert 0 < len(answered) < 100
    own_sandbox.start_again()
    assert app.members(app.create_segment().json()["id"]) == answered


def test_two_sandboxes_do_not_share_a_folder(sandbox: SandboxProcess) -> None:
    module = "integrations.destinations.onesignal.sandbox"
    command = [sys.executable, "-m", module, "--port", "0", "--state-dir", str(sandbox.state_dir)]
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=10, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Another sandbox keeps its state in")


def test_a_taken_port_is_said_in_one_sentence(
    sandbox: SandboxProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(host="127.0.0.1", port=sandbox.port, state_dir=tmp_path) == 1
    assert capsys.readouterr().err.startswith(f"The sandbox cannot listen on 127.0.0.1:{sandbox.port}")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "localhost", "nonsense"])
def test_it_listens_on_this_machine_only(host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(host=host, port=0, state_dir=tmp_path) == 1
    assert "127.0.0.1" in capsys.readouterr().err


def test_a_signal_ends_it_within_two_seconds_with_requests_in_flight(own_sandbox: SandboxProcess) -> None:
    app = App(own_sandbox.url)
    app.add_users("ann")
    app.control("PUT", "/faults", {"latency_ms": 30_000})
    waiting = threading.Thread(target=patch_statuses, args=(app, ["ann"], {"a": "1"}))
    waiting.start()
    wait_until(lambda: app.control("GET", "/stats")["writes"] == 1)
    started_at = time.monotonic()
    assert own_sandbox.stop() == 0
    assert time.monotonic() - started_at < 2
    waiting.join()


def test_an_interrupt_is_no_crash(own_sandbox: SandboxProcess) -> None:
    own_sandbox.process.send_signal(signal.SIGINT)
    assert own_sandbox.process.wait(2) == 0


def test_no_module_of_it_imports_django() -> None:
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert not name.startswith(("django", "cohorts", "cohortsync")), f"{file.name} imports {name}"
