"""A pipeline as tables for a terminal: where everything is, what waits, and last what is wrong and what mends it."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stretto.status.standing import COLOUR, headline, slot_words, total_s, why, worst_first
from stretto_schemas.lag.stages import MEANING, STAGES, StageLag
from stretto_schemas.lag.verdict import FIRST_LOOK
from stretto_schemas.lag.view import FollowerView, PipelineView, ProblemView, ProcessView, SourceView
from stretto_schemas.lag.words import duration, number, size
from stretto_schemas.lsn import format_lsn


def render(view: PipelineView) -> RenderableType:
    """Places, then each follower with its stages, then what is wrong."""
    parts: list[RenderableType] = [_places(view), Text()]
    shown = worst_first(view.followers)
    if len(shown) == 1:
        parts.append(_one(shown[0]))
    elif shown:
        parts += [_many(shown), Text(), Text(headline(view), style="bold")]
    else:
        parts += [_stages({stage: source.lag.get(stage) for stage in ("wal", "capture")}) for source in view.sources]
    if any(each.rule == FIRST_LOOK for each in shown):
        parts.append(Text("hint: one look does not tell which way lag goes: `stretto status -w`", style="yellow"))
    for problem in view.problems:
        parts += _problem(problem)
    parts += [Text(f"hint: {hint}", style="yellow") for hint in view.hints]
    if view.unreadable:
        passed = number(view.unreadable, "record")
        parts.append(Text(f"problem: {passed} of the watched topics cannot be read, passed over", style="red"))
    return Group(*parts)


def _places(view: PipelineView) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(no_wrap=True)
    table.add_column()
    for source in view.sources:
        _source(table, source)
    for follower in view.followers if len(view.followers) == 1 else ():
        applied = f"{number(follower.transactions, 'transaction')}, {number(follower.rows, 'row')} applied"
        table.add_row(f"follower {follower.name}", format_lsn(follower.end_lsn), applied)
        heard = f"said {duration(follower.heard_s)} ago" if follower.heard_s >= 0.5 else ""
        table.add_row("  it is", follower.state, Text("; ".join(filter(None, (follower.said, heard)))))
    for source in view.sources:
        _process(table, source.follower_process)
    return table


def _source(table: Table, source: SourceView) -> None:
    if source.wal_lsn is None:
        table.add_row(f"source {source.name}", "?", "does not answer")
    else:
        grows = f"grows by {size(round(source.bytes_per_s))} a second" if source.bytes_per_s is not None else ""
        table.add_row(f"source {source.name}", format_lsn(source.wal_lsn), grows)
        confirmed = format_lsn(source.slot.confirmed_flush_lsn) if source.slot is not None else "-"
        table.add_row("  slot", confirmed, slot_words(source.slot, source.safe_wal_bytes))
    _process(table, source.capture)
    if source.frontier_lsn is not None:
        table.add_row("log", format_lsn(source.frontier_lsn), f"frontier {source.frontier_sequence}")
    else:
        table.add_row("log", "-", "no frontier seen")


def _process(table: Table, process: ProcessView | None) -> None:
    if process is not None:
        style = "red" if process.state == "unreachable" else ""
        table.add_row(f"  process {process.name}", Text(process.state, style=style), Text(process.said))


def _one(follower: FollowerView) -> RenderableType:
    colour = COLOUR.get(follower.status, "")
    lines: list[RenderableType] = [
        _stages(follower.lag),
        Text(),
        Text.assemble((follower.status, f"bold {colour}"), f"  {follower.reason}"),
    ]
    if follower.over_budget:
        lines.append(Text(f"over its lag budget of {duration(follower.budget_s)}", style="yellow"))
    if follower.likely:
        lines.append(Text(f"likely: {follower.likely}"))
    lines += [Text(line, style="dim") for line in (_pace(follower), _visible(follower)) if line]
    lines += [Text(f"copying {each.table}: {each.rows:,} of about {each.expected:,} rows") for each in follower.copying]
    return Group(*lines)


def _pace(follower: FollowerView) -> str:
    """Rate, time to catch up, a clock that is off, on one line."""
    parts = []
    if follower.rows_per_s is not None:
        parts.append(f"{follower.rows_per_s:,.0f} rows/s")
    if follower.catch_up_s is not None and follower.catch_up_s > 0:
        parts.append(f"caught up in {duration(follower.catch_up_s)} ({follower.catch_up_sure:.0%} sure)")
    if follower.skew_s is not None and abs(follower.skew_s) >= 0.5:
        parts.append(f"its clock is {duration(abs(follower.skew_s))} {'ahead' if follower.skew_s > 0 else 'behind'}")
    return "; ".join(parts)


def _visible(follower: FollowerView) -> str:
    """Percentiles, on one line."""
    windows = [f"{each.p50:.3f} / {each.p99:.3f} s last {window}" for window, each in follower.visible.items()]
    return f"commit to visible, p50 / p99: {', '.join(windows)}" if windows else ""


def _many(followers: list[FollowerView]) -> Table:
    """A row each; stage by stage they are in JSON and on `stretto top`."""
    table = Table(box=None, pad_edge=False)
    for name in ("follower", "status", "state", "lag", "most in", "rows/s", "why"):
        table.add_column(name, justify="right" if name in ("lag", "rows/s") else "left", no_wrap=name != "why")
    for each in followers:
        behind_s = total_s(each)
        table.add_row(
            Text(each.name),
            Text(each.status, style=COLOUR.get(each.status, "")),
            each.state,
            duration(behind_s) if behind_s is not None else "?",
            each.stage,
            f"{each.rows_per_s:,.0f}" if each.rows_per_s is not None else "",
            Text(why(each)),
        )
    return table


def _stages(stages: dict[str, StageLag | None]) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left")
    for name in ("stage", "bytes", "records", "seconds"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    table.add_column("what lies there")
    for stage in STAGES:
        if stage in stages:
            table.add_row(stage, *cells(stages[stage]), MEANING[stage], style="bold" if stage == "total" else "")
    return table


def cells(lag: StageLag | None) -> tuple[str, str, str]:
    """Bytes, records and seconds of a stage; a question mark for what nobody knows."""
    if lag is None:
        return "?", "?", "?"
    return size(lag.bytes), f"{lag.records:,}" if lag.counted else "?", f"{lag.seconds:,.3f}"


def _problem(problem: ProblemView) -> list[RenderableType]:
    """Found, expected, fix, as errors are printed."""
    said = [(word, text) for word, text in (("expected", problem.expected), ("fix", problem.fix)) if text]
    return [
        Text(f"problem: {problem.found}", style="red"),
        *(Padding(Text(f"{word}: {text}"), (0, 0, 0, 2)) for word, text in said),
    ]
