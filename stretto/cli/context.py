"""Which settings a command works with."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stretto_schemas.errors import SettingsError

if TYPE_CHECKING:
    from stretto_schemas.settings import Settings

DEFAULT = Path("stretto.toml")
"""Read from the current folder when it is there and nothing else was named."""

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Settings file; also STRETTO_CONFIG. Default: ./stretto.toml, else what `stretto up` wrote.",
    ),
]
"""The option, accepted before and after a command's name."""


@dataclass
class Globals:
    """Options given before the command's name."""

    config: Path | None = None
    debug: bool = False


def settings_path(ctx: typer.Context, config: Path | None) -> Path | None:
    """The settings file: the option's, STRETTO_CONFIG's, ./stretto.toml, or what `stretto up` wrote; None without any."""
    given = config or (ctx.obj.config if isinstance(ctx.obj, Globals) else None)
    if given is not None:
        return given
    named = os.environ.get("STRETTO_CONFIG")
    if named:
        return Path(named)
    if DEFAULT.exists():
        return DEFAULT
    from stretto.embedded import places, settings_file

    written = places.data_dir() / settings_file.NAME
    return written if written.exists() else None


def load_settings(ctx: typer.Context, config: Path | None) -> Settings:
    """Read the settings of a command. Raises SettingsError."""
    # librdkafka reports each lost connection in its own words; what matters comes back as an error of the call.
    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)
    from pydantic_settings.exceptions import SettingsError as UnreadableVariable

    from stretto_schemas.settings import load

    path = settings_path(ctx, config)
    try:
        return load(path)
    except UnreadableVariable as error:
        raise SettingsError(
            f"an environment variable cannot be read: {error}",
            expected="lists and tables as JSON: STRETTO_SOURCE__TABLES='[\"public.*\"]'",
            fix="see docs/settings.md",
        ) from None


def say(line: str) -> None:
    """Print a line of a command's result and let it be seen at once, also through a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
