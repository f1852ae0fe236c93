"""Figures in sentences."""

from __future__ import annotations

import pytest

from stretto_schemas.lag.words import duration, number, size


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0.0 s"),
        (0.004, "4 ms"),
        (0.05, "0.1 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (119.4, "119 s"),
        (120.0, "2 min"),
        (7199.0, "120 min"),
        (7200.0, "2.0 h"),
        (200_000.0, "2.3 d"),
    ],
)
def test_a_duration_has_at_most_three_digits(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_sizes_and_counts() -> None:
    assert [size(17), size(1536), size(5 * 1024**4)] == ["17 B", "1.5 kB", "5.0 TB"]
    assert [number(1, "row"), number(2000, "row"), number(0, "row")] == ["1 row", "2,000 rows", "0 rows"]
