"""Durations as people write them in a request: 500ms, 5s, 2m, 1h; a plain number is seconds."""

from __future__ import annotations

import re

from stretto_schemas.errors import UsageError

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_FORM = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|)", re.ASCII)
_SHOWN = 40
"""Of what is no duration at most so many characters are repeated."""


def parse_duration(name: str, text: str) -> float:
    """Seconds. Raises UsageError that says what `name` was and what is allowed."""
    form = _FORM.fullmatch(text)
    if form is None:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        raise UsageError(
            f"{name} is {shown!a}, which is no duration",
            expected="a number with ms, s, m or h behind it, such as 500ms, 5s, 2m or 1h; a plain number is seconds",
        )
    return float(form[1]) * _UNITS_S[form[2]]
