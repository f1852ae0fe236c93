"""Fixtures of these tests only."""

from __future__ import annotations

from tests.fix_add import adding

__all__ = ["adding"]
