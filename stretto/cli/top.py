"""`stretto top`."""

from __future__ import annotations

import os
import sys

import typer

from stretto.cli.context import Config, load_settings
from stretto_schemas.errors import UsageError

END_S = 1.0
"""A look under way may take so long to end with the screen."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("top")(top_command)


def top_command(ctx: typer.Context, config: Config = None) -> None:
    """Watch all followers on one screen: lag by stage, trends, alerts, and why. Press ? there for its keys."""
    settings = load_settings(ctx, config)
    try:
        from stretto.top.app import Top
    except ModuleNotFoundError as error:
        raise UsageError(
            f"`stretto top` needs a package that is not installed: {error.name}", fix="pip install 'stretto[lag]'"
        ) from None
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("`stretto top` needs a terminal", fix="use `stretto status -w`, with -f json for programs")
    top = Top(settings)
    top.run(mouse=True)
    ended = top.looks.stop(END_S)
    if top.failure is not None:
        raise top.failure
    if not ended:
        # A look waits for a server that does not answer, and nothing that it holds needs a goodbye.
        sys.stdout.flush()
        os._exit(top.return_code or 0)
