"""The live screen: a pure function of the scene and the terminal's size, made for 80x24 and for more."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stretto.demo.scene import Event, Scene, clock
from stretto.demo.watch import Look, Process, rates
from stretto.status.table import cells
from stretto_schemas.lag.stages import StageLag

STAGES: Final = {
    "wal": ("WAL", "written by the load"),
    "capture": ("capture", "committed to Kafka"),
    "log": ("log", "read from Kafka"),
    "apply": ("apply", "visible on the follower"),
}
"""Each stage's name, and what its rows a second have become at its end (the WAL's: at its beginning)."""

_BARS: Final = "▁▂▃▄▅▆▇█"
_FLOOR_S: Final = 0.01
_STYLES: Final = {"killed": "bold red", "back": "green", "seen": "yellow", "note": "dim"}
_FIXED_LINES: Final = 17
"""Lines of everything but events and tables, blank ones included."""


def render(scene: Scene, width: int, height: int) -> RenderableType:
    """The screen, at most `height - 1` lines."""
    look = scene.looks[-1]
    room = max(3, height - 1 - _FIXED_LINES)
    events = _events(scene.events, min(room, 12), width)
    parts: list[RenderableType] = [
        _head(scene, width),
        Text(scene.act, style="italic", no_wrap=True, overflow="ellipsis"),
        Text(),
        _flow(scene, look),
        Text(),
        _stages(scene.looks, width),
        Text(),
        _sparkline(scene.looks, width),
        Text(),
        _load(scene),
    ]
    left = room - len(events)
    if left >= 7 and width >= 100:
        parts += [_tables(scene, width, left - 1)]
    if events:
        parts += [Text(), *events]
    return Group(*parts)


def _head(scene: Scene, width: int) -> RenderableType:
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True, justify="right")
    bar = ProgressBar(
        total=scene.seconds, completed=min(scene.elapsed_s, scene.seconds), complete_style="cyan", finished_style="cyan"
    )
    grid.width = width
    grid.add_row(Text("stretto demo", style="bold cyan"), bar, f"{clock(scene.elapsed_s)} / {clock(scene.seconds)}")
    return grid


def _flow(scene: Scene, look: Look) -> Text:
    arrow = (" ─▶ ", "dim")
    return Text.assemble(
        ("leader", "bold"),
        (f" :{scene.servers['leader']}", "dim"),
        arrow,
        *_process("capture", look.processes["capture"]),
        arrow,
        ("Kafka", "bold"),
        (f" :{scene.servers['kafka']}", "dim"),
        arrow,
        *_process("apply", look.processes["follower"]),
        arrow,
        ("follower", "bold"),
        (f" :{scene.servers['follower']}", "dim"),
        no_wrap=True,
        overflow="ellipsis",
    )


def _process(name: str, process: Process) -> Sequence[tuple[str, str]]:
    if process.pid is None:
        return [("✖ ", "bold red"), (name, "bold red reverse")]
    style = "green" if process.runs else "yellow"
    return [("● ", style), (name, f"bold {style}"), ("" if process.runs else f" {process.state}", style)]


def _stages(looks: Sequence[Look], width: int) -> RenderableType:
    look, per_second = looks[-1], rates(looks)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), width=min(width, 100), header_style="dim")
    table.add_column("stage", no_wrap=True)
    table.add_column("rows/s", justify="right", no_wrap=True, min_width=7)
    table.add_column("", no_wrap=True, style="dim", ratio=1)
    for name in ("lag: bytes", "records", "seconds"):
        table.add_column(name, justify="right", no_wrap=True, min_width=9)
    for stage, (title, meaning) in STAGES.items():
        process = look.processes["capture" if stage in ("wal", "capture") else "follower"]
        style = "" if process.runs else "yellow" if process.pid is not None else "red"
        table.add_row(title, f"{per_second[stage]:,.0f}", meaning, *_lag(look.lag[stage]), style=style)
    table.add_row("total", "", "leader to follower", *_lag(look.lag["total"]), style="bold")
    return table


def _lag(lag: StageLag | None) -> tuple[str, str, Text]:
    size, records, seconds = cells(lag)
    return size, records, Text(seconds, style=_colour(lag.seconds) if lag is not None else "")


def _colour(seconds: float, else_: str = "") -> str:
    return "red" if seconds >= 1 else "yellow" if seconds >= 0.2 else else_


def _sparkline(looks: Sequence[Look], width: int) -> RenderableType:
    """Total lag over time, the worst look in each column, on a logarithmic scale from 10 ms up."""
    seconds = [look.total.seconds for look in looks]
    grid = Table.grid(padding=(0, 2))
    label, peak = "lag over time", f"peak {max(seconds):.2f} s"
    columns = max(10, min(width, 100) - len(label) - len(peak) - 4)
    worst = _worst(seconds, columns)
    top = max(1.0, *worst)
    line = Text()
    for each in worst:
        share = math.log(max(each, _FLOOR_S) / _FLOOR_S) / math.log(top / _FLOOR_S)
        line.append(_BARS[min(len(_BARS) - 1, int(share * len(_BARS)))], _colour(each, "green"))
    grid.add_row(Text(label, style="dim"), line, Text(peak, style="dim"))
    return grid


def _worst(values: Sequence[float], columns: int) -> list[float]:
    if len(values) <= columns:
        return list(values)
    edges = [len(values) * each // columns for each in range(columns + 1)]
    return [max(values[start:end]) for start, end in itertools.pairwise(edges)]


def _load(scene: Scene) -> RenderableType:
    counts, look = scene.counts, scene.looks[-1]
    grid = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "left"):
        grid.add_column(justify=justify, no_wrap=True)
    writer = counts.writer
    aside = f"transactions: pgbench {counts.pgbench_transactions:,}, writer {writer.transactions:,}"
    grid.add_row(Text("load", style="dim"), f"{counts.rows:,} rows", f"{counts.transactions:,} {aside}")
    for name, side, records in (("Kafka", look.log, look.log.records), ("follower", look.follower, look.follower.rows)):
        grid.add_row(Text(name, style="dim"), f"{records:,} records", f"{side.transactions:,} transactions")
    return grid


def _tables(scene: Scene, width: int, lines: int) -> RenderableType:
    """The writer's rows by table, the most written first."""
    by_table = sorted(scene.counts.writer.by_table.items(), key=lambda each: -each[1])
    shown = [
        Text.assemble((f"{rows:>8,} ", ""), (name, "dim"), no_wrap=True, overflow="ellipsis", end="")
        for name, rows in by_table[: lines * 4]
    ]
    return Columns(shown, width=24, padding=(0, 1)) if width >= 100 else Text()


def _events(events: Sequence[Event], lines: int, width: int) -> list[Text]:
    """The newest events, as many as there is room for, each on as many lines as it takes."""
    shown: list[Text] = []
    used = 0
    for event in reversed(events):
        text = event_line(event)
        needed = math.ceil(text.cell_len / width)
        if used + needed > lines - 1:
            break
        used += needed
        shown.append(text)
    return shown[::-1]


def event_line(event: Event) -> Text:
    """`0:27 killed ...`."""
    return Text.assemble((f"{clock(event.at_s):>5}  ", "dim"), (event.text, _STYLES[event.kind]))
