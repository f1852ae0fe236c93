"""Which database serves a read: a generator that does no I/O, so that one set of rules serves threads and event loops.

The rules, numbered as in the code:

1. Followers in the order of the session's user: the first one that has what is needed. One that is known to lack it, or
   not to answer, is not asked.
2. What is known may be old: what counts is what the follower says inside the transaction that reads.
3. None has it: wait until one moves on, and look again, as long as the deadline allows.
4. None answers, or the deadline is over: the leader, where that is allowed.
5. Otherwise nobody: an error with everybody's reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field

from stretto_consumers.sessions.guarantees import Need, Shown
from stretto_schemas.errors import Unreachable


class NotServed(Unreachable):
    """No database has what a read needs, within its deadline."""


@dataclass(frozen=True, slots=True)
class Try:
    """Begin the transaction on this follower. Answered by what it shows, or by why it cannot."""

    follower: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Until something was heard of any follower after `heard`, or the deadline. Answered by False at the deadline."""

    heard: int


@dataclass(frozen=True, slots=True)
class Leader:
    """Begin the transaction on the leader. Answered by what it shows, or by why it cannot."""


Step = Try | Wait | Leader
Answer = Shown | str | bool


@dataclass(frozen=True, slots=True)
class Known:
    """What was last heard of the followers."""

    heard: int
    """Grows with each word."""
    shown: Mapping[str, Shown | None]
    """None: it does not answer."""


@dataclass(slots=True)
class Route:
    """Who served a read, and why."""

    server: str = ""
    """The follower's name, or `leader`."""
    waited: bool = False
    """No follower had it at first."""
    passed_over: dict[str, str] = field(default_factory=dict)
    """By follower, why it was not taken."""

    def __str__(self) -> str:
        over = "".join(f"; {name}: {why}" for name, why in self.passed_over.items() if name != self.server)
        return f"{self.server}{', after waiting' if self.waited else ''}{over}"


def in_order(user: str, followers: Iterable[str]) -> list[str]:
    """The followers in an order that is always the same for a user, and keeps when one of them goes or comes.

    Rendezvous hashing: D. Thaler and C. Ravishankar, Using Name-Based Mappings to Increase Hit Rates, 1998.
    """
    return sorted(followers, key=lambda name: hashlib.blake2b(f"{user}\0{name}".encode(), digest_size=8).digest())


def choose(
    order: list[str],
    need: Need,
    known: Callable[[], Known],
    now_us: Callable[[], Mapping[str, int]],
    route: Route,
    *,
    leader: bool,
) -> Generator[Step, Answer, Shown]:
    """Steps that lead to a transaction in which what is needed is visible; returns what it shows. Fills `route`.

    Raises NotServed, OlderLog.
    """
    while True:
        heard, answering = known().heard, False
        for name in order:
            last = known().shown.get(name)
            if last is None:
                route.passed_over[name] = "it does not answer"
                continue
            answering = True
            if said := need.lack(last, now_us()):  # rule 1
                route.passed_over[name] = said
                continue
            answer = yield Try(name)
            if isinstance(answer, Shown) and not (said := need.lack(answer, now_us())):  # rule 2
                route.server = name
                return answer
            route.passed_over[name] = said if isinstance(answer, Shown) else str(answer)
        if not answering:
            break
        route.waited = True
        if not (yield Wait(heard)):  # rule 3
            break
    if leader:
        answer = yield Leader()
        if isinstance(answer, Shown):
            route.server = "leader"
            return answer
        route.passed_over["leader"] = str(answer)
    reasons = "; ".join(f"{name}: {why}" for name, why in route.passed_over.items())
    raise NotServed(
        f"no database has what this read needs: {reasons or 'there is no follower'}",
        expected="a follower that has it within the deadline" + (", or the leader" if leader else ""),
        fix="look at `stretto status`; give it more time, or allow the leader",
    )
