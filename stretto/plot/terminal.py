"""A chart in a terminal, by plotext."""

from __future__ import annotations

from typing import Final

import plotext

from stretto.plot.chart import Chart, Line, heights
from stretto_schemas.lag.words import duration

WIDTH, LEAST_WIDTH = 80, 40
MOST_HEIGHT, LEAST_HEIGHT = 24, 10

COLOURS: Final = (6, 1, 2, 5, 3, 4, 9, 14)
"""Of the terminal's own sixteen, so that they fit its background."""

SIGNS: Final = "*o+x#%@="
"""What tells lines apart without colour."""


def draw(chart: Chart, columns: int | None, rows: int | None, *, colour: bool) -> str:
    """The picture; `table` is its legend. None: nobody knows how wide or high a screen is."""
    width = max(LEAST_WIDTH, columns or WIDTH)
    height = max(LEAST_HEIGHT, min(MOST_HEIGHT, (rows or MOST_HEIGHT) - len(chart.lines) - 3))
    figure, levels = plotext.figure, heights(chart.most)
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(width, height)
    figure.legend(False)
    figure.title(chart.title if len(chart.title) < width - 4 else chart.title.partition(",")[0])
    across, up = figure.ruler("x", "lower"), figure.ruler("y", "left")
    across.lim(chart.begin_s, chart.end_s)
    across.ticks([at for at, _ in chart.ticks], [words for _, words in chart.ticks])
    up.lim(0.0, levels[-1])
    up.ticks(levels, [f"{level:g}" for level in levels])
    for index, line in enumerate(chart.lines):
        marker = plotext.marker("braille", plotext.pixel(COLOURS[index])) if colour else SIGNS[index]
        for part in line.parts():
            drawn = figure.signal([at for at, _ in part], [value for _, value in part], marker=marker)
            figure.draw(drawn.lines())
    built = str(figure.build())
    return built if colour else plotext.uncolorize(built)


def table(chart: Chart, *, colour: bool) -> list[str]:
    """What each line is, now and at most."""
    width = max(len(line.name) for line in chart.lines)
    lines = [f"{_mark(index, colour=colour)} {_figures(line, width)}" for index, line in enumerate(chart.lines)]
    return [*lines, chart.note] if chart.note else lines


def _mark(index: int, *, colour: bool) -> str:
    return f"\x1b[38;5;{COLOURS[index]}m━━\x1b[0m" if colour else SIGNS[index]


def _figures(line: Line, width: int) -> str:
    return f"{line.name:<{width}}  now {duration(line.last):>7}  most {duration(line.most):>7}"
