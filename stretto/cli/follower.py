"""`stretto follower add`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stretto.cli.context import Config, load_settings, say
from stretto_schemas.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Make followers.")
    group.callback()(_group)
    group.command("add")(add_command)
    app.add_typer(group, name="follower")


def _group() -> None:
    """Make followers."""


def add_command(
    ctx: typer.Context,
    config: Config = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop what an earlier copy made, and only that, and copy again.")
    ] = False,
    if_absent: Annotated[
        bool, typer.Option("--if-absent", help="Do nothing when the follower already follows this source.")
    ] = False,
    pg_bin: Annotated[
        Path | None, typer.Option("--pg-bin", metavar="DIR", help="Folder of pg_dump, pg_restore and psql.")
    ] = None,
) -> None:
    """Copy schema and rows of the source into the follower, while writes go on, and note where the log goes on."""
    from stretto.progress import show_progress
    from stretto_consumers.follower.bootstrap import add_follower, follows

    settings = load_settings(ctx, config)
    if replace and if_absent:
        raise UsageError("--replace and --if-absent exclude each other", fix="give one of them")
    if if_absent and follows(settings):
        say(f"the follower already follows source {settings.source.name}")
        return
    with show_progress() as progress:
        add_follower(settings, progress=progress, replace=replace, pg_bin=pg_bin)
