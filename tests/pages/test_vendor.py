"""What is served to browsers from elsewhere's code is what was fetched, and nothing is loaded from elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from django.conf import settings

STATIC = Path(settings.BASE_DIR) / "static"
VENDOR = STATIC / "vendor"
KNOWN: dict[str, dict[str, str]] = json.loads((VENDOR / "vendor.json").read_text())
TEMPLATES = sorted((Path(settings.BASE_DIR) / "templates").rglob("*.html"))


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_vendored_file_is_what_was_fetched(name: str) -> None:
    content = (VENDOR / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == KNOWN[name]["sha256"]
    assert b"sourceMappingURL" not in content
    assert (VENDOR / f"LICENSE-{KNOWN[name]['package']}.txt").is_file()


def test_nothing_else_is_vendored() -> None:
    found = {path.name for path in VENDOR.iterdir() if not path.name.startswith("LICENSE-")}
    assert found == {*KNOWN, "vendor.json"}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(settings.BASE_DIR)))
def test_a_template_keeps_to_the_policy(path: Path) -> None:
    """No inline style, script or handler; nothing loaded from another host (the policy would block it)."""
    text = path.read_text()
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=|hx-on|javascript:", text)
    assert all("src=" in tag or "application/json" in tag for tag in re.findall(r"<script[^>]*>", text))
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//[^\"]*\.(?:js|css|png|svg|woff2?)", text)


def test_every_icon_of_the_templates_is_in_the_sprite() -> None:
    drawn = set(re.findall(r'<symbol id="([^"]+)"', (VENDOR / "icons.svg").read_text()))
    used = {
        name for path in TEMPLATES for name in re.findall(r'{% icon "([^"]+)" %}|icon_name="([^"]+)"', path.read_text())
    }
    names = {name for pair in used for name in pair if name}
    assert names
    assert names <= drawn
