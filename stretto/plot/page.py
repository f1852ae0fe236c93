"""A chart as one HTML file that needs nothing else: the picture is SVG in it, drawn here."""

from __future__ import annotations

from html import escape
from typing import Final

from stretto.plot.chart import Chart, Line, heights
from stretto_schemas.lag.words import duration

WIDTH, HEIGHT = 960, 420
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 12, 28

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a58900", "#56b4e9", "#7f3c8d", "#555555")
"""Told apart also by people who do not see all colours: Okabe and Ito's, the light ones darkened for white paper."""

DASHES: Final = ("", "8 3", "2 3", "10 3 2 3", "5 5", "1 4", "12 4", "3 6")
"""And by those who print in black."""

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.15rem; font-weight: 600; }
svg { width: 100%; height: auto; }
svg text { fill: currentColor; font-size: 12px; }
svg .grid { stroke: currentColor; stroke-opacity: .15; }
svg polyline { fill: none; stroke-width: 1.6; }
table { border-collapse: collapse; }
td, th { padding: .15rem .9rem .15rem 0; text-align: left; font-variant-numeric: tabular-nums; font-weight: inherit; }
"""


def page(chart: Chart) -> str:
    """The whole document."""
    rows = "".join(_row(index, line) for index, line in enumerate(chart.lines))
    note = f"<p>{escape(chart.note)}</p>" if chart.note else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(chart.title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(chart.title)}</h1>{svg(chart)}"
        f"<table><thead><tr><th></th><th>line</th><th>now</th><th>most</th></tr></thead><tbody>{rows}</tbody></table>"
        f"{note}</body></html>\n"
    )


def svg(chart: Chart) -> str:
    """The picture alone."""
    levels = heights(chart.most)

    def x(at_s: float) -> float:
        return LEFT + (at_s - chart.begin_s) / (chart.end_s - chart.begin_s) * (WIDTH - LEFT - RIGHT)

    def y(seconds: float) -> float:
        return HEIGHT - BOTTOM - seconds / levels[-1] * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)}">']
    for level in levels:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(level) + 4:.1f}" text-anchor="end">{level:g} s</text>')
    for at_s, words in chart.ticks:
        parts.append(
            f'<text x="{x(at_s):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(words)}</text>'
            f'<line class="grid" x1="{x(at_s):.1f}" x2="{x(at_s):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        )
    for index, line in enumerate(chart.lines):
        for part in line.parts():
            points = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in part if at >= chart.begin_s)
            parts.append(f'<polyline {_pen(index)} points="{points}"><title>{escape(line.name)}</title></polyline>')
    return "".join([*parts, "</svg>"])


def _pen(index: int) -> str:
    return f'stroke="{COLOURS[index % len(COLOURS)]}" stroke-dasharray="{DASHES[index % len(DASHES)]}"'


def _row(index: int, line: Line) -> str:
    pen = f'<svg viewBox="0 0 40 10" style="width:40px"><line x2="40" y1="5" y2="5" stroke-width="2" {_pen(index)}/></svg>'
    return (
        f"<tr><td>{pen}</td><td>{escape(line.name)}</td><td>{duration(line.last)}</td>"
        f"<td>{duration(line.most)}</td></tr>"
    )
