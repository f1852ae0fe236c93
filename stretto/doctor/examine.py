"""All checks of a pipeline, in the order in which a person would look."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg

from stretto.doctor.check import Check, failed, ok, warn
from stretto.doctor.follower import FollowerChecks
from stretto.doctor.log import LogChecks
from stretto.doctor.source import SourceChecks
from stretto_connectors.postgres.connection import connect
from stretto_schemas.errors import StrettoError
from stretto_schemas.settings import FollowerSettings, Settings, SourceSettings

SKEW_S = 1.0
"""Clocks further apart than this make seconds of lag, and last write wins, say little."""

Connection = psycopg.Connection[tuple[Any, ...]]


def examine(settings: Settings) -> Iterator[Check]:
    """Run every check that the servers in reach allow; never raises a StrettoError."""
    with ExitStack() as sessions:
        source, answer = _session(sessions, "source", settings.source)
        checks: SourceChecks | None = None
        if source is None:
            yield answer
        else:
            try:
                checks = SourceChecks(settings, source)
                yield from checks.run()
            except StrettoError as error:
                yield failed("source", "catalog", error)
        try:
            yield from LogChecks(settings, checks.slot if checks else None, _published(checks)).run()
        except StrettoError as error:
            yield failed("log", "broker", error)
        follower, answer = _session(sessions, "follower", settings.follower)
        if follower is None:
            yield answer
        else:
            yield from _follower(settings, follower, source, checks)
        yield from _clocks(source, follower)


def _session(
    sessions: ExitStack, where: str, database: SourceSettings | FollowerSettings
) -> tuple[Connection | None, Check]:
    try:
        conn = connect(database.dsn, database.password, application="stretto-doctor")
    except StrettoError as error:
        return None, failed(where, "connection", error)
    return sessions.enter_context(conn), ok(where, "connection", "answers")


def _follower(
    settings: Settings, follower: Connection, source: Connection | None, checks: SourceChecks | None
) -> Iterator[Check]:
    try:
        published = checks.published() if checks and checks.publication else []
        version = checks.server.version if checks else 0
        yield from FollowerChecks(settings, follower, source if checks else None, published, version).run()
    except StrettoError as error:
        yield failed("follower", "catalog", error)


def _published(checks: SourceChecks | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(checks.publication.tables)) if checks and checks.publication else ()


def _clocks(source: Connection | None, follower: Connection | None) -> Iterator[Check]:
    """How far apart the clocks of both servers and of this machine are, to half a round trip."""
    offsets = {"this machine": 0.0}
    for name, conn in (("source", source), ("follower", follower)):
        if conn is not None and not conn.closed:
            offsets[name] = _offset(conn)
    if len(offsets) < 2:
        return
    apart = max(offsets.values()) - min(offsets.values())
    said = ", ".join(f"{name} {offset * 1000:+.0f} ms" for name, offset in offsets.items())
    if apart > SKEW_S:
        yield warn(
            "clocks", "skew", f"{apart:.1f} s apart ({said}): lag in seconds is off by that", "run NTP on all of them"
        )
    else:
        yield ok("clocks", "skew", f"{apart * 1000:.0f} ms apart")


def _offset(conn: Connection) -> float:
    before = time.time()
    row = conn.execute("select extract(epoch from clock_timestamp())::float8").fetchone()
    after = time.time()
    assert row is not None, "a select without from has one row"
    return float(row[0]) - (before + after) / 2
