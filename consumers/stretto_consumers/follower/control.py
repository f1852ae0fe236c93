"""Pausing, resuming and delaying a follower: orders left in its own database, for whichever process applies.

They need no process to run and no other server to answer. A process takes them up within a second; they are kept until
the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stretto_connectors.postgres.bookkeeping import read_position
from stretto_connectors.postgres.connection import Connection, connect, where
from stretto_connectors.postgres.control import (
    Control,
    ensure_control,
    read_control,
    write_delay,
    write_pause,
    write_resume,
)
from stretto_connectors.postgres.server import refusals
from stretto_schemas.errors import UsageError
from stretto_schemas.settings import MAX_DELAY_S, Settings

Change = tuple[Control, Control]
"""What was ordered before, and what is ordered now."""


def pause(settings: Settings, reason: str | None = None) -> Change:
    """Show nothing new until `resume`. One that is paused already stays so, with a new reason if one is given.

    Raises UsageError when the database holds no copy of the source, Unreachable when it does not answer.
    """
    with _ordering(settings, "pausing the follower") as conn:
        return _changed(conn, settings, lambda: write_pause(conn, settings.source.name, reason))


def resume(settings: Settings) -> Change:
    """Go on where the follower was paused. Raises as `pause`."""
    with _ordering(settings, "resuming the follower") as conn:
        return _changed(conn, settings, lambda: write_resume(conn, settings.source.name))


def delay(settings: Settings, delay_s: float | None) -> Change:
    """Show transactions so long after their commit; 0: at once; None: as `apply_delay_s` of the settings says.

    Raises as `pause`, and UsageError for a delay that the log does not outlast.
    """
    if delay_s is not None:
        _check(delay_s, settings.kafka.retention_hours)
    with _ordering(settings, "setting the delay") as conn:
        return _changed(conn, settings, lambda: write_delay(conn, settings.source.name, delay_s))


def _check(delay_s: float, retention_hours: float) -> None:
    if not 0 <= delay_s <= MAX_DELAY_S:  # not so for what is no number
        raise UsageError(
            f"{delay_s:g} is no delay",
            expected=f"seconds, from 0 to {MAX_DELAY_S}",
            fix="give seconds; 0 shows all at once",
        )
    if delay_s >= retention_hours * 3600:
        raise UsageError(
            f"a delay of {delay_s:g} s is longer than rows stay in the log",
            expected=f"less than retention_hours, {retention_hours * 3600:g} s",
            fix="raise `retention_hours` in section [kafka] and the topics' retention.ms first",
        )


@contextmanager
def _ordering(settings: Settings, doing: str) -> Iterator[Connection]:
    follower, source = settings.follower, settings.source.name
    with (
        connect(follower.dsn, follower.password, application="stretto-control") as conn,
        refusals(where(follower.dsn), doing),
    ):
        if read_position(conn, source) is None:
            raise UsageError(
                f"this database does not follow source {source!r}",
                expected="a row in stretto.position",
                fix="run `stretto follower add` first",
            )
        ensure_control(conn)
        yield conn


def _changed(conn: Connection, settings: Settings, write: Callable[[], None]) -> Change:
    source = settings.source.name
    with conn.transaction():
        before = read_control(conn, source)
        write()
        return before, read_control(conn, source)
