"""Why a follower is behind: the likely cause in words, and what to do.

The first rule that holds is told; a cause that somebody has seen comes before one that follows from where the lag lies.

1. It is paused.                                9. WAL: capture does not run, waits, or its slot is gone or idle.
2. It ended.                                   10. WAL: a large transaction is being received.
3. Its first copy is under way.                11. WAL: a transaction on the source is open for long.
4. Nothing is heard of it.                     12. WAL: none of these.
5. It waits for a server and says for which.   13. Capture: the broker is slow, or does not answer.
6. Its delay is all there is.                  14. Log: the broker does not answer, or not to the follower.
7. Somebody holds a lock that it waits for.    15. Apply, or what piles up before it: a large transaction.
8. The source does not answer.                 16. The same: one table takes most of the time.
                                               17. Apply: none of these.
A clock that is off is no cause, for lag is measured by the source's: `skewed` says it apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from stretto_schemas.follower_state import FollowerState
from stretto_schemas.lag.facts import Observation
from stretto_schemas.lag.samples import FLOOR_S, silent_after_s
from stretto_schemas.lag.stages import StageLag, holding
from stretto_schemas.lag.verdict import copy_stands_s
from stretto_schemas.lag.words import duration, number, size

LARGE_ROWS: Final = 100_000
"""Five times the default batch: more than that is read at once only where one transaction has it."""

MOST_OF_THE_TIME: Final = 0.5

LONG_TRANSACTION_S: Final = 5.0
"""Ordinary transactions of an application end sooner."""

SKEW_S: Final = 1.0
"""What NTP keeps is a thousand times better."""


@dataclass(frozen=True, slots=True)
class Cause:
    """The number of the rule, and a sentence: what, and behind a semicolon what to do."""

    rule: int
    sentence: str


@dataclass(frozen=True, slots=True)
class _Case:
    seen: Observation
    state: FollowerState
    stages: Mapping[str, StageLag | None]
    heard_s: float

    @property
    def stage(self) -> str:
        return holding(self.stages)

    @property
    def applying(self) -> bool:
        """What it has read keeps it busy, so the log is where more of it piles up."""
        return self.stage == "apply" or (
            self.stage == "log" and (self.state.staged_rows > 0 or self.state.slow_share >= MOST_OF_THE_TIME)
        )


def likely(
    seen: Observation, state: FollowerState, stages: Mapping[str, StageLag | None], heard_s: float
) -> Cause | None:
    """The likely cause of this follower's lag; None when it has none, or nothing tells."""
    case = _Case(seen, state, stages, heard_s)
    for rule, sentence in _RULES:
        said = sentence(case)
        if said:
            return Cause(rule, said)
    return None


def skewed(state: FollowerState) -> str:
    """A warning about the clock of the follower's machine; empty when it is right, or nobody knows."""
    skew_s = (state.skew_us or 0) / 1e6
    if abs(skew_s) < SKEW_S:
        return ""
    return (
        f"the clock of follower {state.follower}'s machine is {duration(abs(skew_s))} {'ahead of' if skew_s > 0 else 'behind'}"
        " the source's: lag is measured by the source's clock all the same; set it by NTP"
    )


def _paused(case: _Case) -> str:
    if case.state.state != "paused":
        return ""
    said = f" ({case.state.said})" if case.state.said else ""
    return f"it was paused{said}; `stretto follower resume` lets it go on"


def _ended(case: _Case) -> str:
    if case.state.state != "stopped":
        return ""
    said = f": {case.state.said}" if case.state.said else " cleanly"
    return f"its process ended{said}; start `stretto run follower`"


def _first_copy(case: _Case) -> str:
    if case.state.state != "copying" or case.state.blocked_by or _silent(case):
        return ""
    doing = f" ({case.state.said})" if case.state.said else ""
    if copy_stands_s(case.state):
        return f"its first copy stands still{doing}; see in pg_stat_activity of source and follower what its sessions wait for"
    return f"its first copy is under way{doing}; what is written meanwhile waits until it is done"


def _unheard(case: _Case) -> str:
    if not _silent(case):
        return ""
    if case.seen.log is None and case.seen.problems:
        return f"the log does not answer us either: {_problem(case, 'Kafka')}"
    copy = "`stretto follower add`" if case.state.state == "copying" else "`stretto run follower`"
    return f"its process does not run, or is cut off from Kafka; start {copy}, or see what it logs"


def _waiting(case: _Case) -> str:
    if case.state.state != "waiting":
        return ""
    return f"it waits for a server: {case.state.said or 'it does not say which'}; this is tried again until it answers"


def _delayed(case: _Case) -> str:
    total, delay_s = case.stages.get("total"), case.state.delay_s
    if delay_s <= 0 or total is None or not 0 < total.seconds <= delay_s + FLOOR_S:
        return ""
    return f"transactions are shown {duration(delay_s)} after their commit on purpose; set `apply_delay_s` in section [follower] to 0 to end that"


def _blocked(case: _Case) -> str:
    if not case.state.blocked_by:
        return ""
    return f"a lock on the follower is held by {case.state.blocked_by}; end that transaction, or wait for it"


def _source_silent(case: _Case) -> str:
    if case.seen.facts is not None or case.stage not in ("", "wal") or not _any_lag(case):
        return ""
    return f"the source does not answer: {_problem(case, 'PostgreSQL')}"


def _capture_down(case: _Case) -> str:
    facts, capture = case.seen.facts, case.seen.capture
    if case.stage != "wal":
        return ""
    if facts is not None and facts.slot is None:
        return "the source has no slot for capture; run `stretto doctor`"
    if facts is not None and facts.slot is not None and facts.slot.wal_status == "lost":
        return f"slot {facts.slot.name} lost WAL that capture had not read; `stretto init` and copy the followers again"
    if capture is not None and capture.state in ("waiting", "halted"):
        return (
            f"capture is {capture.state}: {capture.said or 'it does not say for what'}; mend that, it goes on by itself"
        )
    if facts is not None and facts.slot is not None and not facts.slot.active:
        said = f" ({capture.said})" if capture is not None and capture.said else ""
        return f"capture does not run: slot {facts.slot.name} is idle{said}; start `stretto run capture`"
    return ""


def _receiving(case: _Case) -> str:
    captured = case.seen.captured
    if case.stage != "wal" or captured is None or captured.inside_records < LARGE_ROWS:
        return ""
    return (
        f"a large transaction ({captured.inside_xid}) is being received, {number(captured.inside_records, 'record')} so far;"
        " it goes on by itself"
    )


def _long_transaction(case: _Case) -> str:
    open_ = case.seen.facts.long_transaction if case.seen.facts is not None else None
    if case.stage != "wal" or open_ is None or open_.seconds < LONG_TRANSACTION_S:
        return ""
    who = f"pid {open_.pid} ({open_.application or 'without a name'}, {open_.state})"
    return (
        f"{who} has had a transaction open on the source for {duration(open_.seconds)}; commit it, or end that session"
    )


def _wal_waits(case: _Case) -> str:
    wal = case.stages.get("wal")
    if case.stage != "wal" or wal is None:
        return ""
    return f"capture does not keep up with the WAL, {size(wal.bytes)} wait; look at its machine and at the network to the source"


def _slow_broker(case: _Case) -> str:
    if case.stage != "capture":
        return ""
    capture = case.seen.capture
    if capture is not None and capture.state in ("waiting", "halted"):
        return (
            f"capture is {capture.state}: {capture.said or 'it does not say for what'}; mend that, it goes on by itself"
        )
    if case.seen.log is None and case.seen.problems:
        return f"the broker does not answer: {_problem(case, 'Kafka')}"
    return "the broker takes records slowly; look at its disks, at replicas out of sync and at the network to it"


def _log_waits(case: _Case) -> str:
    if case.stage != "log" or case.applying:
        return ""
    if case.seen.log is None and case.seen.problems:
        return f"the broker does not answer: {_problem(case, 'Kafka')}"
    return "the broker answers here, and little of it reaches the follower; look at the network between the two"


def _large_transaction(case: _Case) -> str:
    if not case.applying or case.state.staged_rows < LARGE_ROWS:
        return ""
    return (
        f"a large transaction is being applied, {number(case.state.staged_rows, 'row')} at once; it goes on by itself"
    )


def _slow_table(case: _Case) -> str:
    if not case.applying or not case.state.slow_table or case.state.slow_share < MOST_OF_THE_TIME:
        return ""
    return (
        f"writing table {case.state.slow_table} takes {100 * case.state.slow_share:.0f} % of the time;"
        " look at its indexes and triggers, and at the follower's disk"
    )


def _slow_apply(case: _Case) -> str:
    if not case.applying:
        return ""
    return "the follower's database takes rows slower than they come; look at its disk and at what else runs there"


_RULES: Final[tuple[tuple[int, Callable[[_Case], str]], ...]] = (
    (1, lambda case: "" if _silent(case) else _paused(case)),
    (2, _ended),
    (3, _first_copy),
    (4, _unheard),
    (5, _waiting),
    (6, _delayed),
    (7, _blocked),
    (8, _source_silent),
    (9, _capture_down),
    (10, _receiving),
    (11, _long_transaction),
    (12, _wal_waits),
    (13, _slow_broker),
    (14, _log_waits),
    (15, _large_transaction),
    (16, _slow_table),
    (17, _slow_apply),
)


def _silent(case: _Case) -> bool:
    return case.state.state != "stopped" and case.heard_s > silent_after_s(case.state.every_s)


def _any_lag(case: _Case) -> bool:
    total = case.stages.get("total")
    return total is not None and total.seconds > 0


def _problem(case: _Case, server: str) -> str:
    """The first that names this kind of server, else the first, and what mends it."""
    named = [problem for problem in case.seen.problems if problem.found.startswith(server)] or case.seen.problems
    return f"{named[0].found}; {named[0].fix or 'start it'}" if named else "it gave no reason; start it"
