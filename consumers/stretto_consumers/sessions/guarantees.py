"""What a session may ask for, and whether a database gives it.

D. B. Terry et al., Session Guarantees for Weakly Consistent Replicated Data, PDIS 1994.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from stretto_schemas.errors import UsageError
from stretto_schemas.lag.words import duration, size
from stretto_schemas.lsn import format_lsn
from stretto_schemas.token import NOTHING, Place, Vector, merged


class Guarantee(enum.Flag):
    """Each can be asked for alone. That what is read is a prefix of the source's commits holds without asking."""

    READ_YOUR_WRITES = enum.auto()
    """A read shows what this session wrote, from whatever device."""
    MONOTONIC_READS = enum.auto()
    """A read shows at least what an earlier read of this session showed."""
    WRITES_FOLLOW_READS = enum.auto()
    """A write goes to a leader that has what this session read, so nobody sees the answer before the question."""


ALL = Guarantee.READ_YOUR_WRITES | Guarantee.MONOTONIC_READS | Guarantee.WRITES_FOLLOW_READS


class OlderLog(UsageError):
    """A token names a log that was begun anew since."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a database shows."""

    places: Vector = field(default_factory=dict)
    fresh_us: Mapping[str, int] = field(default_factory=dict)
    """By source: everything that was committed there before is visible. Microseconds since 1970, by the source's clock."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a read asks of a database."""

    places: Vector = field(default_factory=dict)
    max_lag_s: float | None = None
    """Everything that was committed so long ago must be visible; None: it does not matter."""

    def lack(self, shown: Shown, now_us: Mapping[str, int]) -> str:
        """What the database lacks, in words; empty where it lacks nothing. `now_us`: by source, its clock.

        Raises OlderLog.
        """
        for source, place in self.places.items():
            if said := _behind(source, place, shown.places.get(source)):
                return said
        if self.max_lag_s is None:
            return ""
        for source, now in now_us.items():
            if source not in shown.fresh_us:
                return f"it does not follow source {source}"
            lag_s = (now - shown.fresh_us[source]) / 1e6
            if lag_s > self.max_lag_s:
                return f"it is {duration(lag_s)} behind source {source}, more than {duration(self.max_lag_s)}"
        return ""


def needed(guarantees: Guarantee, written: Vector, read: Vector, max_lag_s: float | None = None) -> Need:
    """What a read of a session asks for, by what the session wrote and read."""
    places = NOTHING
    if Guarantee.READ_YOUR_WRITES in guarantees:
        places = written
    if Guarantee.MONOTONIC_READS in guarantees:
        places = merged(places, read)
    return Need(places, max_lag_s)


def _behind(source: str, place: Place, has: Place | None) -> str:
    if has is None:
        return f"it does not follow source {source}"
    if place.epoch and has.epoch != place.epoch:
        if has.epoch > place.epoch:
            raise OlderLog(
                f"a token of epoch {place.epoch} of source {source}, whose log was begun anew since",
                expected=f"a token of epoch {has.epoch}",
                fix="forget it and begin a new session: what it wrote is older than every copy of today's followers",
            )
        return f"it follows an older log of source {source}, of epoch {has.epoch}"
    if has.lsn < place.lsn:
        return f"it stands at {format_lsn(has.lsn)} of source {source}, {size(place.lsn - has.lsn)} before {format_lsn(place.lsn)}"
    return ""
