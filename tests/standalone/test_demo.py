"""The demo under `up`: filled once the product is announced, unless DEMO=0 (what it is: tests/stories/test_demo.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cohortsync.standalone.demo import Demo, keep_demo
from cohortsync.standalone.launch import Launch
from tests.free_ports import free_port
from tests.standalone.running import Up


def launch(**environ: str) -> Launch:
    return Launch(
        checkout=Path(),
        data_dir=Path(),
        port=1,
        sandbox_port=None,
        database_url=None,
        redis_url=None,
        environ=environ,
    )


def test_up_announces_itself_and_then_fills_the_demo_once(tmp_path: Path) -> None:
    with Up(tmp_path, free_port(), DEMO="1") as up:
        up.wait_until_announced()
        up.wait_for(lambda: any("has a demo now: 2,000 people" in line for line in up.lines))
        announced = next(place for place, line in enumerate(up.lines) if "CohortSync runs at" in line)
        filled = next(place for place, line in enumerate(up.lines) if "has a demo now" in line)
        assert announced < filled

        project_id = json.loads((tmp_path / "demo.json").read_text())["project_id"]
        again = up.manage("demo", "--project", str(project_id))

        assert (again.returncode, again.stderr) == (0, "")
        assert again.stdout == f"Project {project_id} (Demo) has the demo already; nothing was added.\n"


@pytest.mark.parametrize(
    ("environ", "has_demo"),
    [({}, True), ({"DEMO": ""}, True), ({"DEMO": "1"}, True), ({"DEMO": "0"}, False), ({"DEMO": "False"}, False)],
)
def test_the_demo_is_left_out_where_somebody_says_so(environ: dict[str, str], has_demo: bool) -> None:
    assert launch(**environ).has_demo is has_demo


def test_the_demos_login_and_project_are_remembered_from_one_start_to_the_next(tmp_path: Path) -> None:
    login = {"email": "demo@example.com", "password": "secret"}
    first = keep_demo(tmp_path, json.dumps({"project_id": 7, "login": login}))
    again = keep_demo(tmp_path, json.dumps({"project_id": 7, "login": {**login, "password": None}}))

    assert first == again == Demo("demo@example.com", "secret", 7)
