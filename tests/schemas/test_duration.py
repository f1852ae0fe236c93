"""Durations in requests."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto_schemas.duration import parse_duration
from stretto_schemas.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("5s", 5.0),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("7", 7.0),
        ("0", 0.0),
        ("1.5s", 1.5),
        ("0.25m", 15.0),
    ],
)
def test_a_number_with_its_unit_is_seconds(text: str, seconds: float) -> None:
    assert parse_duration("max_lag", text) == pytest.approx(seconds)


WRONG = [
    "",
    " ",
    "s",
    "5 s",
    "-1",
    "+5s",
    "5S",
    "5sec",
    "1h30m",
    "1e3",
    "nan",
    "inf",
    ".5",
    "5.",
    "٥s",
    "5s\n",
    "1" * 50,
]


@pytest.mark.parametrize("text", WRONG)
def test_anything_else_is_refused_with_what_it_was_and_what_is_allowed(text: str) -> None:
    with pytest.raises(UsageError, match="no duration") as caught:
        parse_duration("max_lag", text)
    assert "500ms, 5s, 2m or 1h" in caught.value.expected
    assert len(caught.value.found) < 80
    assert caught.value.found.isascii()


@given(st.text())
def test_text_is_a_duration_or_refused(text: str) -> None:
    with suppress(UsageError):
        assert 0 <= parse_duration("max_lag", text) < 1e13
