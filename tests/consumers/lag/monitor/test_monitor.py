"""What a monitor says of itself from other threads than the one that runs its session."""

from __future__ import annotations

from stretto_consumers.lag.monitor.monitor import Monitor
from stretto_consumers.lag.monitor.session import Session
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
