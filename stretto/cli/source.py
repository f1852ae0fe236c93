"""`stretto init` and `stretto destroy`."""

from __future__ import annotations

from typing import Annotated

import typer

from stretto.cli.context import Config, load_settings, say
from stretto_schemas.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("init")(init_command)
    app.command("destroy")(destroy_command)


def init_command(
    ctx: typer.Context,
    config: Config = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print every statement and topic; change nothing.")
    ] = False,
    no_alter: Annotated[
        bool,
        typer.Option("--no-alter", help="Refuse tables that would need REPLICA IDENTITY FULL instead of setting it."),
    ] = False,
) -> None:
    """Make topics, publication, slot and the first frontier of the source; run again, it makes what is missing."""
    from stretto_producers.source.init import init

    settings = load_settings(ctx, config)
    changed = init(settings, say, dry_run=dry_run, alter=not no_alter)
    if dry_run:
        say("-- nothing was changed" if changed else "-- nothing is missing")
    elif changed:
        say(f"source {settings.source.name} is ready: `stretto run capture`")


def destroy_command(
    ctx: typer.Context,
    config: Config = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, say what would go.")] = False,
    follower: Annotated[
        bool,
        typer.Option("--follower", help="Also remove the position of this source from the follower; its rows stay."),
    ] = False,
) -> None:
    """Drop slot, publication and topics of the source; with the prefix's last source also the topics that sources share.

    Tables and rows stay, in source and follower.
    """
    from stretto_consumers.follower.detach import detach, follower_remains
    from stretto_producers.source.destroy import destroy, remains

    settings = load_settings(ctx, config)
    if not yes:
        found = remains(settings)
        lines = found.lines() + (follower_remains(settings) if follower else [])
        for line in lines:
            say(f"would go: {line}")
        for note in found.notes:
            say(note)
        if lines:
            raise UsageError(
                "nothing was dropped", expected="--yes", fix="run `stretto destroy --yes` to drop all of this"
            )
        say(f"nothing is there of source {settings.source.name}")
        return
    destroy(settings, say)
    if follower:
        detach(settings, say)
