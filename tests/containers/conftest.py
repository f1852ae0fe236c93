"""Containers for tests: only where a Docker engine with Compose answers."""

from __future__ import annotations

import pytest

from tests.stacks import engine_lacks


@pytest.fixture(autouse=True, scope="session")
def _engine() -> None:
    if engine_lacks():
        pytest.skip(f"no containers: {engine_lacks()}")
