"""One look at a pipeline: its source, its log, its processes, all its followers. What does not answer is named and left out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from stretto_connectors.postgres.activity import source_facts
from stretto_connectors.postgres.bookkeeping import read_position
from stretto_consumers.lag.asking import PATIENCE_S, Question
from stretto_consumers.lag.processes import Answer, ask, captured, recorded
from stretto_consumers.lag.server import Server
from stretto_consumers.lag.tail import Tail
from stretto_schemas.errors import StrettoError
from stretto_schemas.follower_state import FollowerState
from stretto_schemas.lag.facts import Observation, SourceFacts
from stretto_schemas.lag.view import ProblemView
from stretto_schemas.position import Position
from stretto_schemas.settings import Settings

T = TypeVar("T")

SAME_PLACE_S: Final = 0.5
"""What capture has committed comes to a reader a moment later."""

READ_WITHIN_S: Final = 60.0
"""The first look reads all that followers have said. One that is a second away takes half of this, with some thirty messages to
and fro; one that says nothing is given up long before."""

READ_ON_WITHIN_S: Final = 10.0
"""Later ones read what has come since. Readiness of who looks allows for that (`LATE_S`, `STALE_S`)."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """All but the log, asked at the same time."""

    source: Question[SourceFacts]
    position: Question[Position | None]
    capture: Question[Answer]
    follower: Question[Answer]


class Observer:
    """Keeps its connections from look to look. One thread looks at a time. Use as a context manager."""

    def __init__(self, settings: Settings) -> None:
        source, follower = settings.source, settings.follower
        self._settings = settings
        self._source = Server(
            source.dsn, source.password, lambda conn: source_facts(conn, source.slot_name), "reading the slot"
        )
        self._follower = Server(
            follower.dsn, follower.password, lambda conn: read_position(conn, source.name), "reading stretto.position"
        )
        self._tail: Tail | None = None
        self._reading: Question[Tail] | None = None

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave all servers, and what still waits for one to itself."""
        self._source.close()
        self._follower.close()
        if self._tail is not None and (self._reading is None or not self._reading.under_way):
            self._tail.close()
        self._tail = None

    def look(self) -> Observation:
        """Look at everything at the same time.

        Blocks for as long as places answer, at most `READ_WITHIN_S` (`READ_ON_WITHIN_S` once a look has read the log), and
        `PATIENCE_S` for those that do not: these are problems, by name.
        """
        problems: list[StrettoError] = []

        def answer(wait_for: Callable[[], T]) -> T | None:
            try:
                return wait_for()
            except StrettoError as error:
                problems.append(error)
                return None

        began = time.monotonic()
        self._reading = Question(lambda _: self._read_log())
        asked = self._ask()
        tail = answer(self._reading.answer)
        if tail is not None and time.monotonic() - began > PATIENCE_S:
            asked = self._ask()  # a look shows one moment, not one before a log that is far away was read
        facts, row = answer(asked.source.answer), answer(asked.position.answer)
        capture, follower = asked.capture.answer(), asked.follower.answer()
        said = captured(capture)
        if said is not None and tail is not None:
            answer(lambda: tail.read_until(said.frontier_lsn, SAME_PLACE_S))
        return self._observe(capture, follower, facts, tail, row, problems)

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

    def _ask(self) -> _Asked:
        return _Asked(
            self._source.ask(),
            self._follower.ask(),
            ask(self._settings, "capture"),
            ask(self._settings, "follower"),
        )

    def _read_log(self) -> Tail:
        if self._tail is None:
            self._tail = Tail(self._settings)
        self._tail.read(READ_ON_WITHIN_S if self._tail.was_at_end else READ_WITHIN_S)
        return self._tail


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
            every_s=settings.follower.publish_s,
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
