"""`stretto lag plot`."""

from __future__ import annotations

import os
import shutil
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stretto.cli.context import Config, load_settings, say
from stretto_schemas.errors import UsageError


class Stage(StrEnum):
    """As in `stretto_schemas.lag.stages`."""

    WAL = "wal"
    CAPTURE = "capture"
    LOG = "log"
    APPLY = "apply"
    TOTAL = "total"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Look back at the lag of the last hours.")
    group.command("plot")(plot_command)
    app.add_typer(group, name="lag")


def plot_command(
    ctx: typer.Context,
    config: Config = None,
    since: Annotated[
        str, typer.Option("--since", metavar="DURATION", help="How far back: 10m, 1h, at most 24h.")
    ] = "1h",
    follower: Annotated[
        str | None, typer.Option("--follower", metavar="NAME", help="All stages of this one; else the total of all.")
    ] = None,
    stage: Annotated[Stage | None, typer.Option("--stage", help="Only this stage.")] = None,
    png: Annotated[Path | None, typer.Option("--png", metavar="FILE", help="Write a picture instead.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page instead, which needs no other file.")
    ] = None,
) -> None:
    """Draw the lag of the last hours, which the lag monitor (`stretto run lag`) remembers."""
    from stretto.plot.chart import chart
    from stretto.plot.history import history
    from stretto_schemas.duration import parse_duration

    settings = load_settings(ctx, config)
    since_s = parse_duration("--since", since)
    if png is not None and html is not None:
        raise UsageError("--png and --html exclude each other", fix="give one of them")
    points = history(settings, since_s, follower)
    drawn = chart(points, since_s, time.time(), follower, stage.value if stage is not None else None)
    if html is not None:
        from stretto.plot.page import page

        _write(html, page(drawn).encode())
    elif png is not None:
        from stretto.plot.picture import png as picture

        _write(png, picture(drawn))
    else:
        try:
            from stretto.plot import terminal
        except ModuleNotFoundError as error:
            raise UsageError(
                f"drawing in a terminal needs a package that is not installed: {error.name}",
                fix="pip install 'stretto[lag]'; or take --html, which needs nothing more",
            ) from None
        there = sys.stdout.isatty()
        colour = there and not os.environ.get("NO_COLOR")
        columns, rows = shutil.get_terminal_size() if there else (None, None)
        say(terminal.draw(drawn, columns, rows, colour=colour))
        for line in terminal.table(drawn, colour=colour):
            say(line)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", fix="name another file") from None
    say(f"written: {path}")
