"""What the looks at one follower found, in order: trend and verdict are concluded from them.

1. A record that is older than the one before (a look that got an answer over HTTP, then one that got the topic's) adds
   nothing to what is known of the follower's place: the newer one stands.
2. The place (epoch, then LSN) moves when it is another than before. How long it has stood still is counted between records
   of the follower, not between looks: silence proves nothing.
3. Where it has been told to stand still (paused, copying, stopped), or was not heard of for long, counting begins anew.
4. A place below the highest one ever shown is a rewind, until that one is passed again. A new copy forgets the highest.
5. Looks count for `WINDOW_S` or ten of the follower's records, whichever is longer, and at least `LEAST` of them do, as in
   Burrow's ten intervals. An observer that was itself away begins anew.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from stretto_schemas.follower_state import FollowerState
from stretto_schemas.lag.stages import StageLag

WINDOW_S: Final = 30.0
"""Long enough to tell a trend from the saw-tooth of batches of a second or two, short enough to be told while it matters."""

LEAST: Final = 10
MOST: Final = 300
"""Looks kept of one follower: a window at ten looks a second."""

FLOOR_S: Final = 1.0
"""Less lag than this is none worth a word: a heartbeat comes every second, and batches take about as long under load."""

SILENT_S: Final = 10.0
"""Nothing is concluded from a shorter silence; records come every 3 s unless somebody set more."""

HOLDING_STILL: Final = ("paused", "copying", "stopped")


def silent_after_s(every_s: float) -> float:
    """A follower whose records are due every `every_s` and that was not heard of for longer counts as silent."""
    return max(3 * every_s, SILENT_S)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. Times are seconds of the observer's monotonic clock."""

    at: float
    made_at: float
    """When the follower made the record that was seen."""
    state: str
    total_s: float
    delay_s: float
    """Of the total, so much is on purpose."""
    bytes: int
    """WAL that waits."""
    epoch: int
    end_lsn: int
    rows: int
    """Applied since the follower was made."""
    every_s: float = 0.0
    copied: float | None = None

    @classmethod
    def of(cls, at: float, heard_s: float, state: FollowerState, total: StageLag) -> Sample:
        """Of a record that was made `heard_s` ago."""
        return cls(
            at=at,
            made_at=at - max(0.0, heard_s),
            state=state.state,
            total_s=total.seconds,
            delay_s=state.delay_s,
            bytes=total.bytes,
            epoch=state.epoch,
            end_lsn=state.end_lsn,
            rows=state.rows,
            every_s=state.every_s,
            copied=state.copied,
        )

    @property
    def beyond_s(self) -> float:
        """Lag that nobody asked for."""
        return max(0.0, self.total_s - self.delay_s)

    @property
    def place(self) -> tuple[int, int]:
        """Grows, unless the follower was set back."""
        return self.epoch, self.end_lsn


class Samples:
    """The looks at one follower, and since when things are as they are. Bounded, however long it runs."""

    def __init__(self) -> None:
        self.taken: deque[Sample] = deque()
        """Oldest first."""
        self.moved_at = 0.0
        """When the first record that showed the present place was made."""
        self.behind_since: float | None = None
        """Since this look there is more lag than FLOOR_S beyond the delay."""
        self.highest = (0, 0)
        """The highest place ever shown."""

    def add(self, sample: Sample) -> None:
        """Take the next look; one that is not later than the one before is none."""
        last = self.taken[-1] if self.taken else None
        if last is not None and sample.at <= last.at:
            return
        if last is None or self._was_away(sample):
            self.taken.clear()
            self.behind_since = None
        if last is not None and sample.made_at < last.made_at:  # rule 1
            sample = replace(sample, made_at=last.made_at, epoch=last.epoch, end_lsn=last.end_lsn, rows=last.rows)
        if last is None or sample.place != last.place or _begins_anew(last, sample):
            self.moved_at = sample.made_at  # rules 2, 3
        self.highest = sample.place if sample.state == "copying" else max(self.highest, sample.place)  # rule 4
        if sample.beyond_s <= FLOOR_S:
            self.behind_since = None
        elif self.behind_since is None:
            self.behind_since = sample.at
        self.taken.append(sample)
        self._forget()

    @property
    def newest(self) -> Sample:
        """The last look. There must have been one."""
        return self.taken[-1]

    @property
    def rewound(self) -> bool:
        """It shows a place below one that it has shown before."""
        return self.newest.place < self.highest

    @property
    def stuck_s(self) -> float:
        """For so long its records have shown the same place while it was behind."""
        if self.behind_since is None:
            return 0.0
        return max(0.0, self.newest.made_at - max(self.moved_at, self.behind_since))

    def _was_away(self, sample: Sample) -> bool:
        """Rule 5: no look for longer than a window, although they used to come more often."""
        if len(self.taken) < 2:
            return False
        gap_s, usual_s = sample.at - self.taken[-1].at, self.taken[-1].at - self.taken[-2].at
        return gap_s > _window_s(sample) and gap_s > 5 * usual_s

    def _forget(self) -> None:
        taken = self.taken
        begin = self.newest.at - _window_s(self.newest)
        while len(taken) > MOST or (len(taken) > LEAST and taken[1].at <= begin):
            taken.popleft()


def _window_s(sample: Sample) -> float:
    return max(WINDOW_S, 10 * sample.every_s)


def _begins_anew(last: Sample, sample: Sample) -> bool:
    told = sample.state in HOLDING_STILL or last.state in HOLDING_STILL
    return told or sample.made_at - last.made_at > silent_after_s(last.every_s)
