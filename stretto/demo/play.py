"""The demo itself: prepare, load, kill, start again, wait, compare.

The acts, in this order (their numbers stand in the code):

1. Leader, follower and broker start; the leader gets rows; `init` and `follower add` make the pipeline and copy them.
2. Capture and follower start as processes; pgbench and the writer begin.
3. After a third of the time capture is killed and started again, until a kill was seen to have hit a Kafka transaction.
4. After two thirds the follower process is killed and started again, until a kill was seen to have hit a transaction.
5. The load ends; the follower catches up; every table is compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
from rich.console import Console

from stretto.demo import prepare, traces
from stretto.demo.compare import compare, differences
from stretto.demo.load import Writer
from stretto.demo.pgbench import Pgbench
from stretto.demo.reporter import Reporter, reporter
from stretto.demo.scene import Kind, LoadCounts, Scene
from stretto.demo.stage import Stage
from stretto.demo.summary import Lags, Summary
from stretto.demo.watch import EVERY_S, Process, Watch
from stretto.demo.worker import Worker
from stretto_schemas.errors import CheckFailed

T = TypeVar("T")

PGBENCH_TPS: Final = 300.0
PGBENCH_CLIENTS: Final = 2
TRIES: Final = 6
"""A kill that hit an idle moment is repeated, at most so often in all."""
DOWN_S: Final = 3.0
"""A killed process stays away so long: the screen shows where its work waits."""
CALM_S: Final = 10.0
NEAR_S: Final = 0.5
BACK_S: Final = 60.0
CATCH_UP_S: Final = 300.0
DIFFERENCES: Final = 5


@dataclass(frozen=True)
class Options:
    """`seconds` of load, of which the writer changes `rate` rows each."""

    seconds: int
    rate: float
    keep: bool
    data: Path | None


def play(options: Options, console: Console) -> Summary:
    """Play the whole demo. Raises CheckFailed when a process ended by itself or the follower does not catch up, and
    what servers' starts raise. Main thread only."""

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    say("Starting two PostgreSQL servers and a Kafka broker")
    with Stage(options.data, keep=options.keep, report=lambda line: say(f"  {line}")) as stage:  # act 1
        with console.status("starting", spinner="line"):
            stage.start()
        say("Filling the leader")
        first_rows = prepare.fill_leader(stage, console)
        say(f"  {first_rows:,} rows are there before anything is captured")
        say("stretto init")
        with console.status("asking the servers", spinner="line"):
            prepare.make_pipeline(stage, lambda line: say(f"  {line}"))
        say("stretto follower add")
        prepare.copy_rows(stage)
        say("stretto run capture, stretto run follower, pgbench and a writer")
        with reporter(console) as screen:
            director = _Director(stage, options, screen)
            try:
                director.start()  # act 2
                director.kill_capture()  # act 3
                director.kill_follower()  # act 4
                load_s, caught_up_s = director.finish()  # act 5
            finally:
                director.close()
        if options.keep:
            say(f"kept: {stage.folder.path} (its servers start again by `stretto up --data {stage.folder.path}`)")
        say("Comparing leader and follower, table by table")
        began = time.monotonic()
        compared = compare(stage.stack.leader.dsn, stage.stack.follower.dsn)
        took = time.monotonic() - began
        found = [
            (each, differences(stage.stack.leader.dsn, stage.stack.follower.dsn, each.name, DIFFERENCES))
            for each in compared.differing
            if each.leader is not None and each.follower is not None
        ]
        return Summary(
            load_s=load_s,
            counts=director.scene.counts,
            first_rows=first_rows,
            last=director.watch.last,
            lags=Lags.of(director.loaded),
            killed=[event for event in director.scene.events if event.kind != "back"],
            caught_up_s=caught_up_s,
            comparison=compared,
            compare_s=took,
            differences=found,
        )


class _Director:
    """Lets time pass, does what is due, and shows the scene meanwhile."""

    def __init__(self, stage: Stage, options: Options, screen: Reporter) -> None:
        self._stage = stage
        self._seconds = options.seconds
        self._screen = screen
        self._pool = ThreadPoolExecutor(1)
        leader = stage.stack.leader
        # It is stopped, not awaited: repeated kills may take longer than planned.
        self._pgbench = Pgbench(
            leader.bin_dir, leader.dsn, seconds=24 * 3600, clients=PGBENCH_CLIENTS, rate_tps=PGBENCH_TPS
        )
        self._writer = Writer(leader.dsn, seed=1, rows_per_s=options.rate)
        self.watch = Watch(stage.settings, self._workers, lambda: self._counts().rows)
        self.scene = Scene(
            options.seconds,
            {"leader": leader.port, "kafka": stage.stack.kafka.port, "follower": stage.stack.follower.port},
        )
        self._first_look = -1
        self.loaded = self.watch.looks

    def start(self) -> None:
        """Act 2."""
        self.watch.start()
        for worker in self._workers:
            worker.start()
        self.scene.act = "capture and follower start"
        self._until(self._near, BACK_S, "both run, and next to nothing waits")
        self._stage.pgbench, self._stage.writer = self._pgbench, self._writer
        self._pgbench.start()
        self._writer.start()
        self.scene.began = time.monotonic()
        self._first_look = len(self.watch.looks) - 1
        self.scene.act = "pgbench and the writer change rows; the follower is never far behind"

    def kill_capture(self) -> None:
        """Act 3."""
        self._pass(self._seconds / 3 - self.scene.elapsed_s)
        for attempt in range(1, TRIES + 1):
            found = self._kill_capture_once()
            if found.hit:
                self._event("seen", f"seen in Kafka: {_told(found)}")
                return
            if attempt < TRIES:
                self._event("note", "no Kafka transaction was open just then: once more")
                self._pass(0.5 + 0.37 * attempt)
        self._event("seen", f"not seen in Kafka: no transaction was open at any of {TRIES} kills")

    def _kill_capture_once(self) -> traces.LogTraces:
        settings, capture = self._stage.settings, self._stage.capture

        def strike() -> int:
            before = traces.newest_sequence(settings)
            with traces.open_transaction(settings):
                capture.kill()
            return before

        before = self._kill(capture, strike, "the leader's WAL keeps what Kafka does not have yet")
        found = self._meanwhile(lambda: self._log_traces(before))
        self._back(capture)
        return found

    def kill_follower(self) -> None:
        """Act 4."""
        self._pass(self._seconds * 2 / 3 - self.scene.elapsed_s)
        self._calm()
        with self._stage.connect_follower() as conn:
            for attempt in range(1, TRIES + 1):
                if self._kill_follower_once(conn) == "aborted":
                    self._event("seen", "seen on the follower: PostgreSQL rolled back its open transaction")
                    return
                if attempt < TRIES:
                    self._event("note", "no transaction was open on the follower just then: once more")
                    self._pass(0.5)
        self._event("seen", f"not seen on the follower: no transaction was open at any of {TRIES} kills")

    def _kill_follower_once(self, conn: psycopg.Connection[Any]) -> str:
        term, follower = self.watch.last.follower.term, self._stage.follower

        def strike() -> tuple[int, str] | None:
            applying = traces.find_apply(conn)
            follower.kill()
            return applying

        applying = self._kill(follower, strike, "Kafka keeps what the follower has not applied")
        fate = self._meanwhile(lambda: _fate(conn, applying))
        self._until(lambda: self.watch.last.follower.term > term, BACK_S, "a new term")
        self._back(follower)
        return fate

    def finish(self) -> tuple[float, float]:
        """Act 5, up to the comparison: how long the load ran, and how long the follower took to catch up."""
        self._pass(self._seconds - self.scene.elapsed_s)
        self.scene.act = "the load ends"
        load_s = self.scene.elapsed_s
        self._stage.pgbench, self._stage.writer = None, None
        self._meanwhile(self._writer.stop)
        self._meanwhile(self._pgbench.stop)
        self.loaded = self.watch.looks[self._first_look :]
        ended = time.monotonic()
        with self._stage.connect_leader() as conn:
            end_lsn = _mark(conn)
            history = conn.execute("select count(*) from pgbench_history").fetchone()
        self.scene.counts = LoadCounts(history[0] if history else 0, self._writer.progress)
        self.scene.act = "waiting until the follower has all of it"
        self._until(lambda: self._through(end_lsn), CATCH_UP_S, f"everything up to {end_lsn}")
        self.scene.act = "lag 0: the follower has all of it"
        self._screen.draw(self.scene)
        return load_s, time.monotonic() - ended

    def close(self) -> None:
        """End the watch. The stage ends the rest."""
        self.watch.stop()
        self._pool.shutdown()

    def _near(self) -> bool:
        """Both processes run, and the follower is no more than `NEAR_S` behind."""
        last = self.watch.last
        return all(each.runs for each in last.processes.values()) and last.total.seconds <= NEAR_S

    def _through(self, lsn: int) -> bool:
        """The newest look found both the log and the follower that far."""
        last = self.watch.last
        return min(last.log.end_lsn, last.follower.end_lsn) >= lsn

    @property
    def _workers(self) -> tuple[Worker, Worker]:
        return self._stage.capture, self._stage.follower

    def _kill(self, worker: Worker, strike: Callable[[], T], act: str) -> T:
        """Kill it by `strike`, leave it dead for a while, start it again. Returns what `strike` saw."""
        pid = worker.pid
        seen = self._meanwhile(strike)
        self._event("killed", f"SIGKILL to {worker.name} (pid {pid}) in the middle of the load")
        self.scene.act = f"{worker.name} is dead: {act}"
        self._pass(min(DOWN_S, self._seconds / 20))
        worker.start()
        self.scene.act = f"{worker.name} starts again, and finds by itself where to go on"
        return seen

    def _back(self, worker: Worker) -> None:
        now = Process("running", worker.pid)
        self._until(lambda: self.watch.last.processes[worker.name] == now, BACK_S, f"{worker.name} runs again")
        killed = next(event.at_s for event in reversed(self.scene.events) if event.kind == "killed")
        self._event("back", f"{worker.name} is back (pid {worker.pid}) after {self.scene.elapsed_s - killed:.1f} s")
        self.scene.act = "pgbench and the writer go on, and the follower catches up"

    def _log_traces(self, after: int) -> traces.LogTraces:
        deadline = time.monotonic() + BACK_S
        while (found := traces.read_log_traces(self._stage.settings, after)) is None:
            self._stage.capture.check()
            if time.monotonic() > deadline:
                raise CheckFailed(f"capture wrote no frontier within {BACK_S:.0f} s after its start")
            time.sleep(0.2)
        return found

    def _event(self, kind: Kind, text: str) -> None:
        self._screen.event(self.scene.happened(kind, text))

    def _counts(self) -> LoadCounts:
        return LoadCounts(self._pgbench.transactions, self._writer.progress)

    def _tick(self) -> None:
        """One frame: see that everything lives, show it."""
        time.sleep(EVERY_S)
        self._stage.check()
        self.watch.check()
        if self._stage.pgbench is not None and not self._pgbench.running:
            self._pgbench.wait(1.0)
        if self._stage.writer is not None:
            self.scene.counts = self._counts()
        self.scene.looks = self.watch.looks[self._first_look :]
        self._screen.draw(self.scene)

    def _calm(self) -> None:
        """Let the follower come near again before it is killed, so that each kill shows its own lag. Bounded."""
        end = time.monotonic() + CALM_S
        while not self._near() and time.monotonic() < end:
            self._tick()

    def _pass(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._tick()

    def _until(self, condition: Callable[[], bool], deadline_s: float, expected: str) -> None:
        end = time.monotonic() + deadline_s
        while not condition():
            if time.monotonic() > end:
                last = self.watch.last
                states = ", ".join(f"{name} {process.state}" for name, process in last.processes.items())
                raise CheckFailed(
                    f"not within {deadline_s:.0f} s: {states}, {last.total.seconds:.1f} s behind",
                    expected=expected,
                    fix="run the demo again with --keep and read capture.log and follower.log in its folder",
                )
            self._tick()

    def _meanwhile(self, work: Callable[[], T]) -> T:
        """Do it in another thread, and go on showing the scene."""
        job: Future[T] = self._pool.submit(work)
        while not job.done():
            self._tick()
        return job.result()


def _mark(conn: psycopg.Connection[Any]) -> int:
    """Write something that is published, and say where the WAL stood before it: nothing of the load lies behind."""
    row: Any = conn.execute("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    conn.execute("select pg_logical_emit_message(true, 'demo', 'the load has ended')")
    return int(row[0])


def _fate(conn: psycopg.Connection[Any], applying: tuple[int, str] | None) -> str:
    return traces.fate(conn, *applying) if applying is not None else "unknown"


def _told(found: traces.LogTraces) -> str:
    parts = []
    if found.aborted:
        parts.append(f"an open transaction, {_many(found.aborted, 'record')}, was aborted")
    if found.void:
        parts.append(f"{_many(found.void, 'row')} that no frontier counts, void")
    return "; ".join(parts)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
