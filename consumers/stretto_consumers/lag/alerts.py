"""From what is seen to alerts: one when trouble has lasted, one for each status that it turns into, one at its end. Pure.

For each follower, source and kind, numbered as in the code:

1. Trouble is: of kind `status`, a status of `verdict.TROUBLE`; of kind `budget`, more lag than the budget.
2. Calm is: of kind `status`, OK; of kind `budget`, a budget that is kept; of both, that the follower is no longer there.
   CATCHING_UP is neither: it begins no trouble and ends none, so a follower that comes and goes is told of once.
3. Trouble, of one status or of several, that has been seen in every look for `after_s` is an alert.
4. After an alert, another status of trouble that has been seen in every look for `after_s` is the next one: never the same
   status twice in a row, and under one key never two within `after_s`.
5. After an alert, calm that has been seen in every look for `after_s` is the recovery, once.
6. All of one trouble have the time of its begin and the statuses that were told of it; its recovery the time of its end, which
   is the begin of the calm. `before` is the status told last; of the first alert the status seen before
   the trouble, OK where none was seen.
7. Time is the observer's monotonic clock. What is exported has durations only, so another process with another clock goes
   on where this one stopped; the time between the two counts for nothing.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from stretto_schemas.lag.stages import NOTHING
from stretto_schemas.lag.verdict import TROUBLE
from stretto_schemas.lag.view import Alert, FollowerView, PipelineView
from stretto_schemas.lag.words import duration

KINDS: Final = ("status", "budget")

CALM: Final = "calm"
ANY_TROUBLE: Final = "trouble"

MOST_OVER: Final = 100
"""Alerts that are over and still listed."""


class KeyState(msgspec.Struct):
    """What is known under one key."""

    follower: str
    source: str
    kind: str
    raised: Alert | None = None
    """The newest alert of a trouble that has no recovery yet."""
    calm: str = ""
    """The newest status that was no trouble; empty for OK, or when none was seen."""
    turns: str = ""
    """What is seen and not told yet; empty: it is told."""
    turned_s: float = 0.0
    """For so long."""
    turned_us: int = 0
    """Since when, by the view's clock."""


class AlertsState(msgspec.Struct):
    """All that a process which takes over must know to alert neither twice nor not at all."""

    keys: list[KeyState] = []
    over: list[Alert] = []
    """Recoveries, the newest first."""


class Alerts:
    """Turns views, one after the other, into alerts. One thread."""

    def __init__(self, after_s: float, state: AlertsState | None = None, at: float | None = None) -> None:
        """Goes on from what another exported, or from nothing: then all is calm.

        `at` is when that was by this process's monotonic clock, where it is known: the time since then counts.
        """
        self._after_s = after_s
        self._keys: dict[tuple[str, str, str], KeyState] = {}
        self._over: deque[Alert] = deque(maxlen=MOST_OVER)
        self._at = at
        if state is not None:
            copy = msgspec.convert(msgspec.to_builtins(state), AlertsState)
            self._keys = {(key.follower, key.source, key.kind): key for key in copy.keys}
            self._over.extend(copy.over)

    def observe(self, view: PipelineView, at: float) -> list[Alert]:
        """The alerts that this look gives rise to. `at` is the observer's monotonic clock, seconds."""
        passed_s = max(0.0, at - self._at) if self._at is not None else 0.0
        self._at = at
        there = {(follower.name, follower.source): follower for follower in view.followers}
        looked_at = {source.name for source in view.sources}
        keys = {(name, source, kind): None for name, source in there for kind in KINDS} | dict.fromkeys(self._keys)
        made = []
        for name, source, kind in keys:
            if source not in looked_at and (name, source) not in there:
                continue  # a view of another source says nothing of this one
            key = self._keys.get((name, source, kind)) or KeyState(name, source, kind)
            alert = self._turn(key, there.get((name, source)), view.at_us, passed_s)
            if alert is not None:
                made.append(alert)
            if key.raised is None and not key.turns and not key.calm:
                self._keys.pop((name, source, kind), None)
            else:
                self._keys[name, source, kind] = key
        return made

    def listed(self) -> list[Alert]:
        """For a view: what is wrong now, then what is over, the newest first."""
        raised = [key.raised for key in self._keys.values() if key.raised is not None]
        return [*sorted(raised, key=lambda alert: alert.at_us, reverse=True), *self._over]

    def export(self) -> AlertsState:
        """The present state; what happens later does not change it."""
        state = AlertsState(list(self._keys.values()), list(self._over))
        return msgspec.convert(msgspec.to_builtins(state), AlertsState)

    def _turn(self, key: KeyState, view: FollowerView | None, at_us: int, passed_s: float) -> Alert | None:
        """What this look of one key gives rise to."""
        turns = _turns(key, view)
        if turns and turns == key.turns:
            key.turned_s += passed_s
        else:
            key.turns, key.turned_s, key.turned_us = turns, 0.0, at_us
        if key.kind == "status" and not _trouble(key.kind, view):
            key.calm = view.status if view is not None and view.status != "OK" else ""
        if not turns or key.turned_s < self._after_s:
            return None
        alert = _recover(key, key.raised, view, at_us) if turns == CALM and key.raised else _raise(key, view, at_us)
        key.turns = ""
        if alert.recovered:
            self._over.appendleft(alert)
        key.raised = None if alert.recovered else alert
        return alert


def whole(recovery: Alert) -> str:
    """The trouble that is over: `STALLED, then STOPPED, 12 s in all`."""
    lasted_us = (recovery.until_us or recovery.at_us) - recovery.since_us
    return f"{', then '.join(recovery.statuses or (recovery.before,))}, {duration(max(0, lasted_us) / 1e6)} in all"


def _turns(key: KeyState, view: FollowerView | None) -> str:
    """What is to be told once it has lasted: calm, trouble of any status, or the status that a trouble turned into."""
    trouble = _trouble(key.kind, view)
    if key.raised is None:
        return ANY_TROUBLE if trouble else ""  # rule 3
    if trouble:
        return trouble if trouble != key.raised.status else ""  # rule 4
    return CALM if _calm(key.kind, view) else ""  # rule 5


def _trouble(kind: str, view: FollowerView | None) -> str:
    """Rule 1: which, or empty."""
    if view is None:
        return ""
    if kind == "budget":
        return "exceeded" if view.over_budget else ""
    return view.status if view.status in TROUBLE else ""


def _calm(kind: str, view: FollowerView | None) -> bool:
    """Rule 2."""
    if view is None:
        return True
    return not view.over_budget if kind == "budget" else view.status == "OK"


def _raise(key: KeyState, view: FollowerView | None, at_us: int) -> Alert:
    assert view is not None, "a follower that is not there is in no trouble"
    lag_s, told, status = _lag_s(view), key.raised, _trouble(key.kind, view)
    beyond = " beyond its delay" if view.delay_s > 0 else ""
    return Alert(
        kind=key.kind,
        follower=key.follower,
        source=key.source,
        status=status,
        before=told.status if told is not None else (key.calm or _calm_word(key.kind)),
        at_us=at_us,
        since_us=told.since_us if told is not None else key.turned_us,
        recovered=False,
        reason=view.reason
        if key.kind == "status"
        else f"{duration(lag_s - view.delay_s)} of lag{beyond}, more than its budget of {duration(view.budget_s)}; {view.reason}",
        stage=view.stage,
        likely=view.likely,
        lag_s=lag_s,
        statuses=(*(each for each in _statuses(told) if each != status), status),
    )


def _recover(key: KeyState, raised: Alert, view: FollowerView | None, at_us: int) -> Alert:
    return Alert(
        kind=key.kind,
        follower=key.follower,
        source=key.source,
        status=_calm_word(key.kind),
        before=raised.status,
        at_us=at_us,
        since_us=raised.since_us,
        recovered=True,
        reason=view.reason if view is not None else "the follower was removed",
        stage=view.stage if view is not None else "",
        lag_s=_lag_s(view),
        statuses=_statuses(raised),
        until_us=key.turned_us,
    )


def _statuses(told: Alert | None) -> tuple[str, ...]:
    if told is None:
        return ()
    return told.statuses or (told.status,)  # a monitor of an older version told it


def _calm_word(kind: str) -> str:
    return "kept" if kind == "budget" else "OK"


def _lag_s(view: FollowerView | None) -> float:
    total = view.lag.get("total") if view is not None else None
    return (total or NOTHING).seconds
