"""Lag as pure arithmetic: a stage is the stretch between two places of the log, in bytes, records and seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STAGES = ("wal", "capture", "log", "apply", "total")


@dataclass(frozen=True, slots=True)
class StageLag:
    """One stage: zero in all three when nothing waits there."""

    bytes: int
    records: int
    seconds: float
    counted: bool = True
    """False: nobody can tell how many records wait; `records` is 0."""

    def as_json(self) -> dict[str, float | None]:
        """For /status."""
        return {
            "bytes": self.bytes,
            "records": self.records if self.counted else None,
            "seconds": round(self.seconds, 6),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> StageLag:
        """What `as_json` made. Raises KeyError or TypeError when it is something else."""
        records = said["records"]
        return cls(int(said["bytes"]), int(records or 0), float(said["seconds"]), counted=records is not None)


class LsnClock:
    """When a growing LSN was first seen to have passed a place: seconds for stages that know bytes only."""

    def __init__(self, samples: int = 4096) -> None:
        self._samples: deque[tuple[int, float]] = deque(maxlen=samples)

    def note(self, lsn: int, now: float) -> None:
        """The place stands at `lsn` at time `now` (any monotonic clock, seconds)."""
        if not self._samples or lsn > self._samples[-1][0]:
            self._samples.append((lsn, now))

    def age(self, lsn: int, now: float) -> float:
        """Seconds since something beyond `lsn` was first seen; 0 when nothing is beyond it."""
        samples = self._samples
        while len(samples) > 1 and samples[0][0] <= lsn:
            samples.popleft()
        if not samples or samples[0][0] <= lsn:
            return 0.0
        return now - samples[0][1]
