"""Heavy tests: quick ones among all the others, and long ones by `scripts/soak`."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """An option of `scripts/test`."""
    parser.getgroup("stretto").addoption(
        "--soak", type=int, default=1, metavar="TIMES", help="tests marked `soak` do so many times as much"
    )


@pytest.fixture(scope="session")
def times(request: pytest.FixtureRequest) -> int:
    """So many times as much as usual."""
    asked: int = request.config.getoption("--soak")
    return asked
