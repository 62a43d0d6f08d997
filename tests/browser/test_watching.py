"""The net under the browser tests: what goes wrong in a browser is noticed, and nothing else is."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from cohorts.models import User
from tests.browser import bad_pages
from tests.browser.axe import serious_barriers
from tests.browser.conftest import LogIn
from tests.browser.watching import PHONE, OpenPage, Scheme, Watch, watched_pages

UNLABELLED = "<html lang='en'><title>City</title><form><input name='city'></form></html>"


@pytest.fixture
def served(live_server: LiveServer, settings: Settings) -> str:
    """The address of the pages made to go wrong."""
    settings.ROOT_URLCONF = bad_pages.__name__
    return live_server.url


def test_a_page_without_faults_passes_and_its_style_is_applied(served: str, page: Page, watch: Watch) -> None:
    page.goto(f"{served}/good/")

    assert page.title() == "A page"
    assert serious_barriers(page) == []
    assert watch.faults() == []


@pytest.mark.parametrize(
    ("name", "complaints"),
    [
        ("inline-script", [r"^console: .*inline script violates .*script-src 'self'"]),
        ("inline-style", [r"^console: .*inline style violates .*style-src 'self'"]),
        ("inline-handler", [r"^console: .*inline event handler violates .*script-src"]),
        ("picture-from-elsewhere", [r"^elsewhere: http://pictures", r"^console: .*violates .*img-src"]),
        ("broken-script", [r"^script: .*absent is not defined"]),
        ("missing-script", [r"^console: Failed to load resource: .*404"]),
    ],
)
def test_a_fault_of_a_page_is_noticed_unless_it_was_expected(
    served: str, page: Page, watch: Watch, name: str, complaints: list[str]
) -> None:
    page.goto(f"{served}/{name}/")
    for button in page.get_by_role("button").all():
        button.click()  # Chromium looks at a handler when it is to run

    assert page.title() == "A page", "the inline script ran"
    assert len(watch.faults()) == len(complaints)
    for complaint in complaints:
        watch.expect(complaint)


def test_a_test_fails_of_what_its_pages_complained_about(browser: Browser, served: str) -> None:
    with pytest.raises(AssertionError, match="inline style violates"), watched_pages(browser, Watch()) as open_one:
        open_one().goto(f"{served}/inline-style/")


def test_an_expected_fault_that_does_not_come_is_one() -> None:
    watch = Watch()
    watch.expect("403")

    assert watch.faults() == ["expected, but did not come: 403"]


def test_no_other_host_is_reached_by_following_a_link(served: str, page: Page, watch: Watch) -> None:
    page.goto(f"{served}/link-to-elsewhere/")
    with page.expect_event("requestfailed") as failed:
        page.get_by_role("link").click(no_wait_after=True)

    assert failed.value.failure == "net::ERR_NAME_NOT_RESOLVED"
    watch.expect("^elsewhere: http://elsewhere.example.com/")


@pytest.mark.parametrize(
    ("name", "rule"), [("no-label", "label (critical): input:"), ("faint", "color-contrast (serious): p:")]
)
def test_a_barrier_is_found_under_the_csp(served: str, page: Page, name: str, rule: str) -> None:
    page.goto(f"{served}/{name}/")

    [barrier] = serious_barriers(page)
    assert barrier.startswith(rule)


def test_a_test_may_use_the_database_while_its_page_is_logged_in(served: str, page: Page, log_in: LogIn) -> None:
    log_in(page, User.objects.create_user("ann@example.com"))
    page.goto(f"{served}/whoami/")

    assert page.text_content("#user") == str(User.objects.get())


def test_pages_are_as_wide_dark_and_scripted_as_wished(open_page: OpenPage) -> None:
    phone = open_page(viewport=PHONE, scheme="dark", javascript=False)
    phone.set_content("<script>document.title = 'It ran'</script><noscript>No scripts</noscript>")

    assert phone.evaluate("[innerWidth, innerHeight]") == [390, 844]
    assert phone.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert phone.title() == ""
    assert phone.get_by_text("No scripts").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_unlabelled_field_is_found_on_any_page(open_page: OpenPage, scheme: Scheme) -> None:
    page = open_page(scheme=scheme)
    page.set_content(UNLABELLED)

    assert [barrier.split()[0] for barrier in serious_barriers(page)] == ["label"]
