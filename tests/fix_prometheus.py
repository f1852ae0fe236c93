"""The machine's Prometheus and promtool, where rules and dashboards are tried."""

from __future__ import annotations

import shutil

import pytest

PROGRAMS = ("prometheus", "promtool")
OPTION = "--require-prometheus"
LACKS = f"{' and '.join(PROGRAMS)} are not both on the PATH (Debian: apt install prometheus)"


def pytest_addoption(parser: pytest.Parser) -> None:
    """An option of `scripts/test`."""
    parser.getgroup("stretto").addoption(
        OPTION,
        action="store_true",
        help="that there is no Prometheus is an error; without it tests of rules and dashboards are skipped then",
    )


def pytest_configure(config: pytest.Config) -> None:
    """End the run before the first test where Prometheus is asked for and there is none."""
    if config.getoption(OPTION) and _path() is None:
        raise pytest.UsageError(LACKS)


def pytest_report_header() -> str:
    """Say whether rules and dashboards are tried."""
    return "prometheus: on the PATH" if _path() else f"prometheus: tests skipped, {LACKS}"


def _path() -> dict[str, str] | None:
    found = {name: path for name in PROGRAMS if (path := shutil.which(name))}
    return found if len(found) == len(PROGRAMS) else None


@pytest.fixture(scope="session")
def prometheus_programs() -> dict[str, str]:
    """Paths by name of `PROGRAMS`; skips the test where one is missing."""
    found = _path()
    if found is None:
        pytest.skip(LACKS)
    return found
