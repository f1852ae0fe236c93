"""What the panes say of a look. Pure: text from values, made for 80 columns and for more."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from stretto.status.standing import COLOUR, headline, slot_words, total_s, why
from stretto_consumers.lag.alerts import whole
from stretto_schemas.lag.stages import MEANING, STAGES, StageLag
from stretto_schemas.lag.view import Alert, FollowerView, PipelineView, ProcessView, SourceView
from stretto_schemas.lag.words import duration, number, size
from stretto_schemas.lsn import format_lsn

COLUMNS: Final = {"follower": 16, "status": 11, "lag": 7, "most in": 7, "rows/s": 8, "last 2 minutes": 18, "why": 120}
"""Of the followers' table, with their widths: all but the last fit into 80."""

MOST_ALERTS: Final = 3
MOST_PROBLEMS: Final = 3

FIGURES_WIDTH: Final = 45
"""Of a stage's name and figures, with the margins."""
MEANING_WIDTH: Final = 2 + max(map(len, MEANING.values()))

LATE_S: Final = 3.0
"""Looks at servers that answer take less."""


def row(follower: FollowerView, line: str) -> tuple[Text, ...]:
    """Cells of one follower; `line` is its sparkline."""
    behind_s = total_s(follower)
    return (
        Text(follower.name),
        Text(follower.status, style=COLOUR.get(follower.status, "")),
        Text(duration(behind_s) if behind_s is not None else "?", justify="right"),
        Text(follower.stage if behind_s else ""),
        Text(f"{follower.rows_per_s:,.0f}" if follower.rows_per_s is not None else "", justify="right"),
        Text(line),
        Text(why(follower)),
    )


def matches(follower: FollowerView, words: str) -> bool:
    """Every word of the filter is part of its name, source, state or status."""
    text = f"{follower.name} {follower.source} {follower.state} {follower.status}".casefold()
    return all(word in text for word in words.casefold().split())


def head(view: PipelineView) -> Text:
    """Three lines: the source and its log, what holds WAL and who runs, all followers in one sentence."""
    lines = [_line(part) for source in view.sources for part in _source(source)]
    return Text("\n").join([*lines, Text(headline(view) or "no followers yet", style="bold")])


def _line(parts: list[Text]) -> Text:
    return Text("   ").join(part for part in parts if part)


def _source(source: SourceView) -> tuple[list[Text], list[Text]]:
    at = format_lsn(source.wal_lsn) if source.wal_lsn is not None else "does not answer"
    grows = f" +{size(round(source.bytes_per_s))}/s" if source.bytes_per_s is not None else ""
    log = format_lsn(source.frontier_lsn) if source.frontier_lsn is not None else "not seen"
    slot = slot_words(source.slot, source.safe_wal_bytes) if source.wal_lsn is not None else "not known"
    return (
        [Text(f"source {source.name} {at}{grows}"), Text(f"log {log}")],
        [_process(source.capture), _process(source.follower_process), Text(f"slot {slot}")],
    )


def _process(process: ProcessView | None) -> Text:
    if process is None:
        return Text()
    return Text(f"{process.name} {process.state}", style="red" if process.state == "unreachable" else "")


def detail(follower: FollowerView, line: Callable[[str], str], *, wide: bool) -> RenderableType:
    """The chosen follower; `line` gives a stage's sparkline."""
    verdict = Text.assemble(
        (f"{follower.name} {follower.status}", f"bold {COLOUR.get(follower.status, '')}"),
        f"  {follower.state}: " if follower.state != "running" else "  ",
        follower.reason,
    )
    lines: list[RenderableType] = [verdict]
    if follower.over_budget:
        lines.append(Text(f"over its lag budget of {duration(follower.budget_s)}", style="yellow"))
    if follower.likely:
        lines.append(Text(f"likely: {follower.likely}"))
    lines += [Text(pace(follower), style="dim"), stages(follower.lag, line, wide=wide)]
    return Group(*lines)


def pace(follower: FollowerView) -> str:
    """How fast, how long yet, how long transactions took, how long ago it was heard of."""
    parts = []
    if follower.bytes_per_s is not None:
        parts.append(f"{size(round(follower.bytes_per_s))} of WAL/s")
    if follower.slope is not None and abs(follower.slope) >= 0.05:
        parts.append(f"lag {follower.slope:+.2f} s/s")
    if follower.catch_up_s:
        parts.append(f"caught up in {duration(follower.catch_up_s)} ({follower.catch_up_sure:.0%} sure)")
    if (visible := follower.visible.get("minute")) is not None:
        parts.append(f"commit to visible p50 {visible.p50:.3f} s, p99 {visible.p99:.3f} s")
    if follower.delay_s:
        parts.append(f"delay {duration(follower.delay_s)}")
    if follower.heard_s >= 1:
        parts.append(f"heard {duration(follower.heard_s)} ago")
    return "; ".join(parts)


def line_width(columns: int) -> tuple[int, bool]:
    """Of a stage's sparkline on a screen so wide, and whether there is room behind it for what the stage means."""
    left = columns - FIGURES_WIDTH
    wide = left >= MEANING_WIDTH + 20
    return min(60, max(10, left - MEANING_WIDTH if wide else left)), wide


def stages(lags: dict[str, StageLag | None], line: Callable[[str], str], *, wide: bool) -> Text:
    """A line each: seconds, bytes, records, the last minutes, and what lies there where there is room."""
    lines = []
    for stage in STAGES:
        if stage in lags:
            seconds, amount, records = _cells(lags[stage])
            figures = f"{stage:<8}{seconds:>7}{amount:>10}{records:>16}  {line(stage)}"
            said = f"  {MEANING[stage]}" if wide else ""
            lines.append(Text.assemble((figures, "bold" if stage == "total" else ""), said))
    return Text("\n", no_wrap=True, overflow="crop").join(lines)


def _cells(lag: StageLag | None) -> tuple[str, str, str]:
    if lag is None:
        return "?", "?", "?"
    return duration(lag.seconds), size(lag.bytes), number(lag.records, "record") if lag.counted else ""


def alerts(view: PipelineView) -> Text:
    """The newest few, one a line; empty without any."""
    lines = [_alert(each) for each in view.alerts[:MOST_ALERTS]]
    if len(view.alerts) > MOST_ALERTS:
        lines.append(Text(f"and {len(view.alerts) - MOST_ALERTS} more", style="dim"))
    return Text("\n").join(lines)


def _alert(alert: Alert) -> Text:
    at = dt.datetime.fromtimestamp(alert.at_us / 1e6, dt.UTC).astimezone()
    if alert.recovered:
        what = f"lag budget {alert.status}" if alert.kind == "budget" else alert.status
        over = f" {alert.follower} {what} again; it was {whole(alert)}"
        return Text.assemble(f"{at:%H:%M:%S} ", ("over ", "green"), over)
    return Text.assemble(f"{at:%H:%M:%S} ", ("ALERT", "red"), f" {alert.follower} {alert.status}: {alert.reason}")


def problems(view: PipelineView | None, old_s: float) -> Text:
    """What does not answer and what mends it; empty when all is well. The next look is late by `old_s` seconds."""
    lines = []
    if old_s > LATE_S:
        lines.append(
            Text(f"looking for {duration(old_s)}: something does not answer, the rest is as it was", style="red")
        )
    if view is None:
        return Text("\n").join(lines)
    for each in view.problems[:MOST_PROBLEMS]:
        fix = f"; fix: {each.fix}" if each.fix else ""
        lines.append(Text.assemble((f"problem: {each.found}", "red"), fix))
    if len(view.problems) > MOST_PROBLEMS:
        lines.append(Text(f"and {len(view.problems) - MOST_PROBLEMS} problems more", style="red"))
    lines += [Text(f"hint: {hint}", style="yellow") for hint in view.hints[:2]]
    if view.unreadable:
        lines.append(Text(f"{number(view.unreadable, 'record')} of the watched topics cannot be read", style="red"))
    return Text("\n").join(lines)
