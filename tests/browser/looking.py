"""Take pictures of pages as people see them: desktop and phone, light and dark, with what is wrong on each.

    python -m tests.browser.looking --url http://127.0.0.1:8000 --email E --password P --out pictures /  /projects/1/

Ends with 1 when a picture has a finding. Without --email it looks as somebody who is not logged in.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, StorageState, TimeoutError, ViewportSize, sync_playwright

from tests.browser import chromium
from tests.browser.axe import serious_barriers
from tests.browser.watching import DESKTOP, PHONE, Scheme, Watch, open_context

VIEWPORTS = (DESKTOP, PHONE)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
LOGIN_PATH = "/accounts/login/"
# A page that asks again and again may never be quiet.
QUIET_MILLISECONDS = 3000
# The elements that reach furthest beyond the right edge and cannot be scrolled to within their own frame.
OVERFLOW = """() => {
    const edge = window.innerWidth;
    const width = document.documentElement.scrollWidth;
    if (width <= edge) return null;
    const isFramed = (element) => {
        for (let outer = element.parentElement; outer && outer !== document.body; outer = outer.parentElement)
            if (getComputedStyle(outer).overflowX !== 'visible') return true;
        return false;
    };
    const name = (element) => element.tagName.toLowerCase() + (element.id && '#' + element.id)
        + [...element.classList].map((each) => '.' + each).join('');
    const widest = [...document.querySelectorAll('body, body *')]
        .map((element) => [element, Math.round(element.getBoundingClientRect().right + window.scrollX)])
        .filter(([element, right]) => right > edge && !isFramed(element))
        .sort((one, other) => other[1] - one[1]).slice(0, 5)
        .map(([element, right]) => `${name(element)} to ${right}`);
    return `overflow: the page is ${width} px wide on ${edge}: ${widest.join(', ')}`;
}"""


@dataclass(frozen=True)
class Picture:
    """A screenshot and what is wrong on it."""

    file: Path
    address: str
    findings: tuple[str, ...]


def look(
    browser: Browser, *, url: str, paths: Iterable[str], folder: Path, session: StorageState | None = None
) -> Iterator[Picture]:
    """Take each path's pictures, one for each viewport and scheme."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, viewport, scheme in product(paths, VIEWPORTS, SCHEMES):
        yield take_picture(browser, url, path, folder, viewport, scheme, session)


def take_picture(
    browser: Browser,
    url: str,
    path: str,
    folder: Path,
    viewport: ViewportSize,
    scheme: Scheme,
    session: StorageState | None,
) -> Picture:
    """Open a page in a browser of its own and look at it."""
    watch = Watch()
    file = folder / f"{name_of(path)}-{viewport['width']}-{scheme}.png"
    with open_context(browser, viewport=viewport, scheme=scheme, session=session) as context:
        watch.follow(context)
        page = context.new_page()
        page.goto(url + path)
        wait_until_quiet(page)
        page.screenshot(path=file, full_page=True)
        overflow = page.evaluate(OVERFLOW)
        barriers = serious_barriers(page)
        landed = urlsplit(page.url)
        address = landed.path + (f"?{landed.query}" if landed.query else "")
    moved = [] if address == path else [f"moved: {path} led to {address}"]
    return Picture(file, address, (*moved, *([overflow] if overflow else []), *watch.faults(), *barriers))


def wait_until_quiet(page: Page) -> None:
    """Wait until the page has nothing more to load, but not for ever."""
    try:
        page.wait_for_load_state("networkidle", timeout=QUIET_MILLISECONDS)
    except TimeoutError:
        return


def name_of(path: str) -> str:
    """Return a path as a file's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", path).strip("-") or "home"


def log_in(browser: Browser, *, url: str, email: str, password: str) -> StorageState:
    """Log in by the form and return the session. Raises SystemExit when the form comes back."""
    with open_context(browser) as context:
        page = context.new_page()
        page.goto(url + LOGIN_PATH)
        page.locator("input[name=login]").fill(email)
        page.locator("input[name=password]").fill(password)
        page.locator("input[name=password]").press("Enter")
        try:
            page.wait_for_url(lambda address: urlsplit(address).path != LOGIN_PATH)
        except TimeoutError:
            raise SystemExit(f"The login was refused:\n{page.locator('body').inner_text()}") from None
        return context.storage_state()


def main() -> int:
    """Look at the paths and print what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=f"http://127.0.0.1:{os.environ.get('PORT', '8000')}")
    parser.add_argument("--email")
    parser.add_argument("--password")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("paths", nargs="*", default=["/"])
    wish = parser.parse_args()
    if (program := chromium.find(os.environ)) is None:
        parser.error(chromium.absence(os.environ))
    url = wish.url.rstrip("/")
    bad = total = 0
    with sync_playwright() as playwright, chromium.start(playwright, program) as browser:
        session = log_in(browser, url=url, email=wish.email, password=wish.password) if wish.email else None
        for picture in look(browser, url=url, paths=wish.paths, folder=wish.out, session=session):
            total, bad = total + 1, bad + bool(picture.findings)
            print(f"{picture.file}: {'' if picture.findings else 'nothing'}", flush=True)
            for finding in picture.findings:
                print(f"    {finding}", flush=True)
    print(f"{total} pictures, {bad} with findings")
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
