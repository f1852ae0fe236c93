"""Was every promise kept? What sessions wrote and read, judged afterwards, without I/O.

Every write of a key makes its next version, 1, 2, 3 and so on; 0 is the state before the first. A read is a set of keys
with the versions that one transaction saw. What is judged is what was promised, not how a router works, so the same
checker judges PostgreSQL's own standbys, or a router that is told to ignore tokens.

The first three after D. B. Terry et al., Session Guarantees for Weakly Consistent Replicated Data, PDIS 1994; prefixes
after D. B. Terry, Replicated Data Consistency Explained Through Baseball, CACM 56 (2013).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Key = str
Version = int


@dataclass(frozen=True, slots=True)
class Write:
    """A transaction that made these versions, acknowledged at `at_s`."""

    session: str
    made: Mapping[Key, Version]
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Read:
    """A transaction that saw these versions; it began at `at_s`."""

    session: str
    saw: Mapping[Key, Version]
    at_s: float = 0.0
    max_lag_s: float | None = None
    """What it was promised."""


Operation = Write | Read


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken."""

    guarantee: str
    """read your writes, monotonic reads, writes follow reads, consistent prefix, bounded staleness"""
    session: str
    number: int
    """Of the operation among those of its session, from 0."""
    words: str

    def __str__(self) -> str:
        return f"{self.guarantee}: session {self.session}, operation {self.number}: {self.words}"


@dataclass(frozen=True)
class History:
    """What happened: in each session in its order, and all writes in the order of their commits at the source."""

    sessions: Mapping[str, Sequence[Operation]]
    commits: Sequence[Write]
    _made_at: dict[Key, list[int]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for number, write in enumerate(self.commits):
            for key, version in write.made.items():
                places = self._made_at.setdefault(key, [])
                if version != len(places) + 1:
                    raise ValueError(f"version {version} of {key} follows {len(places)} others in the commits")
                places.append(number)

    def begins(self, key: Key, version: Version) -> int:
        """The first prefix, as a number of commits, that has this version of the key."""
        return self._made_at[key][version - 1] + 1 if version else 0

    def ends(self, key: Key, version: Version) -> int:
        """The last prefix that has no later version."""
        places = self._made_at.get(key, [])
        return places[version] if version < len(places) else len(self.commits)

    def version_at(self, key: Key, prefix: int) -> Version:
        """The version of the key in a prefix."""
        return bisect_right(self._made_at.get(key, []), prefix - 1)


def violations(history: History) -> list[Violation]:
    """Every promise that was broken, in the order of the sessions."""
    found: list[Violation] = []
    for session, operations in history.sessions.items():
        found += _of_session(session, operations)
        for number, operation in enumerate(operations):
            if isinstance(operation, Read):
                found += _of_read(history, session, number, operation)
    return [*found, *_writes_follow_reads(history)]


def _of_session(session: str, operations: Sequence[Operation]) -> Iterable[Violation]:
    wrote: dict[Key, Version] = {}
    read: dict[Key, Version] = {}
    for number, operation in enumerate(operations):
        if isinstance(operation, Write):
            wrote |= operation.made
            continue
        for key, version in operation.saw.items():
            if version < wrote.get(key, 0):
                words = f"{key} at version {version}, and it had written {wrote[key]}"
                yield Violation("read your writes", session, number, words)
            if version < read.get(key, 0):
                words = f"{key} at version {version}, and it had read {read[key]}"
                yield Violation("monotonic reads", session, number, words)
            read[key] = max(read.get(key, 0), version)


def _of_read(history: History, session: str, number: int, read: Read) -> Iterable[Violation]:
    begins = {key: history.begins(key, version) for key, version in read.saw.items()}
    ends = {key: history.ends(key, version) for key, version in read.saw.items()}
    newest, oldest = max(begins, key=begins.__getitem__, default=""), min(ends, key=ends.__getitem__, default="")
    if begins and begins[newest] > ends[oldest]:
        words = f"{newest} at version {read.saw[newest]} beside {oldest} at {read.saw[oldest]}: no moment had both"
        yield Violation("consistent prefix", session, number, words)
    if read.max_lag_s is None:
        return
    for key, version in read.saw.items():
        place = history.ends(key, version)
        if place < len(history.commits) and (missed := history.commits[place]).at_s < read.at_s - read.max_lag_s:
            words = (
                f"{key} lacks a write that was {read.at_s - missed.at_s:.3f} s old, more than {read.max_lag_s:.3f} s"
            )
            yield Violation("bounded staleness", session, number, words)


def _writes_follow_reads(history: History) -> Iterable[Violation]:
    """Whoever sees a write sees what its session had read before it."""
    behind: dict[int, dict[Key, Version]] = {}
    place = {id(write): number for number, write in enumerate(history.commits)}
    for session, operations in history.sessions.items():
        read: dict[Key, Version] = {}
        for number, operation in enumerate(operations):
            if isinstance(operation, Read):
                read = {key: max(read.get(key, 0), operation.saw.get(key, 0)) for key in {**read, **operation.saw}}
                continue
            at = place[id(operation)]
            behind[at] = dict(read)
            late = [key for key, version in read.items() if history.begins(key, version) > at]
            if late:
                words = f"it committed before version {read[late[0]]} of {late[0]}, which it had read"
                yield Violation("writes follow reads", session, number, words)
    for session, operations in history.sessions.items():
        for number, operation in enumerate(operations):
            if not isinstance(operation, Read):
                continue
            for key, version in operation.saw.items():
                causes = behind.get(history.begins(key, version) - 1, {}) if version else {}
                lacks = [cause for cause, least in causes.items() if operation.saw.get(cause, least) < least]
                if lacks:
                    words = f"{key} at version {version}, whose writer had read a later {lacks[0]}"
                    yield Violation("writes follow reads", session, number, words)
