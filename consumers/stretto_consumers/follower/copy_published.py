"""`stretto follower add` tells `<prefix>.followers` how far it is, beside whomever else it tells.

1. The first stage is the check, before which another process may be this follower: nothing is published until the second.
2. A record when something has changed, at most every `AT_MOST_EVERY_S`, and one every `publish_s` while nothing does.
3. Each says when the copy last went on, what it waits for, and who holds a lock that it waits for.
4. What cannot be published is said once and never ends the copy.
5. The last record: where the follower stands and that nobody applies yet, or why the copy failed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import confluent_kafka
import psycopg

from stretto_connectors.kafka.client import client_options, drop, explain
from stretto_connectors.postgres.bookkeeping import read_position
from stretto_connectors.postgres.connection import connect
from stretto_consumers.follower.add_progress import PlannedTable, ProgressSink
from stretto_consumers.follower.copy_lookout import LONG_S, CopyLookout
from stretto_consumers.follower.copy_share import CopyShare
from stretto_consumers.follower.fit import first_session_name
from stretto_schemas import names
from stretto_schemas.errors import StrettoError
from stretto_schemas.follower_state import FollowerState, encode_state, state_key
from stretto_schemas.position import Position
from stretto_schemas.settings import Settings

AT_MOST_EVERY_S: Final = 0.5
FLUSH_S: Final = 2.0

NOWHERE: Final = Position("", 0, 0, 0, 0, 0, -1, {})
"""Where a follower stands before its copy is done."""


@contextmanager
def published(settings: Settings, shown: ProgressSink) -> Iterator[ProgressSink]:
    """A sink for `add_follower` that tells `shown` and Kafka, until the block ends."""
    sink = PublishedCopy(settings, shown)
    try:
        yield sink
    except BaseException as error:
        sink.close(_words(error))
        raise
    sink.close(None)


def _words(error: BaseException) -> str:
    """The first line; of what is no error of ours its name only, for nobody knows what it says."""
    return error.found.splitlines()[0] if isinstance(error, StrettoError) else f"ended by {type(error).__name__}"


class PublishedCopy:
    """Told by several threads; publishes from one of its own."""

    def __init__(self, settings: Settings, shown: ProgressSink) -> None:
        self._settings = settings
        self._shown = shown
        self._topic = names.followers_topic(settings.prefix)
        self._lock = threading.Lock()
        self._share = CopyShare()
        self._said = ""
        self._waits = False
        self._stages = 0
        self._went_on_at = time.monotonic()
        self._lookout = CopyLookout(settings, self._stands_s)
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._refused = False
        self._producer: confluent_kafka.Producer | None = None
        self._thread = threading.Thread(target=self._run, name="copy-publisher", daemon=True)

    # --- the sink -----------------------------------------------------------------------------------------------------

    def stage(self, text: str) -> None:
        """Publish the stage's words."""
        self._shown.stage(text)
        with self._lock:
            self._said, self._waits, self._stages = text, False, self._stages + 1
        if self._stages == 2:
            self._thread.start()  # rule 1
            self._lookout.start()
        self._went_on()

    def note(self, text: str) -> None:
        """Not published."""
        self._shown.note(text)

    def waiting(self, text: str) -> None:
        """Publish these words in place of the stage's; the copy does not go on by them."""
        self._shown.waiting(text)
        with self._lock:
            self._said, self._waits = text, True
        self._changed.set()

    def planned(self, tables: Sequence[PlannedTable]) -> None:
        """Publish what is to be copied."""
        self._shown.planned(tables)
        with self._lock:
            self._share.planned(tables)
        self._went_on()

    def copied(self, table: str, rows: int, text_bytes: int) -> None:
        """Publish how far the table is."""
        self._shown.copied(table, rows, text_bytes)
        with self._lock:
            self._share.copied(table, rows)
        self._went_on()

    def finished(self, table: str, rows: int) -> None:
        """Publish that the table is done."""
        self._shown.finished(table, rows)
        with self._lock:
            self._share.finished(table, rows)
        self._went_on()

    # --- publishing ---------------------------------------------------------------------------------------------------

    def _stands_s(self) -> float:
        return time.monotonic() - self._went_on_at

    def _went_on(self) -> None:
        self._went_on_at = time.monotonic()
        self._changed.set()

    def close(self, failure: str | None) -> None:
        """Rule 5. `failure` None: the copy is done."""
        self._lookout.close()
        self._stop.set()
        self._changed.set()
        if self._stages < 2:
            return
        self._thread.join()
        if self._producer is None:
            return
        if failure is None:
            self._publish(self._state("copying", copied=1.0))
            self._publish(self._state("stopped", copied=1.0, position=self._position()))
        else:
            self._publish(self._state("stopped", said=failure))
        with suppress(confluent_kafka.KafkaException):  # it was said before
            if self._producer.flush(FLUSH_S):
                self._not_taken(f"Kafka at {self._settings.kafka.bootstrap} took no record for {FLUSH_S:g} s")
        drop(self._producer)

    def _run(self) -> None:
        try:
            self._producer = confluent_kafka.Producer(
                {
                    **client_options(self._settings.kafka, "stretto-add"),
                    "enable.idempotence": False,  # a refused record would be a fatal error for it
                    "max.in.flight.requests.per.connection": 1,
                    "acks": "all",
                    "linger.ms": 0,
                    "message.timeout.ms": 10_000,
                }
            )
        except (confluent_kafka.KafkaException, StrettoError) as error:
            self._not_taken(str(error))
            return
        while not self._stop.is_set():  # rule 2
            self._changed.clear()
            self._publish(self._state("copying"))
            self._stop.wait(AT_MOST_EVERY_S)
            self._changed.wait(max(0.0, self._settings.follower.publish_s - AT_MOST_EVERY_S))

    def _state(
        self, state: str, *, copied: float | None = None, said: str | None = None, position: Position = NOWHERE
    ) -> FollowerState:
        with self._lock:
            now_us, stands_s = time.time_ns() // 1000, self._stands_s()
            return FollowerState(
                follower=self._settings.follower.name,
                source=self._settings.source.name,
                epoch=position.epoch,
                term=position.term,
                end_lsn=position.end_lsn,
                commit_ts_us=position.commit_ts_us,
                visible_ts_us=now_us,
                transactions=position.transactions,
                rows=position.rows,
                heartbeat_us=position.heartbeat_us,
                published_us=now_us,
                every_s=self._settings.follower.publish_s,
                state=state,
                said=self._said if said is None else said,
                delay_s=self._settings.follower.apply_delay_s,
                budget_s=self._settings.follower.lag_budget_s,
                copied=self._share.share if copied is None else copied,
                copying=self._share.waiting,
                added_us=now_us - round(stands_s * 1e6),
                waits=self._waits and state == "copying",
                blocked_by=self._lookout.blocked_by if stands_s >= LONG_S else "",
            )

    def _position(self) -> Position:
        """Where the follower stands now; it was written just before."""
        follower, source = self._settings.follower, self._settings.source.name
        with (
            suppress(StrettoError, psycopg.Error),
            connect(follower.dsn, follower.password, application=first_session_name(source)) as conn,
        ):
            return read_position(conn, source) or NOWHERE
        return NOWHERE

    def _publish(self, state: FollowerState) -> None:
        assert self._producer is not None, "made before the first record"
        try:
            self._producer.poll(0)
            key = state_key(state.follower, state.source)
            self._producer.produce(self._topic, encode_state(state), key, on_delivery=self._delivered)
        except confluent_kafka.KafkaException as error:
            self._refused_by(error.args[0])
        except BufferError:
            pass  # many wait for a broker that does not answer; the first that is given up says so

    def _delivered(self, error: confluent_kafka.KafkaError | None, _: confluent_kafka.Message) -> None:
        if error is not None and not self._refused:  # what is dropped at the end was told of before
            self._refused_by(error)

    def _refused_by(self, error: confluent_kafka.KafkaError) -> None:
        reason = confluent_kafka.KafkaException(error)
        self._not_taken(str(explain(reason, self._settings.kafka, f"publishing to {self._topic}")))

    def _not_taken(self, why: str) -> None:
        """Rule 4."""
        if not self._refused:
            self._refused = True
            self._shown.note(f"how far the copy is, is not published: {'; '.join(why.splitlines())}")
