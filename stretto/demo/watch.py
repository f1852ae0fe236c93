"""Looks at the whole pipeline several times a second, as `stretto status` does, and keeps what it saw."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stretto.demo.worker import Name, Worker
from stretto_consumers.lag.look import Observer
from stretto_schemas.errors import Unreachable
from stretto_schemas.follower_state import FollowerState
from stretto_schemas.lag.facts import LogFacts, Observation
from stretto_schemas.lag.measure import follower_stages
from stretto_schemas.lag.stages import NOTHING, StageLag
from stretto_schemas.lag.view import ProcessView
from stretto_schemas.settings import Settings

EVERY_S: Final = 0.25
RATE_S: Final = 3.0
"""Rates are averages over so long: pgbench tells its count once a second."""
PATIENCE_S: Final = 10.0
"""A server that does not answer a look may answer the next one."""


@dataclass(frozen=True)
class Process:
    """What one look found of a process: what it said of itself, and its pid; None when it did not run."""

    state: str
    pid: int | None

    @property
    def runs(self) -> bool:
        """Whether it is at work."""
        return self.pid is not None and self.state == "running"


@dataclass(frozen=True)
class Look:
    """One look. The log and the follower count from the pipeline's making, the load from its own beginning."""

    at: float
    """Seconds by the monotonic clock."""
    log: LogFacts
    follower: FollowerState
    lag: Mapping[str, StageLag | None]
    processes: Mapping[Name, Process]
    load_rows: int

    @property
    def total(self) -> StageLag:
        """From the leader's WAL to the follower's rows."""
        return self.lag["total"] or NOTHING

    @property
    def read_rows(self) -> int:
        """Rows that the follower process has read: those that it had not applied went with it."""
        staged = self.follower.staged_rows if self.processes["follower"].runs else 0
        return self.follower.rows + staged


class Watch:
    """A thread that looks every `EVERY_S` between `start` and `stop`. `looks` may be read from any thread."""

    def __init__(self, settings: Settings, workers: Sequence[Worker], load_rows: Callable[[], int]) -> None:
        self._workers = workers
        self._load_rows = load_rows
        self._observer = Observer(settings)
        self.looks: list[Look] = []
        self._stopping = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="demo-watch", daemon=True)

    def start(self) -> None:
        """Take the first look, then begin; before capture first runs. Raises Unreachable when a server does not answer."""
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """End the thread and its connections."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._observer.close()

    def check(self) -> None:
        """Raise what ended the watch, if an error did."""
        if self._error is not None:
            raise self._error

    @property
    def last(self) -> Look:
        """The newest look."""
        return self.looks[-1]

    def _run(self) -> None:
        try:
            while not self._stopping.wait(EVERY_S):
                self._look()
        except Exception as error:  # noqa: BLE001 - `check` raises it
            self._error = error

    def _look(self) -> None:
        pids = [worker.pid for worker in self._workers]
        seen = self._observer.look()
        if seen.problems or seen.log is None or len(seen.followers) != 1:
            self._bear(seen)
            return
        [follower] = seen.followers
        said = {"capture": seen.capture, "follower": seen.follower_process}
        self.looks.append(
            Look(
                at=seen.at,
                log=seen.log,
                follower=follower,
                lag=follower_stages(seen, follower),
                processes={
                    worker.name: _process(said[worker.name], pid if pid == worker.pid else None)
                    for worker, pid in zip(self._workers, pids, strict=True)
                },
                load_rows=self._load_rows(),
            )
        )

    def _bear(self, seen: Observation) -> None:
        """Raise when a server has not answered for `PATIENCE_S`, or never."""
        if not self.looks or seen.at - self.last.at > PATIENCE_S:
            if not seen.problems:
                raise Unreachable("the log has no frontier, or not one follower is told of", fix="run the demo again")
            problem = seen.problems[0]
            raise Unreachable(problem.found, expected=problem.expected, fix=problem.fix)


def _process(said: ProcessView | None, pid: int | None) -> Process:
    """Without a pid it has ended, or another one has begun meanwhile. One that does not listen yet is about to."""
    if pid is None or said is None:
        return Process("dead", None)
    return Process("starting" if said.state == "unreachable" else said.state, pid)


def rates(looks: Sequence[Look]) -> dict[str, float]:
    """Rows a second through each stage, over the last `RATE_S`: written, committed to Kafka, read, committed again."""
    newest = looks[-1]
    oldest = next(look for look in looks if look.at >= newest.at - RATE_S)
    seconds = newest.at - oldest.at
    if seconds <= 0:
        return dict.fromkeys(("wal", "capture", "log", "apply"), 0.0)
    return {
        "wal": (newest.load_rows - oldest.load_rows) / seconds,
        "capture": (newest.log.records - oldest.log.records) / seconds,
        "log": max(0.0, (newest.read_rows - oldest.read_rows) / seconds),
        "apply": (newest.follower.rows - oldest.follower.rows) / seconds,
    }
