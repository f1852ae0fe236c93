"""The follower process: sessions, one after another, until it is told to stop or going on would lose data."""

from __future__ import annotations

import logging
import threading

import psycopg

from stretto_connectors.kafka.group_lag import GroupLagCollector
from stretto_connectors.postgres.connection import explain, where
from stretto_connectors.prometheus import FollowerCollector, LagCollector
from stretto_consumers.follower.accounting import Batch, describe
from stretto_consumers.follower.progress import Progress
from stretto_consumers.follower.session import Session
from stretto_schemas import names
from stretto_schemas.errors import Divergence, RowRefused, SettingsError, StrettoError, Unsupported
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.2


class Follower:
    """Keeps one database equal to a source. Several may run on one name: one applies, the others stand by."""

    name = "follower"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._progress = Progress(settings)
        self.status = self._progress.status
        LagCollector.register(settings.source.name, settings.follower.name, self._progress.lag)
        FollowerCollector.register(self._progress.record)
        if settings.metrics.consumergroup_lag:
            group = names.consumer_group(settings.prefix, settings.source.name, settings.follower.name)
            GroupLagCollector.register(settings.kafka, group, self._progress.offsets)

    def ready(self, max_lag_s: float | None = None) -> tuple[bool, str]:
        """Whether it makes progress and, when `max_lag_s` is given, a reader of the follower sees everything up to so long ago."""
        good, why = self._progress.ready()
        if max_lag_s is None or not good:
            return good, why
        return self._progress.fresh(max_lag_s, self._settings.capture.heartbeat_s)

    def run(self, stop: threading.Event) -> None:
        """Apply until `stop` is set. Servers that do not answer are waited for; raises what waiting does not heal."""
        pause_s, careful_until = FIRST_PAUSE_S, 0
        while not stop.is_set():
            session = Session(self._settings, self._progress, careful_until)
            try:
                with session:
                    if not session.open(stop):
                        return
                    session.run(stop)
            except (Unsupported, Divergence) as error:
                # All before it may be applied: the batch is taken again transaction by transaction, up to what halts.
                if session.reached <= careful_until:
                    raise
                careful_until = session.reached
                log.warning("%s; applying what comes before it", error.found)
                continue
            except StrettoError as error:
                failure = error
            except psycopg.errors.InsufficientPrivilege as error:
                raise lacking_right(error) from None
            except psycopg.Error as error:
                if may_heal(error):
                    failure = explain(error, where(self._settings.follower.dsn))
                elif session.reached <= careful_until:
                    raise refused(error, session.batch) from None
                else:
                    careful_until = session.reached
                    log.warning("PostgreSQL refused a batch (%s); looking for the transaction", error.sqlstate)
                    continue
            else:
                return
            if not failure.retryable:
                raise failure
            if session.applied_something:
                pause_s = FIRST_PAUSE_S
            log.warning("%s; trying again in %.1f s", failure.found, pause_s)
            self._progress.restarting(failure.found)
            del failure  # its traceback would keep the old session
            stop.wait(pause_s)
            pause_s = min(pause_s * 2, self._settings.follower.retry_max_s)


def may_heal(error: psycopg.Error) -> bool:
    """True when the server's state is in the way, and not what it was asked to store.

    That it is read-only, a standby not promoted yet, is no OperationalError of psycopg's. A program limit (class 54) is
    one, but a row too long for an index stays too long.
    """
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return True
    return isinstance(error, psycopg.OperationalError) and not (error.sqlstate or "").startswith("54")


def lacking_right(error: psycopg.Error) -> SettingsError:
    """The follower's role may not do what applying needs."""
    return SettingsError(
        f"the follower's role lacks a right: {error.diag.message_primary}",
        expected="the grants listed in docs/security.md",
        fix="grant them to the role of section [follower], then start again; `stretto doctor` checks them",
    )


def refused(error: psycopg.Error, batch: Batch | None) -> RowRefused:
    """What PostgreSQL refused, without the values that its own message and detail may hold."""
    diag = error.diag
    which = (
        describe(batch.transactions[0]) if batch is not None and batch.transactions else "a batch without transactions"
    )
    parts = [
        f"{kind} {name}"
        for kind, name in (
            ("table", diag.table_name),
            ("column", diag.column_name),
            ("constraint", diag.constraint_name),
        )
        if name
    ]
    where_ = f" ({', '.join(parts)})" if parts else ""
    return RowRefused(
        f"PostgreSQL refused {which}: {type(error).__name__}, SQLSTATE {error.sqlstate}{where_}",
        expected="a follower with the source's tables and constraints, which nobody else writes",
        fix="see the follower's log for the row, mend the table there, then start again; all before it is applied, nothing after",
    )
