"""A chart as PNG, by matplotlib, which is not installed unless somebody wants this (docs/adr/0021-charts-in-files.md)."""

from __future__ import annotations

import io

from stretto.plot.chart import Chart, heights
from stretto.plot.page import COLOURS
from stretto_schemas.errors import UsageError

INCHES, DOTS = (11.0, 5.0), 110


def png(chart: Chart) -> bytes:
    """The picture. Raises UsageError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise UsageError(
            f"a PNG needs a package that is not installed: {error.name}",
            fix="pip install matplotlib; or take --html, which needs nothing more",
        ) from None
    figure = Figure(figsize=INCHES, dpi=DOTS, layout="constrained")
    axes = figure.subplots()
    for line, colour, dash in zip(chart.lines, COLOURS, ("-", "--", ":", "-.") * 2, strict=False):
        for index, part in enumerate(line.parts()):
            times, seconds = [at for at, _ in part], [value for _, value in part]
            axes.plot(times, seconds, color=colour, linestyle=dash, label=line.name if index == 0 else None)
    axes.set_title(chart.title)
    axes.set_xlim(chart.begin_s, chart.end_s)
    axes.set_ylim(0, heights(chart.most)[-1])
    axes.set_xticks([at for at, _ in chart.ticks], [words for _, words in chart.ticks])
    axes.set_ylabel("seconds")
    axes.grid(alpha=0.3)
    axes.legend()
    written = io.BytesIO()
    figure.savefig(written, format="png")
    return written.getvalue()
