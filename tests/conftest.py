"""Fixtures lie in modules named fix_*.py."""

from __future__ import annotations

pytest_plugins = ["tests.fix_stack", "tests.fix_pipeline"]
