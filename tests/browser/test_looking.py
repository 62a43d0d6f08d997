"""The pictures to look at, and what they report."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from tests.browser import bad_pages
from tests.browser.looking import look, take_picture
from tests.browser.watching import PHONE


@pytest.fixture
def served(live_server: LiveServer, settings: Settings) -> str:
    """The address of the pages made to go wrong."""
    settings.ROOT_URLCONF = bad_pages.__name__
    return live_server.url


def test_a_page_is_pictured_wide_and_narrow_light_and_dark_with_what_is_wrong(
    browser: Browser, served: str, tmp_path: Path
) -> None:
    pictures = list(look(browser, url=served, paths=["/all/"], folder=tmp_path))

    assert [each.file.name for each in pictures] == [
        *("all-1440-light.png", "all-1440-dark.png", "all-390-light.png", "all-390-dark.png")
    ]
    for picture in pictures:
        overflow, console, script, *barriers = picture.findings
        assert overflow.startswith("overflow: the page is 20")
        assert "p.wide to 20" in overflow
        assert console.startswith("console: Applying inline style")
        assert script.startswith("script: ")
        assert [barrier.split()[0] for barrier in barriers] == ["color-contrast", "label"]


def test_a_picture_of_a_page_without_faults_reports_nothing(browser: Browser, served: str, tmp_path: Path) -> None:
    picture = take_picture(browser, served, "/good/", tmp_path, PHONE, "dark", None)

    assert picture.findings == ()
    assert picture.file.read_bytes().startswith(b"\x89PNG")
