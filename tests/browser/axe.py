"""Barriers that axe-core finds on a page for people who cannot see it, or cannot see it well."""

from __future__ import annotations

from importlib.resources import files
from textwrap import shorten

from playwright.sync_api import Page

SOURCE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
SUMMARY_CHARACTERS = 300
FIND = "async () => (await axe.run(document, { resultTypes: ['violations'] })).violations"


def serious_barriers(page: Page) -> list[str]:
    """Return one line for each serious or critical barrier: rule, element, what is wrong.

    axe enters the way the developer tools do, which the page's CSP neither hinders nor has to allow.
    """
    page.evaluate(SOURCE)
    lines = []
    for violation in page.evaluate(FIND):
        for node in violation["nodes"]:
            if node["impact"] in ("serious", "critical"):
                summary = shorten(node["failureSummary"], SUMMARY_CHARACTERS)
                lines.append(f"{violation['id']} ({node['impact']}): {' '.join(map(str, node['target']))}: {summary}")
    return lines
