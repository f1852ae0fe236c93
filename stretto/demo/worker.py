"""Capture and follower as processes of their own, as a user would run them: started, killed, started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from stretto_schemas.errors import CheckFailed

Name = Literal["capture", "follower"]

STOP_S = 15.0


class Worker:
    """`stretto run capture` or `stretto run follower`, its output in a file."""

    def __init__(self, name: Name, settings_file: Path, environment: Mapping[str, str]) -> None:
        self.name: Name = name
        self.log = settings_file.with_name(f"{name}.log")
        self._command = [sys.executable, "-m", "stretto", "--config", str(settings_file), "run", name]
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The pid while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> int:
        """Start it, and return its pid. It has a session of its own: a Ctrl-C reaches only the demo."""
        output = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.log.parent,
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            os.close(output)
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: it has no chance to finish anything. Any thread may call it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """Ask it to end; kill it when it does not."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def check(self) -> None:
        """Raise CheckFailed, with the last lines it wrote, when it has ended by itself."""
        process = self._process
        if process is None or (code := process.poll()) is None:
            return
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        raise CheckFailed(
            "\n".join([f"{self.name} ended {how}, and nobody had asked it to; its last lines:", *self._last_lines()]),
            expected="a process that runs until it is stopped",
            fix=f"run the demo again with --keep and read {self.log.name} in its folder",
        )

    def _last_lines(self) -> list[str]:
        lines = self.log.read_text(errors="replace").splitlines()
        return [f"  {line}" for line in lines[-8:]]
