"""A stack's data folder: a marker says that it is ours, a lock who works on it, a state file what runs and where."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from stretto.embedded import places, processes
from stretto.embedded.errors import AlreadyRunning, ForeignFolder
from stretto.embedded.processes import ProcessId

_MARKER = ".stretto-stack"
_MARKER_TEXT = "Data of `stretto up`. `stretto down --volumes` deletes this folder.\n"
_LOOK_S = 0.5


@dataclass
class State:
    """What is remembered of a stack between commands: its ports for good, its supervisor while it runs."""

    ports: dict[str, int] = field(default_factory=dict)
    supervisor: ProcessId | None = None
    since: float = 0.0
    parts: dict[str, ProcessId] = field(default_factory=dict)


class StackFolder:
    """The folder at `path`, which need not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.log = self.path / "stack.log"
        self._state = self.path / "stack.json"

    @property
    def ours(self) -> bool:
        """Whether the marker lies in it."""
        return (self.path / _MARKER).is_file()

    def require_ours(self) -> None:
        """Raise ForeignFolder unless it has our marker or does not exist."""
        if self.path.exists() and not self.ours:
            raise self._foreign()

    def claim(self) -> None:
        """Make the folder ours: a new or an empty one. Raises ForeignFolder when it holds something else."""
        if self.ours:
            return
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise self._foreign()
        places.make_dir(self.path)
        try:
            (self.path / _MARKER).write_text(_MARKER_TEXT)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise places.disk_full(self.path) from None
            raise ForeignFolder(
                f"folder {self.path} cannot be written: {error.strerror}",
                fix="name one that can: --data, or STRETTO_DATA_DIR",
            ) from None

    def delete(self) -> None:
        """Delete the folder and all in it. Raises ForeignFolder when it is not ours."""
        self.require_ours()
        if self.path.exists():
            shutil.rmtree(self.path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; the lock goes with the process, however that ends. Raises AlreadyRunning when it is held."""
        with (self.path / "stack.lock").open("w") as lock:
            # Somebody who only looks (`held`) has it for a moment.
            if not processes.wait_until(lambda: _try_lock(lock), _LOOK_S):
                raise AlreadyRunning(
                    f"a stack already runs on {self.path}", fix="see it: stretto ps; end it: stretto down"
                )
            yield

    @property
    def held(self) -> bool:
        """Whether some process holds the folder now."""
        try:
            with (self.path / "stack.lock").open() as lock:
                return not _try_lock(lock)
        except FileNotFoundError:
            return False

    def read(self) -> State:
        """The state; an empty one when there is none, or none that can be read."""
        try:
            content: dict[str, Any] = json.loads(self._state.read_text())
            supervisor = content["supervisor"]
            return State(
                ports={str(name): int(port) for name, port in content["ports"].items()},
                supervisor=ProcessId(**supervisor) if supervisor else None,
                since=float(content["since"]),
                parts={str(name): ProcessId(**part) for name, part in content["parts"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return State()

    def write(self, state: State) -> None:
        """Remember the state: the new one or the old one, never half of it. Raises DiskFull."""
        new = self._state.with_name(f"{self._state.name}.{os.getpid()}")
        try:
            new.write_text(json.dumps(asdict(state), indent=2) + "\n")
            new.replace(self._state)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise places.disk_full(self.path) from None
            raise

    def _foreign(self) -> ForeignFolder:
        return ForeignFolder(
            f"{self.path} holds something that is not a stack's data",
            expected="a new or empty folder, or one that `stretto up` made",
            fix="name another folder: --data, or STRETTO_DATA_DIR",
        )


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
