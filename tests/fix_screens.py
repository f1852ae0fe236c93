"""Pictures for the docs, taken by the tests of what they show."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--screenshots`: write docs/images anew."""
    parser.getgroup("stretto").addoption("--screenshots", action="store_true", help="write docs/images anew")
