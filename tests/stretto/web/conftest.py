"""A server of made-up looks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stretto.web.made import Made, made


@pytest.fixture
def server() -> Iterator[Made]:
    """One that has looked at nothing yet."""
    with made() as server:
        yield server
