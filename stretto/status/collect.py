"""One look at a pipeline: source, log, follower, processes. Whatever does not answer is named and left out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from stretto.status.processes import Process, ask
from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import read_cluster
from stretto_connectors.kafka.reader import find_frontier
from stretto_connectors.postgres.bookkeeping import read_position
from stretto_connectors.postgres.connection import connect, where
from stretto_connectors.postgres.server import refusals
from stretto_connectors.postgres.slot import Slot, read_slot
from stretto_schemas import names
from stretto_schemas.errors import StrettoError
from stretto_schemas.frontier import Frontier
from stretto_schemas.lag.stages import StageLag
from stretto_schemas.lsn import format_lsn
from stretto_schemas.position import Position
from stretto_schemas.settings import Settings

BROKER_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Source:
    """The source's own numbers."""

    wal_lsn: int
    now_us: int
    """The source's clock, microseconds since 1970."""
    slot: Slot | None


@dataclass(frozen=True, slots=True)
class Status:
    """What was found. None: it did not answer (then `problems` says why) or is not there yet."""

    source_name: str
    follower_name: str
    source: Source | None
    frontier: Frontier | None
    position: Position | None
    capture: Process
    follower: Process
    problems: tuple[StrettoError, ...]
    hints: tuple[str, ...]

    def stages(self) -> dict[str, StageLag | None]:
        """Lag of each stage; None where nobody can tell."""
        stages: dict[str, StageLag | None] = {
            "wal": self.capture.lag.get("wal"),
            "capture": self.capture.lag.get("capture"),
            "log": self.follower.lag.get("log"),
            "apply": self.follower.lag.get("apply"),
        }
        return stages | {"total": self._total()}

    def _total(self) -> StageLag | None:
        """From the source's WAL to the follower's rows, by the servers' own word."""
        source, frontier, position = self.source, self.frontier, self.position
        if source is None or frontier is None or position is None:
            return None
        captured = source.slot is not None and source.slot.active_pid is not None
        behind = position.end_lsn < frontier.end_lsn or (not captured and source.wal_lsn > frontier.end_lsn)
        seen_us = position.commit_ts_us if captured else max(position.commit_ts_us, position.heartbeat_us)
        seconds = max(0.0, (source.now_us - seen_us) / 1e6) if behind else 0.0
        records = sum(lag.records for lag in self.follower.lag.values()) if self.follower.lag else 0
        total = self.follower.lag.get("total")
        return StageLag(max(0, source.wal_lsn - position.end_lsn), total.records if total else records, seconds)

    def as_json(self) -> dict[str, object]:
        """For `status -f json`: LSNs in PostgreSQL's notation, times in microseconds since 1970."""
        source, frontier, position = self.source, self.frontier, self.position
        slot = source.slot if source else None
        return {
            "source": source
            and {
                "name": self.source_name,
                "wal_lsn": format_lsn(source.wal_lsn),
                "slot": slot
                and {
                    "name": slot.name,
                    "active": slot.active_pid is not None,
                    "confirmed_flush_lsn": format_lsn(slot.confirmed_flush_lsn),
                    "retained_wal_bytes": slot.retained_bytes,
                    "wal_status": slot.wal_status,
                },
            },
            "log": frontier
            and {
                "end_lsn": format_lsn(frontier.end_lsn),
                "sequence": frontier.sequence,
                "epoch": frontier.epoch,
                "commit_ts_us": frontier.commit_ts_us,
            },
            "follower": position
            and {
                "name": self.follower_name,
                "end_lsn": format_lsn(position.end_lsn),
                "commit_ts_us": position.commit_ts_us,
                "term": position.term,
                "transactions": position.transactions,
                "rows": position.rows,
            },
            "processes": {"capture": self.capture.as_json(), "follower": self.follower.as_json()},
            "lag": {stage: lag and lag.as_json() for stage, lag in self.stages().items()},
            "problems": [str(problem) for problem in self.problems],
            "hints": list(self.hints),
        }


def collect(settings: Settings) -> Status:
    """Take one look, at everything at the same time. Raises SettingsError only for settings that name no server at all."""
    with ThreadPoolExecutor(max_workers=5) as pool:
        capture = pool.submit(ask, settings, "capture")
        follower = pool.submit(ask, settings, "follower")
        asked = (pool.submit(_source, settings), pool.submit(_frontier, settings), pool.submit(_position, settings))
        problems, answers = [], []
        for future in asked:
            try:
                answers.append(future.result())
            except StrettoError as error:
                problems.append(error)
                answers.append(None)
    source, frontier, position = answers
    return Status(
        source_name=settings.source.name,
        follower_name=settings.follower.name,
        source=source if isinstance(source, Source) else None,
        frontier=frontier if isinstance(frontier, Frontier) else None,
        position=position if isinstance(position, Position) else None,
        capture=capture.result(),
        follower=follower.result(),
        problems=tuple(problems),
        hints=tuple(_hints(problems, source, frontier, position)),
    )


def _hints(problems: list[StrettoError], *found: object) -> list[str]:
    """What is not there although everything answers: the next command to run."""
    if problems:
        return []
    source, frontier, position = found
    if isinstance(source, Source) and source.slot is None and frontier is None:
        return ["the source is not captured yet: `stretto init`"]
    if position is None:
        return ["the follower holds no copy yet: `stretto follower add`"]
    return []


def _source(settings: Settings) -> Source:
    source = settings.source
    with (
        connect(source.dsn, source.password, application="stretto-status") as conn,
        refusals(where(source.dsn), "reading the slot"),
    ):
        row = conn.execute(
            "select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - '0/0'::pg_lsn,"
            " (extract(epoch from clock_timestamp()) * 1000000)::bigint"
        ).fetchone()
        assert row is not None, "a select without from has one row"
        return Source(wal_lsn=int(row[0]), now_us=row[1], slot=read_slot(conn, source.slot_name))


def _frontier(settings: Settings) -> Frontier | None:
    client = admin(settings.kafka, "stretto-status")
    read_cluster(client, settings.kafka, BROKER_TIMEOUT_S)
    topic = names.transactions_topic(settings.prefix, settings.source.name)
    if topic not in client.list_topics(timeout=BROKER_TIMEOUT_S).topics:
        return None
    found = find_frontier(settings.kafka, topic)
    return found[0] if found else None


def _position(settings: Settings) -> Position | None:
    follower = settings.follower
    with (
        connect(follower.dsn, follower.password, application="stretto-status") as conn,
        refusals(where(follower.dsn), "reading stretto.position"),
    ):
        return read_position(conn, settings.source.name)
