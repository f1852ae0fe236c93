"""One look at a pipeline: its source, its log, its processes, all its followers. What does not answer is named and left out."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
import psycopg

from stretto_connectors.postgres.activity import source_facts
from stretto_connectors.postgres.bookkeeping import read_position
from stretto_connectors.postgres.connection import Connection, connect, explain, where
from stretto_connectors.postgres.server import refusals
from stretto_consumers.lag.processes import Answer, ask, captured, recorded
from stretto_consumers.lag.tail import Tail
from stretto_schemas.errors import StrettoError
from stretto_schemas.follower_state import FollowerState
from stretto_schemas.lag.facts import Observation, SourceFacts
from stretto_schemas.lag.view import ProblemView
from stretto_schemas.position import Position
from stretto_schemas.settings import Settings

T = TypeVar("T")

SAME_PLACE_S = 0.5
"""What capture has committed comes to a reader a moment later."""
READ_TIMEOUT_S = 10.0
"""The first look reads all that followers have said."""


class Observer:
    """Keeps its connections from look to look. One thread looks at a time. Use as a context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tail: Tail | None = None
        self._source: Connection | None = None
        self._follower: Connection | None = None
        self._pool = ThreadPoolExecutor(max_workers=5, thread_name_prefix="look")

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave all servers."""
        self._pool.shutdown()
        for conn in (self._source, self._follower):
            if conn is not None:
                conn.close()
        if self._tail is not None:
            self._tail.close()
        self._source = self._follower = self._tail = None

    def look(self) -> Observation:
        """Look at everything at the same time; blocks up to some seconds where something does not answer."""
        settings = self._settings
        capture = self._pool.submit(ask, settings, "capture")
        follower = self._pool.submit(ask, settings, "follower")
        problems: list[StrettoError] = []

        def answer(asked: Callable[[], T]) -> T | None:
            try:
                return asked()
            except StrettoError as error:
                problems.append(error)
                return None

        source = self._pool.submit(self._ask_source)
        log = self._pool.submit(self._read_log)
        position = self._pool.submit(self._ask_follower)
        facts, tail, row = answer(source.result), answer(log.result), answer(position.result)
        said = captured(capture.result())
        if said is not None and tail is not None:
            answer(lambda: tail.read_until(said.frontier_lsn, SAME_PLACE_S))
        return self._observe(capture.result(), follower.result(), facts, tail, row, problems)

    def _observe(
        self,
        capture: Answer,
        follower: Answer,
        facts: SourceFacts | None,
        tail: Tail | None,
        row: Position | None,
        problems: list[StrettoError],
    ) -> Observation:
        settings, now = self._settings, time.monotonic()
        states = {name: heard.state for name, heard in tail.followers.items()} if tail is not None else {}
        source_us = facts.now_us if facts is not None else None
        heard_s = {name: tail.heard_s(name, source_us) for name in tail.followers} if tail is not None else {}
        mine = settings.follower.name
        own = recorded(follower)
        if own is not None and own.follower == mine:
            states[mine], heard_s[mine] = own, 0.0
        elif row is not None:
            states[mine] = _by_its_row(states.get(mine), row, settings)
            if row.heartbeat_us and facts is not None:
                heard_s.setdefault(mine, max(0.0, (facts.now_us - row.heartbeat_us) / 1e6))
        oldest, behind = {}, {}
        for name, state in states.items():
            if tail is not None and tail.log is not None and state.epoch == tail.log.epoch:
                lacking = tail.behind(state)
                if lacking is not None:
                    oldest[name], behind[name] = lacking
        return Observation(
            prefix=settings.prefix,
            source=settings.source.name,
            at=now,
            at_us=time.time_ns() // 1000,
            heartbeat_s=settings.capture.heartbeat_s,
            facts=facts,
            capture=capture.view,
            captured=captured(capture),
            log=tail.log if tail is not None else None,
            followers=[states[name] for name in sorted(states)],
            follower_process=follower.view,
            heard_s=heard_s,
            oldest_us=oldest,
            behind_records=behind,
            problems=[problem_view(error) for error in problems],
            hints=_hints(problems, facts, tail, states),
            unreadable=sum(tail.unreadable.values()) if tail is not None else 0,
        )

    # --- who is asked -------------------------------------------------------------------------------------------------

    def _ask_source(self) -> SourceFacts:
        source = self._settings.source

        def ask_it(conn: Connection) -> SourceFacts:
            with refusals(where(source.dsn), "reading the slot"):
                return source_facts(conn, source.slot_name)

        self._source, facts = _on(self._source, source.dsn, source.password, ask_it)
        return facts

    def _ask_follower(self) -> Position | None:
        follower = self._settings.follower

        def ask_it(conn: Connection) -> Position | None:
            with refusals(where(follower.dsn), "reading stretto.position"):
                return read_position(conn, self._settings.source.name)

        self._follower, position = _on(self._follower, follower.dsn, follower.password, ask_it)
        return position

    def _read_log(self) -> Tail:
        if self._tail is None:
            self._tail = Tail(self._settings)
        self._tail.read(READ_TIMEOUT_S)
        return self._tail


def _on(conn: Connection | None, dsn: Any, password: Any, ask_it: Callable[[Connection], T]) -> tuple[Connection, T]:
    """Ask over the connection of the look before; over a new one when that is gone. Raises Unreachable or SettingsError."""
    if conn is not None and not conn.closed:
        try:
            return conn, ask_it(conn)
        except (psycopg.Error, StrettoError):
            conn.close()
    conn = connect(dsn, password, application="stretto-status")
    try:
        return conn, ask_it(conn)
    except psycopg.Error as error:
        conn.close()
        raise explain(error, where(dsn)) from None
    except StrettoError:
        conn.close()
        raise


def _by_its_row(state: FollowerState | None, row: Position, settings: Settings) -> FollowerState:
    """What a follower that does not answer has applied, by its database's own word; the rest by its last record."""
    if state is None:
        state = FollowerState(
            follower=settings.follower.name,
            source=row.source,
            epoch=row.epoch,
            term=row.term,
            end_lsn=row.end_lsn,
            commit_ts_us=row.commit_ts_us,
            visible_ts_us=0,
            transactions=row.transactions,
            rows=row.rows,
            state="unknown",
            budget_s=settings.follower.lag_budget_s,
            delay_s=settings.follower.apply_delay_s,
        )
    return msgspec.structs.replace(
        state,
        epoch=row.epoch,
        term=row.term,
        end_lsn=row.end_lsn,
        commit_ts_us=row.commit_ts_us,
        transactions=row.transactions,
        rows=row.rows,
        heartbeat_us=row.heartbeat_us,
        frontier_offset=row.frontier_offset,
    )


def problem_view(error: StrettoError) -> ProblemView:
    """An error for a screen."""
    return ProblemView(error.found, error.expected, error.fix, error.exit_code)


def _hints(
    problems: list[StrettoError], facts: SourceFacts | None, tail: Tail | None, states: dict[str, FollowerState]
) -> list[str]:
    """What is not there although everything answers: the next command to run."""
    if problems:
        return []
    if facts is not None and facts.slot is None and (tail is None or tail.log is None):
        return ["the source is not captured yet: `stretto init`"]
    if not states:
        return ["the follower holds no copy yet: `stretto follower add`"]
    return []
