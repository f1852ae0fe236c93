"""What a monitor says of itself from other threads than the one that runs its session."""

from __future__ import annotations

import pytest

from stretto_consumers.lag.monitor.monitor import Monitor, fresh
from stretto_consumers.lag.monitor.session import Session
from stretto_schemas.lag.stages import StageLag
from stretto_schemas.lag.view import FollowerView
from stretto_schemas.settings import load


class Ending(Monitor):
    """Its session ends between any two times that somebody looks for it."""

    kept: Session | None = None

    @property
    def _session(self) -> Session | None:
        session, self.kept = self.kept, None
        return session

    @_session.setter
    def _session(self, session: Session | None) -> None:
        self.kept = session


def test_a_session_that_ends_while_it_is_asked_leaves_what_it_knew_last() -> None:
    settings = load(None, {"STRETTO_KAFKA__BOOTSTRAP": "127.0.0.1:1"})
    monitor = Ending(settings)
    session = Session(settings, monitor._places)
    session.state = "running"
    monitor._session = session
    assert monitor._active()
    assert monitor._active(), "without a session what the last one knew holds"
    assert monitor.summary()["state"] == "waiting"
    monitor._session = session
    assert monitor.summary()["state"] == "running"


@pytest.mark.parametrize(
    ("total_s", "heard_s", "every_s", "good", "why"),
    [
        (1.5, 0.2, 3.0, True, "total lag 1.5 s, not more than 5.0 s"),
        (7.3, 0.2, 3.0, False, "total lag 7.3 s, most of it in apply, more than 5.0 s"),
        (None, 0.2, 3.0, False, "nobody knows its lag, which may be more than 5.0 s"),
        (
            0.0,
            8.0,
            3.0,
            False,
            "nothing came for 8.0 s although heartbeats do every 3.0 s: the lag may be more than 5.0 s",
        ),
        (0.0, 8.0, 10.0, True, "total lag 0.0 s, not more than 5.0 s"),
    ],
)
def test_a_follower_is_as_fresh_as_the_other_processes_judge_it_by_how_often_it_says_something(
    total_s: float | None, heard_s: float, every_s: float, good: bool, why: str
) -> None:
    lag = StageLag(1, 1, total_s) if total_s is not None else None
    lags = {"apply": lag, "total": lag}
    follower = FollowerView("near", "shop", "running", "OK", 7, "", lag=lags, heard_s=heard_s, every_s=every_s)
    assert fresh(follower, 5.0) == (good, why)
