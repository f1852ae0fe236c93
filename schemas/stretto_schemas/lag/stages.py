"""The stages of lag: each the stretch between two places of the pipeline, in bytes, records and seconds.

Seconds are source time between the ends of a stage. Of each place there is a time up to which everything that was
committed on the source has passed it: now for the source itself, the commit time of the oldest change that waits before
the place otherwise. The seconds of wal, capture, log and apply therefore add up to those of total, and the stage with
most of them is the one that holds the follower back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

STAGES: Final = ("wal", "capture", "log", "apply", "total")

MEANING: Final = {
    "wal": "written, not received",
    "capture": "received, not in Kafka",
    "log": "in Kafka, not read",
    "apply": "read, not committed",
    "total": "written, not visible on the follower",
}
"""What lies in each."""


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


NOTHING: Final = StageLag(0, 0, 0.0)


def holding(stages: Mapping[str, StageLag | None]) -> str:
    """The stage that holds most of the lag's seconds; empty when none has any."""
    seconds = {stage: lag.seconds for stage, lag in stages.items() if stage != "total" and lag is not None}
    most = max(seconds, key=seconds.__getitem__, default="")
    return most if most and seconds[most] > 0 else ""
