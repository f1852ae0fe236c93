"""Fixtures of these tests only."""

from __future__ import annotations

from tests.fix_processes import processes
from tests.lag.monitor.fix_log import written

__all__ = ["processes", "written"]
