"""The real pgbench as a process that is started, watched and stopped."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stretto.demo.tables import connection_environment, pgbench_program
from stretto_schemas.errors import CheckFailed, UsageError

_PROGRESS: Final = re.compile(r"^progress: ([\d.]+) s, ([\d.]+) tps")
_PROCESSED: Final = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)
_FAILED: Final = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)
_TPS: Final = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
_LATENCY: Final = re.compile(r"^latency average = ([\d.]+) ms", re.MULTILINE)


@dataclass(frozen=True)
class PgbenchResult:
    """What pgbench reports. `complete` is False when it was stopped before its time: then `transactions` is the sum
    of its progress lines, right to about a second's work, and the latency is not known."""

    transactions: int
    failed: int
    tps: float
    latency_ms: float | None
    complete: bool


class Pgbench:
    """pgbench's TPC-B-like script on tables made by `stretto.demo.tables.create_pgbench_tables`.

    Four rows change in each transaction. `rate_tps` limits the transactions a second over all clients; None means as
    fast as it goes. `pgbench_history` is not emptied before the run.
    """

    def __init__(
        self,
        bin_dir: Path,
        dsn: str,
        *,
        seconds: int,
        clients: int = 2,
        rate_tps: float | None = None,
        seed: int | None = None,
    ) -> None:
        if seconds < 1 or clients < 1 or (rate_tps is not None and rate_tps <= 0):
            raise UsageError("pgbench cannot run so", expected="seconds and clients of 1 or more, a rate above 0")
        self._command = [str(pgbench_program(bin_dir)), "-n", "-P", "1", "-T", str(seconds), "-c", str(clients)]
        if rate_tps is not None:
            self._command += ["-R", f"{rate_tps:g}"]
        if seed is not None:
            self._command += ["--random-seed", str(seed)]
        self._environment = connection_environment(dsn)
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []
        self._report = ""
        self._complaints: list[str] = []
        self._transactions = 0.0
        self._elapsed_s = 0.0
        self._stopped = False

    @property
    def transactions(self) -> int:
        """How many are done, as of pgbench's last progress line, once a second."""
        return round(self._transactions)

    @property
    def pid(self) -> int | None:
        """The process, also after its end; None before `start`."""
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        """True between `start` and the end of the process."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process; it ends by itself after its seconds."""
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._readers = [
            threading.Thread(target=read, daemon=True) for read in (self._read_report, self._read_progress)
        ]
        for reader in self._readers:
            reader.start()

    def wait(self, timeout_s: float) -> PgbenchResult:
        """Wait for the end and read the result. Raises CheckFailed when pgbench failed or takes longer."""
        process = self._started()
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise CheckFailed(f"pgbench did not end within {timeout_s:g} s") from None
        for reader in self._readers:
            reader.join(timeout_s)
        processed = _PROCESSED.search(self._report)
        if code != 0 and not self._stopped:
            last = self._complaints[-1] if self._complaints else "it said nothing"
            raise CheckFailed(f"pgbench ended with code {code}: {last}", expected="code 0 and a report")
        if processed is None:
            tps = self._transactions / self._elapsed_s if self._elapsed_s else 0.0
            return PgbenchResult(self.transactions, 0, tps, None, complete=False)
        failed, tps_line, latency = (found.search(self._report) for found in (_FAILED, _TPS, _LATENCY))
        return PgbenchResult(
            transactions=int(processed[1]),
            failed=int(failed[1]) if failed else 0,
            tps=float(tps_line[1]) if tps_line else 0.0,
            latency_ms=float(latency[1]) if latency else None,
            complete=True,
        )

    def stop(self, timeout_s: float = 10.0) -> PgbenchResult:
        """End it now, if it still runs, and say what it has done. PostgreSQL rolls back what was under way."""
        process = self._started()
        if process.poll() is None:
            self._stopped = True
            process.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise UsageError("pgbench was not started", expected="start() before wait() or stop()")
        return self._process

    def _read_report(self) -> None:
        stdout = self._started().stdout
        if stdout is not None:
            with stdout:
                self._report = stdout.read()

    def _read_progress(self) -> None:
        """Keep the progress; what is neither progress nor a banner is kept for an error message."""
        stderr = self._started().stderr
        if stderr is None:
            return
        with stderr:
            for line in stderr:
                found = _PROGRESS.match(line)
                if found is None:
                    self._complaints.append(line.strip())
                    continue
                now_s, tps = float(found[1]), float(found[2])
                self._transactions += tps * (now_s - self._elapsed_s)
                self._elapsed_s = now_s
