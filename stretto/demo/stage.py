"""Where the demo plays: leader, follower, broker, capture and follower process, on a folder that goes at the end."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self

import psycopg

from stretto.demo.load import Writer
from stretto.demo.pgbench import Pgbench
from stretto.demo.worker import Worker
from stretto.embedded import ports
from stretto.embedded.folder import StackFolder
from stretto.embedded.settings_file import write_settings
from stretto.embedded.stack import Stack, StackOptions
from stretto_schemas.errors import StrettoError
from stretto_schemas.settings import Settings, load

HEAP_MB: Final = 512
_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


class Stage:
    """Use as a context manager, in the main thread. However it is left, by an error, SIGINT, SIGTERM or SIGHUP too,
    nothing runs afterwards, and without `keep` the folder is gone."""

    def __init__(self, data: Path | None, *, keep: bool, report: Callable[[str], None]) -> None:
        self._chosen = data
        self._keep = keep
        self._report = report
        self._exit = ExitStack()
        self._signals: dict[signal.Signals, Any] = {}
        self.capture: Worker
        self.follower: Worker
        self.writer: Writer | None = None
        self.pgbench: Pgbench | None = None

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._signals[number] = signal.signal(number, _interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # From here on another Ctrl-C would only leave servers behind.
        self._signals[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        try:
            self._end_load()
            self._exit.close()
        finally:
            for number, handler in self._signals.items():
                signal.signal(number, handler)

    def connect_leader(self) -> psycopg.Connection[Any]:
        """A session on the leader."""
        return psycopg.connect(self.stack.leader.dsn, autocommit=True, application_name="stretto demo")

    def connect_follower(self) -> psycopg.Connection[Any]:
        """A session on the follower."""
        return psycopg.connect(self.stack.follower.dsn, autocommit=True, application_name="stretto demo")

    def check(self) -> None:
        """Raise CheckFailed when a process or the writer has ended by itself."""
        for worker in (self.capture, self.follower):
            worker.check()
        if self.writer is not None and not self.writer.running:
            self.writer.stop()

    def start(self) -> None:
        """Start leader, follower and broker; return once they answer."""
        path = self._chosen.expanduser() if self._chosen else Path(tempfile.mkdtemp(prefix="stretto-demo-"))
        self.folder = StackFolder(path)
        require_new(self.folder)
        self.folder.claim()
        path.chmod(0o755)  # the user that PostgreSQL runs as instead of root has to get in
        if not self._keep:
            self._exit.callback(self.folder.delete)
        self._exit.enter_context(self.folder.locked())
        self.stack = Stack(StackOptions(self.folder.path, heap_mb=HEAP_MB), self._report)
        self._exit.callback(self.stack.stop)
        self.stack.start()
        addresses = {
            "leader": self.stack.leader.dsn,
            "follower": self.stack.follower.dsn,
            "kafka": self.stack.kafka.bootstrap,
        }
        capture_port = ports.choose()
        http = {"capture_port": capture_port, "follower_port": ports.choose(but=(capture_port,))}
        self.settings_file = write_settings(self.folder.path, addresses, http)
        self.settings: Settings = load(self.settings_file, {})
        environment = _environment()
        self.capture = Worker("capture", self.settings_file, environment)
        self._exit.callback(self.capture.stop)
        self.follower = Worker("follower", self.settings_file, environment)
        self._exit.callback(self.follower.stop)

    def _end_load(self) -> None:
        """Whatever the load says now, it is not asked any more."""
        for load_part in (self.writer, self.pgbench):
            if load_part is not None:
                try:
                    load_part.stop()
                except (psycopg.Error, StrettoError) as error:
                    self._report(f"the load ended with an error: {error}")


def require_new(folder: StackFolder) -> None:
    """Raise ForeignFolder when the folder holds anything, also a stack: the demo makes its own databases."""
    if folder.path.is_dir() and not any(folder.path.iterdir()):
        return
    if folder.path.exists():
        from stretto.embedded.errors import ForeignFolder

        raise ForeignFolder(
            f"{folder.path} is not empty",
            expected="a new or empty folder: the demo makes its own databases, and removes them without --keep",
            fix="name another folder, or leave --data away",
        )


def _environment() -> Mapping[str, str]:
    """The processes' environment: no settings but the file's."""
    return {key: value for key, value in os.environ.items() if not key.upper().startswith("STRETTO_")}


def _interrupt(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)
