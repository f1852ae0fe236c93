"""What both embedded servers share: one process on one folder, which knows the process that a killed run left behind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from stretto.embedded.processes import Child, ProcessId


class Server(ABC):
    """A server on the folder `data`, which it makes and keeps. A context manager: started on entry, stopped on exit."""

    def __init__(self, name: str, data: Path) -> None:
        self.name = name
        self.data = data.absolute()
        self._id_file = self.data / "process.json"
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """The server's pid, None when it does not run."""
        return self._child.id.pid if self._child and self._child.running else None

    def leftover(self) -> ProcessId | None:
        """A server that an earlier, killed process of ours left running on this folder."""
        left = ProcessId.read(self._id_file)
        return left if left and left.alive() and left.pid != self.pid else None

    @abstractmethod
    def start(self) -> Self:
        """Start the server unless it runs; return once it answers."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the server cleanly, if it runs."""

    def kill(self) -> None:
        """SIGKILL for the server and all its children: a power cut. `start` then recovers what it had committed."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def restart(self) -> None:
        """Stop and start on the same port."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
