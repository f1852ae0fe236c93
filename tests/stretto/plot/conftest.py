"""Fixtures of the tests of lag, for its charts."""

from __future__ import annotations

from tests.fix_processes import processes
from tests.lag.conftest import beaten

__all__ = ["beaten", "processes"]
