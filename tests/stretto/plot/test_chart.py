"""From points to lines, ticks and files."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.plot.chart import GAP_S, MOST_LINES, chart, heights, ticks
from stretto.plot.page import page, svg
from stretto.plot.terminal import draw, table
from stretto_schemas.lag.stages import STAGES
from stretto_schemas.lag.view import Point

NOW_S = 1_764_000_000.0


def points(follower: str, seconds: list[float], every_s: float = 10.0) -> list[Point]:
    """The newest is now; all lag is in apply."""
    begin_s = NOW_S - every_s * (len(seconds) - 1)
    return [
        Point(
            round((begin_s + every_s * index) * 1e6),
            follower,
            "shop",
            dict.fromkeys(STAGES, 0.0) | {"apply": value, "total": value},
        )
        for index, value in enumerate(seconds)
    ]


def test_all_followers_are_shown_by_their_total_the_worst_first() -> None:
    drawn = chart([*points("asia", [0, 1, 0]), *points("berlin", [0, 9, 2])], 600, NOW_S, None, None)
    assert [(line.name, line.most, line.last) for line in drawn.lines] == [("berlin", 9, 2), ("asia", 1, 0)]
    assert "all followers, total" in drawn.title


def test_one_follower_is_shown_by_all_its_stages_or_the_one_that_was_named() -> None:
    drawn = chart(points("asia", [0, 5]), 600, NOW_S, "asia", None)
    assert [(line.name, line.most) for line in drawn.lines] == [
        ("wal", 0), ("capture", 0), ("log", 0), ("apply", 5), ("total", 5)
    ]  # fmt: skip
    [only] = chart(points("asia", [0, 5]), 600, NOW_S, "asia", "log").lines
    assert (only.name, only.most) == ("log", 0)


def test_of_more_followers_than_can_be_told_apart_the_rest_is_counted() -> None:
    many = [point for number in range(20) for point in points(f"reader-{number:02}", [float(number)])]
    drawn = chart(many, 600, NOW_S, None, None)
    assert len(drawn.lines) == MOST_LINES
    assert drawn.lines[0].name == "reader-19"
    assert drawn.note.startswith("12 followers more with less lag")
    assert table(drawn, colour=False)[-1] == drawn.note


def test_a_line_is_broken_where_nobody_looked() -> None:
    [first, *_], later = points("asia", [4, 5], every_s=3 * GAP_S), points("asia", [1, 2, 3], every_s=GAP_S - 1)
    [line] = chart([first, *later], 3600, NOW_S, None, None).lines
    assert [[value for _, value in part] for part in line.parts()] == [[4], [1, 2, 3]]


@given(st.floats(0, 1e7, allow_nan=False))
def test_heights_are_few_and_reach_the_highest_value(most: float) -> None:
    levels = heights(most)
    assert levels[0] == 0
    assert levels[-1] >= most * (1 - 1e-6)
    assert 2 <= len(levels) <= 6
    assert levels == sorted(set(levels))


@given(st.floats(1, 86_400), st.floats(1.7e9, 1.9e9))
def test_ticks_are_few_and_within_the_picture(since_s: float, end_s: float) -> None:
    found = ticks(end_s - since_s, end_s)
    assert len(found) <= 8
    assert all(end_s - since_s <= at <= end_s for at, _ in found)


def test_the_page_is_one_file_that_asks_nobody_and_says_what_the_lines_are() -> None:
    name = "<b>&asia"
    drawn = chart(points(name, [0, 5, 0]), 600, NOW_S, None, None)
    made = page(drawn)
    assert "http" not in made
    assert "<script" not in made
    assert "&lt;b&gt;&amp;asia" in made
    assert "<b>" not in made
    picture = ET.fromstring(svg(drawn))  # noqa: S314 - our own document
    [line] = picture.findall("polyline")
    places = [tuple(map(float, place.split(","))) for place in line.attrib["points"].split()]
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert places[1][1] < places[0][1] == places[2][1]  # up is less


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_in_a_terminal_it_is_as_wide_as_that_and_has_a_sign_a_line_without_colour(columns: int) -> None:
    drawn = chart([*points("asia", [0, 4, 8]), *points("berlin", [9, 9, 9])], 60, NOW_S, None, None)
    made = draw(drawn, columns, 24, colour=False)
    assert "\x1b" not in made
    assert max(len(line.rstrip()) for line in made.splitlines()) <= columns
    assert "*" in made
    assert "o" in made.partition("\n")[2]
    assert [line[0] for line in table(drawn, colour=False)] == ["*", "o"]
    coloured = draw(drawn, columns, 24, colour=True)
    assert len(set(re.findall(r"\x1b\[38;5;\d+m", coloured))) == 2
