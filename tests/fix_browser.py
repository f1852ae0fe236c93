"""The system's Chromium, one a module, and a fresh profile for each test.

Not one a session: while it lives, Playwright has an event loop running in the main thread, where other tests run theirs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests import browsers

DEADLINE_MS = 60_000


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of `scripts/test`."""
    group = parser.getgroup("stretto")
    group.addoption(
        "--require-browser",
        action="store_true",
        help="that there is no Chromium is an error; without it tests of the page are skipped then",
    )
    group.addoption(
        "--screenshots", action="store_true", help="write the page's pictures in docs/images anew while it is tested"
    )


def pytest_configure(config: pytest.Config) -> None:
    """End the run before the first test where a browser is asked for and there is none."""
    if config.getoption("--require-browser") and browsers.found() is None:
        raise pytest.UsageError(browsers.LACKS)


def pytest_report_header(config: pytest.Config) -> str:
    """Say which browser the page is tested in."""
    return f"browser: {browsers.version()}" if browsers.found() else f"browser: tests skipped, {browsers.LACKS}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without a window."""
    program = browsers.found()
    if program is None:
        pytest.skip(browsers.LACKS)
    # Chromium as root has no sandbox, and it visits nothing here but the test's own server.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=arguments)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page, 1280 by 900. An error of its script fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(DEADLINE_MS)
    made = context.new_page()
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.on("console", lambda said: errors.append(said.text) if is_policy(said.text) else None)
    yield made
    context.close()
    assert errors == []


def is_policy(said: str) -> bool:
    """Whether the browser refused something by the Content-Security-Policy."""
    return "Content Security Policy" in said or "TrustedHTML" in said
