"""`stretto follower`: make followers, pause and delay them, take them off."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stretto.cli.context import Config, load_settings, say
from stretto_schemas.errors import UsageError

if TYPE_CHECKING:
    from stretto_connectors.postgres.control import Control

HELP = "Make followers, pause and delay them, take them off."


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help=HELP)
    group.command("add")(add_command)
    group.command("pause")(pause_command)
    group.command("resume")(resume_command)
    group.command("delay")(delay_command)
    group.command("remove")(remove_command)
    app.add_typer(group, name="follower")


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
    from stretto_consumers.follower.copy_published import published

    settings = load_settings(ctx, config)
    if replace and if_absent:
        raise UsageError("--replace and --if-absent exclude each other", fix="give one of them")
    if if_absent and follows(settings):
        say(f"the follower already follows source {settings.source.name}")
        return
    with show_progress() as shown, published(settings, shown) as progress:
        add_follower(settings, progress=progress, replace=replace, pg_bin=pg_bin)


def pause_command(
    ctx: typer.Context,
    config: Config = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why: /readyz and `stretto status` say it.")
    ] = None,
) -> None:
    """Let the follower show nothing new until `stretto follower resume`, also over restarts."""
    from stretto_consumers.follower.control import pause

    settings = load_settings(ctx, config)
    before, now = pause(settings, reason)
    name, because = settings.follower.name, f": {now.reason}" if now.reason else ""
    if before.paused:
        say(f"follower {name} was paused already, since {_time(now.since)}{because}")
    else:
        say(f"follower {name} is paused since {_time(now.since)}{because}")


def resume_command(ctx: typer.Context, config: Config = None) -> None:
    """Let a paused follower go on where it stands."""
    from stretto_consumers.follower.control import resume

    settings = load_settings(ctx, config)
    before, now = resume(settings)
    name, because = settings.follower.name, f": {before.reason}" if before.reason else ""
    if before.paused:
        say(f"follower {name} goes on; it was paused since {_time(before.since)}{because}")
    elif now.since is None:
        say(f"follower {name} is not paused and never was")
    else:
        say(f"follower {name} is not paused; it goes on since {_time(now.since)}")


def delay_command(
    ctx: typer.Context,
    seconds: Annotated[
        float | None, typer.Argument(metavar="SECONDS", help="Seconds after a commit; 0: at once.")
    ] = None,
    config: Config = None,
    as_set: Annotated[
        bool, typer.Option("--as-set", help="Let `apply_delay_s` of the settings hold again instead.")
    ] = False,
) -> None:
    """Show transactions so long after their commit, from now on; it wins over `apply_delay_s` of the settings."""
    from stretto_consumers.follower.control import delay

    settings = load_settings(ctx, config)
    if (seconds is None) is not as_set:
        raise UsageError(
            "neither seconds nor --as-set were given" if seconds is None else "both seconds and --as-set were given",
            expected="one of them",
            fix="`stretto follower delay 30`, `stretto follower delay 0`, or `stretto follower delay --as-set`",
        )
    before, now = delay(settings, seconds)
    name, was = settings.follower.name, _delay(before, settings.follower.apply_delay_s)
    say(f"follower {name} shows transactions {_delay(now, settings.follower.apply_delay_s)}; before: {was}")


def _delay(control: Control, setting_s: float) -> str:
    ordered = control.apply_delay_s is not None
    delay_s = control.apply_delay_s if control.apply_delay_s is not None else setting_s
    words = f"{delay_s:g} s after their commit" if delay_s else "at once"
    return words if ordered else f"{words} (apply_delay_s of the settings)"


def remove_command(
    ctx: typer.Context,
    config: Config = None,
    force_tombstone: Annotated[
        str | None,
        typer.Option(
            "--force-tombstone", metavar="NAME", help="Only forget NAME in Kafka: a follower whose database is gone."
        ),
    ] = None,
) -> None:
    """Take the follower off its source for good. Its tables and rows stay."""
    from stretto_consumers.follower.remove import forget_follower, remove_follower

    settings = load_settings(ctx, config)
    if force_tombstone is not None:
        forget_follower(settings, force_tombstone, say)
    else:
        remove_follower(settings, say)


def _time(since: dt.datetime | None) -> str:
    return f"{since:%Y-%m-%d %H:%M:%S %Z}" if since is not None else "an unknown time"
