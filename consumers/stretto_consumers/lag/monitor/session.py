"""One run of the Faust application, in a thread and an event loop of its own.

Faust's worker would take signals, logging and the process's exit for itself. Here it is a part that may fail: whoever
started the session asks `failure` and begins another one.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from faust import App
from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from stretto_consumers.lag.monitor import committed, tables
from stretto_consumers.lag.monitor.places import Places
from stretto_consumers.lag.monitor.streams import Streams, application
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

LOOK_S = 0.2
"""How often it is seen whether this monitor is the active one, and whether Faust gave up."""
STOP_S = 5.0
"""After this long Faust is left where it stands: all that counts is in Kafka."""
FOREIGN = ("faust", "mode", "aiokafka", "asyncio", committed.__name__, tables.__name__)
"""Loggers of Faust and its libraries, and those that its classes name after the modules of ours that extend them."""


class Session:
    """Running from `start` until `stop` or a failure. `state` may be read from any thread."""

    def __init__(self, settings: Settings, found: Places) -> None:
        self.state = "starting"
        """starting, recovering its tables, running, or standby: another monitor of the group has the topics."""
        self.failure: BaseException | None = None
        self.streams: Streams | None = None
        self._settings = settings
        self._places = found
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faust", daemon=True)

    @property
    def ended(self) -> bool:
        """It runs no more."""
        return not self._thread.is_alive()

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End it, within seconds."""
        self._stop.set()
        self._thread.join(2 * STOP_S)

    def _run(self) -> None:
        hush()
        try:
            with tempfile.TemporaryDirectory(prefix="stretto-lag-") as scratch:
                data_dir = self._settings.lag.data_dir or Path(scratch)
                _run_until_complete(self._serve(data_dir))
        except Exception as error:  # noqa: BLE001 - whatever Faust raises is told by who started the session
            self.failure = error
        finally:
            self.state = "ended"

    async def _serve(self, data_dir: Path) -> None:
        app = application(self._settings, self._places, data_dir)
        self.streams = Streams(app, self._places, self._settings.source.name)
        starting = asyncio.ensure_future(app.start())
        try:
            while not self._stop.is_set() and not app.should_stop:
                if starting.done():
                    starting.result()
                if self.streams.failure is not None:
                    raise self.streams.failure
                self.state = self._see(app)
                await asyncio.sleep(LOOK_S)
            if app.crash_reason is not None:
                raise app.crash_reason
        finally:
            self.state = "ended"
            await _end(app, starting)

    def _see(self, app: App) -> str:
        """What this monitor is right now."""
        try:
            mine = TP(self._places.points, 0) in app.consumer.assignment()
        except ConsumerNotStarted:
            return "starting"
        if app.rebalancing or app.consumer_generation_id <= 0:  # a group's first generation is 1
            return "starting"
        if not mine:
            return "standby"
        return "running" if app.tables.actives_ready else "recovering"


async def _end(app: App, starting: asyncio.Future[None]) -> None:
    with suppress(Exception):  # it is over; what went wrong was told before
        await asyncio.wait_for(app.consumer.commit(), STOP_S / 2)
    with suppress(Exception):
        await asyncio.wait_for(app.stop(), STOP_S)
    if not starting.done():
        starting.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await starting


def _run_until_complete(work: object) -> None:
    """asyncio.run, but for tasks that do not end when they are cancelled: Faust's may wait for a broker that is gone."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(lambda _, context: log.debug("Faust: %s", context.get("message")))
    try:
        loop.run_until_complete(work)  # type: ignore[arg-type]
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=STOP_S / 2))
        asyncio.set_event_loop(None)
        loop.close()


class _Quiet(logging.Handler):
    """Faust speaks of every broker that is away in tracebacks: here it does in one line each, for those who debug."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it as our own, and no louder."""
        log.debug("%s: %s", record.name, record.getMessage().partition("\n")[0])


def hush() -> None:
    """Take what Faust and its libraries log. What matters of it is a session's `failure`."""
    for name in FOREIGN:
        logger = logging.getLogger(name)
        logger.propagate = False
        if not any(isinstance(handler, _Quiet) for handler in logger.handlers):
            logger.handlers = [_Quiet()]
