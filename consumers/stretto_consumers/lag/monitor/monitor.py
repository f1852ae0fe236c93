"""The lag monitor as a service: `stretto run lag`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import aiokafka.codec
import aiokafka.errors
import msgspec
from confluent_kafka.admin import AdminClient

from stretto_connectors.kafka.client import admin, principal
from stretto_connectors.kafka.existing import topic_ids
from stretto_connectors.prometheus import ACTIVE, RESTARTS
from stretto_consumers.lag.look import Observer
from stretto_consumers.lag.monitor.looks import Looks, Observing
from stretto_consumers.lag.monitor.measures import VerdictCollector
from stretto_consumers.lag.monitor.places import ensure_own, places
from stretto_consumers.lag.monitor.recent import skip_what_is_over
from stretto_consumers.lag.monitor.session import Session
from stretto_consumers.lag.monitor.tables import Tables
from stretto_consumers.lag.monitor.web import Web
from stretto_schemas.errors import SettingsError, StrettoError, Unreachable
from stretto_schemas.lag.fresh import judge
from stretto_schemas.lag.view import FollowerView, PipelineView
from stretto_schemas.lag.words import duration
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
STEADY_S = 60.0
"""A session that lasted so long was one, and the next one begins at once."""
SEE_S = 0.2
ASKED_S = 15.0
GONE_S = 5.0
"""How often it is seen whether the topics are still there."""
GONE_ASKED_S = 1.0
"""The end of the process may wait for this answer."""
END_S = 2.0
STALE_S = 15.0
"""A monitor that has not looked for so long, and for three looks, is not ready."""


class Monitor:
    """Looks, judges and tells, and keeps windows of it in Kafka. Several may run on one name: one tells, others stand by."""

    name = "lag"

    def __init__(self, settings: Settings, observer: Callable[[Settings], Observing] = Observer) -> None:
        """Raises SettingsError for what Faust's client cannot do with section [kafka]."""
        check_codec(settings)
        self._settings = settings
        self._places = places(settings)
        self._session: Session | None = None
        self._told_active = False
        """What the last session knew of whose turn it is."""
        self._told_lock = threading.Lock()
        self._alerts_id = ""
        """Of the topic that says what was told; empty: none was seen yet, or it is gone."""
        self._waits = "starting"
        self._restarts = 0
        self._tables: Tables | None = None
        self._unreadable = 0
        self._looks = Looks(settings, self._places, observer(settings), self._active)
        RESTARTS.labels(self.name, settings.source.name)  # shown as 0 from the start
        ACTIVE.labels(self.name, settings.source.name).set_function(lambda: float(self._looks.telling))
        self.status = self._status
        self.summary = self._summary
        self.pages = Web(self._looks, lambda: self._tables).pages

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. Servers that do not answer and topics that are not there yet are waited for.

        Raises SettingsError for rights that are lacking.
        """
        collector = VerdictCollector(lambda: self._looks.view)
        self._looks.start()
        pause_s = FIRST_PAUSE_S
        try:
            while not stop.is_set():
                began = time.monotonic()
                if self._looks.failure is not None:
                    raise self._looks.failure
                try:
                    self._attend(stop)
                except StrettoError as error:
                    if not error.retryable:
                        raise
                    if self._waits != error.found:
                        log.warning("%s; trying again", error.found)
                    self._waits = error.found
                if time.monotonic() - began > STEADY_S:
                    pause_s = FIRST_PAUSE_S
                stop.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        finally:
            self._looks.stop(END_S)
            collector.close()

    def _status(self) -> dict[str, object]:
        """The view as JSON, and what this process itself is about."""
        return {**self._summary(), **self._view()}

    def _summary(self) -> dict[str, object]:
        """For the page at `/`: a line for each follower."""
        view = self._looks.view
        followers = {each.name: f"{each.status}: {each.reason}" for each in view.followers} if view is not None else {}
        return {
            "process": "lag",
            "source": self._settings.source.name,
            "state": self._state(),
            "last_error": self._waits,
            "restarts": self._restarts,
            "follower": followers,
            "wrong": len(self._looks.alert_log.wrong()),
            "unreadable_here": self._unread(),
            "hooks": self._looks.hooks.status(),
        }

    def ready(self, max_lag_s: float | None = None) -> tuple[bool, str]:
        """Looks are taken, and Faust runs or stands by; with `max_lag_s`, also that every follower is as fresh as that."""
        state = self._state()
        if state not in ("running", "standby"):
            return False, f"{state}: {self._waits or 'reading its tables'}"
        looked_at, view = self._looks.looked_at, self._looks.view
        if looked_at is None or view is None:
            return False, "no look yet"
        age_s = time.monotonic() - looked_at
        if age_s > max(STALE_S, 3 * self._settings.lag.look_s):
            return False, f"the last look was {duration(age_s)} ago"
        if max_lag_s is not None:
            for follower in view.followers:
                good, why = fresh(follower, max_lag_s)
                if not good:
                    return False, f"follower {follower.name}: {why}"
        return True, "stand-by: another monitor tells" if state == "standby" else f"last look {duration(age_s)} ago"

    def _attend(self, stop: threading.Event) -> None:
        """One session, from its topics to its end."""
        kafka = self._settings.kafka
        client = admin(kafka, "stretto-lag-admin")
        self._require(self._places.watched, self._ids(client, ASKED_S), "not there yet")
        ensure_own(client, self._settings)
        self._alerts_id = self._ids(client, ASKED_S).get(self._places.alerts, "")
        skip_what_is_over(client, kafka, self._places, self._looks.clock.ask(kafka, self._places.points))
        self._waits = ""
        session = self._session = Session(self._settings, self._places)
        session.start()
        ask_at = time.monotonic() + GONE_S
        try:
            while not stop.is_set() and not session.ended and self._looks.failure is None:
                if time.monotonic() > ask_at:
                    self._see_topics(client)
                    ask_at = time.monotonic() + GONE_S
                self._tables = session.streams.tables if session.streams is not None else self._tables
                stop.wait(SEE_S)
        finally:
            session.stop()
            self._unreadable += session.streams.unreadable if session.streams is not None else 0
            self._session = None
        if session.failure is not None:
            self._restarts += 1
            RESTARTS.labels(self.name, self._settings.source.name).inc()
            raise explain(session.failure, self._settings)

    def _see_topics(self, client: AdminClient) -> None:
        """Topics that were deleted, as by `stretto destroy`: a session would stand by for ever. Brokers that are away took none."""
        try:
            found = self._ids(client, GONE_ASKED_S)
        except StrettoError as error:
            if not error.retryable:
                raise
            return
        self._require(self._places.all, found, "gone")

    def _ids(self, client: AdminClient, timeout_s: float) -> dict[str, str]:
        return topic_ids(client, self._settings.kafka, self._places.all, timeout_s)

    def _require(self, topics: tuple[str, ...], found: dict[str, str], what: str) -> None:
        """That these topics are there. With a topic of alerts that is gone, or was made anew, goes what was told in it."""
        alerts_id = found.get(self._places.alerts, "")
        if self._alerts_id not in ("", alerts_id):
            with self._told_lock:
                if not alerts_id:
                    self._session = None  # it is about to end, and says no more whose turn it is
                self._told_active = False
            self._looks.forget_told()
        self._alerts_id = alerts_id
        missing = [topic for topic in topics if topic not in found]
        if missing:
            raise Unreachable(
                f"topic {' and '.join(missing)} is {what}", fix="run `stretto init`; this is looked for again"
            )

    def _active(self) -> bool:
        with self._told_lock:
            state = self._state()
            if state in ("running", "standby"):
                self._told_active = state == "running"
            return self._told_active

    def _state(self) -> str:
        session = self._session  # which another thread may end meanwhile
        return session.state if session is not None else "waiting"

    def _unread(self) -> int:
        session = self._session
        now = session.streams.unreadable if session is not None and session.streams is not None else 0
        return self._unreadable + now

    def _view(self) -> dict[str, Any]:
        view = self._looks.view or PipelineView(at_us=0, prefix=self._settings.prefix, sources=[], followers=[])
        tree = dict(msgspec.to_builtins(view))
        tree["unreadable"] = max(tree["unreadable"], self._unread())
        return tree


def fresh(follower: FollowerView, max_lag_s: float) -> tuple[bool, str]:
    """Whether a follower's readers see everything up to so long ago, and why."""
    if follower.lag.get("total") is None:
        return False, f"nobody knows its lag, which may be more than {duration(max_lag_s)}"
    return judge(follower.lag, max_lag_s, silent_s=follower.heard_s, heartbeat_s=follower.every_s)


def check_codec(settings: Settings) -> None:
    """Raise SettingsError when capture compresses so that the monitor's client cannot read it."""
    codec = settings.kafka.compression
    if codec in ("none", "gzip") or getattr(aiokafka.codec, f"has_{codec}")():
        return
    raise codec_lacking(codec)


def codec_lacking(codec: str) -> SettingsError:
    """The monitor's Kafka client cannot read compressed records without a package that it does not bring along."""
    return SettingsError(
        f"the lag monitor cannot read records compressed with {codec}: the package cramjam is not installed",
        expected="aiokafka with its codecs, or topics written with gzip or none",
        fix="pip install 'stretto[lag]', which brings it, or set `compression` in section [kafka] to gzip",
    )


def explain(error: BaseException, settings: Settings) -> StrettoError:
    """Why a session ended, in words."""
    if isinstance(error, StrettoError):
        return error
    if isinstance(error, aiokafka.errors.UnsupportedCodecError):
        return codec_lacking("lz4, zstd or snappy")
    place = settings.kafka.bootstrap
    if isinstance(error, _REFUSED):
        named = error.args[0] if error.args else "a topic or group"
        what = named if isinstance(named, str) else ", ".join(sorted(map(str, named)))
        return SettingsError(
            f"Kafka at {place} refused {principal(settings.kafka)} while the monitor's session used {what}:"
            f" {type(error).__name__}",
            expected="the right to read it, and to write what is the monitor's own",
            fix="grant what docs/security.md lists for it, or correct sasl_username",
        )
    said = str(error) or type(error).__name__
    return Unreachable(f"the monitor's session with Kafka at {place} ended: {said}", fix="see the broker's log")


_REFUSED = (
    aiokafka.errors.TopicAuthorizationFailedError,
    aiokafka.errors.GroupAuthorizationFailedError,
    aiokafka.errors.ClusterAuthorizationFailedError,
)
