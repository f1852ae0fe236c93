"""Leader, follower and broker together: what `stretto up`, `down` and `ps` work on.

One supervisor process holds the data folder's lock, starts the three servers and stops them when it is told to. When
it is killed, the servers go on without it: the next `up` or `down` recognises them by pid and start time, and ends
them first.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Literal

from stretto.embedded import ports, processes
from stretto.embedded.errors import StartFailed
from stretto.embedded.folder import StackFolder, State
from stretto.embedded.kafka import LOCAL, EmbeddedKafka
from stretto.embedded.postgres import EmbeddedPostgres
from stretto.embedded.processes import ProcessId

PARTS = ("leader", "follower", "kafka")
DOWN_S = 60.0
_CLEAR_S = 15.0
_WATCH_S = 1.0

Report = Callable[[str], None]


@dataclass(frozen=True)
class StackOptions:
    """How a stack is to be run. Ports that are not named are chosen once and remembered in the data folder."""

    data: Path
    ports: Mapping[str, int] = field(default_factory=dict)
    postgres_bin: Path | None = None
    heap_mb: int = 1024


@dataclass(frozen=True)
class PartStatus:
    """One line of `stretto ps`. `state` is `orphaned` when the server runs but its supervisor was killed."""

    name: str
    state: Literal["up", "down", "orphaned"]
    pid: int | None
    port: int | None
    address: str
    uptime_s: float
    memory_bytes: int
    log: str


class Stack:
    """The three servers on one data folder, in this process. Whoever starts them holds the folder's lock."""

    def __init__(self, options: StackOptions, report: Report = lambda _: None) -> None:
        self._folder = StackFolder(options.data)
        self._report = report
        self._ports = self._choose_ports(options)
        root = self._folder.path
        self.leader, self.follower = (
            EmbeddedPostgres(root / name, port=self._ports[name], bin_dir=options.postgres_bin, name=name)
            for name in ("leader", "follower")
        )
        self.kafka = EmbeddedKafka(
            root / "kafka", port=self._ports["kafka"], heap_mb=options.heap_mb, settings=LOCAL, report=report
        )

    @property
    def _servers(self) -> tuple[EmbeddedPostgres | EmbeddedKafka, ...]:
        return self.leader, self.follower, self.kafka

    def start(self) -> None:
        """Start all three at the same time and return once all answer; when one fails, stop the others and raise."""
        clear_leftovers(self._folder, self._report)
        for name, port in self._ports.items():
            ports.require_free(port, name)
        self._folder.write(State(ports=self._ports, supervisor=ProcessId.of(os.getpid()), since=time.time()))
        with ThreadPoolExecutor(len(self._servers)) as pool:
            starting = [pool.submit(server.start) for server in self._servers]
        problems = [problem for job in starting if (problem := job.exception())]
        if problems:
            self.stop()
            raise problems[0]
        parts = {s.name: identity for s in self._servers if s.pid and (identity := ProcessId.of(s.pid))}
        self._folder.write(
            State(ports=self._ports, supervisor=ProcessId.of(os.getpid()), since=time.time(), parts=parts)
        )

    def stop(self) -> None:
        """Stop all three cleanly, the broker last."""
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda server: server.stop(), (self.leader, self.follower)))
        self.kafka.stop()
        self._folder.write(State(ports=self._ports))

    def ended(self) -> list[str]:
        """The names of servers that have been started and do not run any more."""
        return [server.name for server in self._servers if server.pid is None]

    def _choose_ports(self, options: StackOptions) -> dict[str, int]:
        chosen = {**self._folder.read().ports, **options.ports}
        for name in PARTS:
            if name not in chosen:
                chosen[name] = ports.choose(but=tuple(chosen.values()))
        return {name: chosen[name] for name in PARTS}


def run(options: StackOptions, ready: Callable[[], None], report: Report) -> None:
    """Be the supervisor: hold the folder, run the stack until SIGTERM or SIGINT, stop it cleanly. Main thread only.

    Raises ForeignFolder, AlreadyRunning and what the servers' starts raise; then nothing is left running.
    """
    told = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        told.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        folder = StackFolder(options.data)
        folder.claim()
        with folder.locked():
            stack = Stack(options, report)
            stack.start()
            try:
                if not told.is_set():
                    ready()
                _watch(stack, told, report)
            finally:
                report("stopping")
                stack.stop()
                report("stopped")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(stack: Stack, told: threading.Event, report: Report) -> None:
    known: list[str] = []
    while not told.wait(_WATCH_S):
        ended = stack.ended()
        for name in ended:
            if name not in known:
                report(f"{name} has ended unasked; see its log; `stretto down` and `stretto up` start it again")
        known = ended


def down(data: Path, *, volumes: bool, report: Report) -> bool:
    """Stop the stack on `data`, also what a killed one left; with `volumes` delete the data. False: nothing ran.

    Raises ForeignFolder when the folder is not a stack's, StartFailed when the supervisor does not end in time.
    """
    folder = StackFolder(data)
    folder.require_ours()
    ran = False
    supervisor = folder.read().supervisor
    if folder.held and supervisor is not None:
        ran = True
        supervisor.end(signal.SIGTERM, DOWN_S)
    if not processes.wait_until(lambda: not folder.held, DOWN_S):
        raise StartFailed(f"the stack on {folder.path} is being started or stopped", fix="try again in a minute")
    ran = bool(clear_leftovers(folder, report)) or ran
    if volumes:
        folder.delete()
    return ran


def clear_leftovers(folder: StackFolder, report: Report) -> list[str]:
    """End the servers that a killed supervisor left running; give their names."""
    cleared: list[str] = []
    for name in PARTS:
        left = ProcessId.read(folder.path / name / "process.json")
        if left is None or not left.alive():
            continue
        report(f"ending {name} (pid {left.pid}), which a killed run left behind")
        left.end(signal.SIGTERM if name == "kafka" else signal.SIGINT, _CLEAR_S)
        cleared.append(name)
    return cleared


def ps(data: Path) -> list[PartStatus]:
    """What runs on `data`, the supervisor first. Raises ForeignFolder when the folder is not a stack's."""
    folder = StackFolder(data)
    folder.require_ours()
    state = folder.read()
    supervised = state.supervisor is not None and state.supervisor.alive() and folder.held
    rows = [_row("supervisor", state.supervisor if supervised else None, None, "", folder.log, supervised=True)]
    for name in PARTS:
        port = state.ports.get(name)
        log = folder.path / name / ("kafka.log" if name == "kafka" else "postgres.log")
        identity = ProcessId.read(folder.path / name / "process.json")
        rows.append(_row(name, identity, port, address(name, port) if port else "", log, supervised=supervised))
    return rows


def address(name: str, port: int) -> str:
    """What a client of this part connects with: a bootstrap server, or libpq's connection string."""
    if name == "kafka":
        return f"{ports.HOST}:{port}"
    return f"host={ports.HOST} port={port} user=postgres dbname=postgres"


def _row(
    name: str, identity: ProcessId | None, port: int | None, where: str, log: Path, *, supervised: bool
) -> PartStatus:
    if identity is None or not identity.alive():
        return PartStatus(name, "down", None, port, where, 0.0, 0, str(log))
    memory = identity.memory_bytes(with_children=name != "supervisor")
    state: Literal["up", "orphaned"] = "up" if supervised else "orphaned"
    return PartStatus(name, state, identity.pid, port, where, time.time() - identity.started, memory, str(log))
