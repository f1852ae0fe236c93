"""Server processes: started apart from the terminal, recognised later by pid and start time, ended within a deadline."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from stretto.embedded import places
from stretto.embedded.accounts import Account
from stretto.embedded.errors import DiskFull, StartFailed

_POLL_S = 0.02
_TELLING = ("FATAL", "PANIC", "ERROR", "error", "xception")
_SAME_START_S = 2.0
"""Start times are told as wall-clock time since boot, which a clock adjustment moves a little."""


@dataclass(frozen=True)
class ProcessId:
    """A process, not mistaken for a later one that got the same pid."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The process that has this pid now, if any."""
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return cls(pid, process.create_time())
        except psutil.Error:
            return None

    @classmethod
    def read(cls, path: Path) -> ProcessId | None:
        """What `write` wrote; None when there is nothing that can be read."""
        try:
            content = json.loads(path.read_text())
            return cls(int(content["pid"]), float(content["started"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Leave pid and start time in a file, whole or not at all."""
        new = path.with_name(path.name + ".new")
        new.write_text(json.dumps({"pid": self.pid, "started": self.started}))
        new.replace(path)

    def alive(self) -> bool:
        """Whether this very process still runs."""
        now = ProcessId.of(self.pid)
        return now is not None and abs(now.started - self.started) < _SAME_START_S

    def memory_bytes(self, *, with_children: bool = True) -> int:
        """Memory of the process and its children; shared pages are counted once where the system tells."""
        total = 0
        try:
            process = psutil.Process(self.pid)
            for one in (process, *(process.children(recursive=True) if with_children else ())):
                try:
                    total += getattr(one.memory_full_info(), "pss", 0) or one.memory_info().rss
                except psutil.Error:
                    total += 0
        except psutil.Error:
            pass
        return total

    def end(self, number: signal.Signals, deadline_s: float) -> bool:
        """Ask the process to end with a signal; past the deadline kill it and its children. False: it was killed."""
        if not self.alive():
            return True
        os.kill(self.pid, number)
        if wait_until(lambda: not self.alive(), deadline_s):
            return True
        self.kill_tree()
        return False

    def kill_tree(self) -> None:
        """End the process and all its children at once, as a power cut would."""
        if not self.alive():
            return
        try:
            process = psutil.Process(self.pid)
            process.suspend()  # else it might fork between the listing and the signal
            victims = [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for victim in victims:
            try:
                victim.kill()
            except psutil.NoSuchProcess:
                continue
        wait_until(
            lambda: not any(v.is_running() and v.status() != psutil.STATUS_ZOMBIE for v in _there(victims)), 10.0
        )


def _there(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if psutil.pid_exists(p.pid)]


def wait_until(condition: Callable[[], bool], deadline_s: float) -> bool:
    """Wait for a condition; False when it did not hold within the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


class Child:
    """One server process, its output in a log file and its id in a file beside it.

    It has a session of its own, so a Ctrl-C in the terminal reaches only whoever started it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        id_file: Path,
        env: Mapping[str, str],
        account: Account | None,
    ) -> None:
        self.name = name
        self.log = log
        self._id_file = id_file
        self._log_start = log.stat().st_size if log.exists() else 0
        output = open_log(log)
        try:
            self._popen = subprocess.Popen(
                command,
                cwd=log.parent,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                umask=0o077,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        finally:
            os.close(output)
        self.id = ProcessId.of(self._popen.pid) or ProcessId(self._popen.pid, time.time())
        self.id.write(id_file)

    @property
    def running(self) -> bool:
        """Whether it has not ended. Reaps it when it has."""
        return self._popen.poll() is None

    def wait_ready(self, ready: Callable[[], bool], deadline_s: float) -> None:
        """Wait until `ready`. Raises StartFailed or DiskFull, with the log's end, when it ends first or is too slow."""
        wait_until(lambda: not self.running or ready(), deadline_s)
        if not self.running:
            code = self._popen.returncode
            self._id_file.unlink(missing_ok=True)
            raise failed(self.name, f"ended with {_describe(code)}", self.log, self.said())
        if not ready():
            self.kill()
            raise failed(self.name, f"did not answer within {deadline_s:.0f} s", self.log, self.said())

    def said(self) -> str:
        """What this process has written to its log so far."""
        with self.log.open(errors="replace") as log:
            log.seek(self._log_start)
            return log.read()

    def stop(self, number: signal.Signals, deadline_s: float) -> bool:
        """Ask it to end; kill it past the deadline. True when it ended by itself."""
        if self.running:
            self._popen.send_signal(number)
        try:
            self._popen.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        self._id_file.unlink(missing_ok=True)
        return True

    def kill(self) -> None:
        """End it and its children at once."""
        if self.running:
            self.id.kill_tree()
        self._popen.wait()
        self._id_file.unlink(missing_ok=True)


def open_log(path: Path) -> int:
    """Open a log for appending; never through a link that somebody put there."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)


def failed(name: str, what: str, log: Path, said: str) -> StartFailed:
    """The error for a server that did not start, by what it said."""
    if "No space left on device" in said or "Disk quota exceeded" in said:
        error: DiskFull = places.disk_full(log.parent, f"{name} {what}: the disk is full: {log.parent}")
        return error
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("\tat ")]
    telling = [number for number, line in enumerate(lines) if any(word in line for word in _TELLING)]
    # PostgreSQL gives the cause in the line before FATAL; Java the exception, then much that helps nobody.
    tail = lines[max(telling[-1] - 1, 0) : telling[-1] + 1] if telling else lines[-3:]
    return StartFailed(f"{name} {what}" + "".join(f"\n  {line.strip()}" for line in tail), fix=f"see its log: {log}")


def _describe(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
