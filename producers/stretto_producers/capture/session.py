"""One session of capture: from taking over the transactional id to the first error.

The steps, in this order (their numbers stand in the code):

1. `init_transactions()` fences older processes and decides the last transaction's outcome.
2. Read the last committed frontier; check that slot, system and timeline continue it.
3. START_REPLICATION from its `end_lsn`.
4. Group whole source transactions; write the rows, then the frontier, then commit: no flush in between.
5. Only then tell the source that everything up to the frontier's `end_lsn` is safe.

After a crash anywhere the next session begins again at 1; no transaction is lost or written twice, and rows that no
frontier counts are void.
"""

from __future__ import annotations

import json
import logging
import struct
import threading
import time
from typing import Any

from stretto_connectors.failpoints import failpoint
from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.reader import end_offsets, find_frontier, newest_open
from stretto_connectors.kafka.writer import LogRecord, LogWriter, fenced
from stretto_connectors.postgres import pgoutput
from stretto_connectors.postgres.connection import connect
from stretto_connectors.postgres.replication import ReplicationConnection
from stretto_producers.capture.batch import Batch, Sealed
from stretto_producers.capture.committer import Committer
from stretto_producers.capture.encoder import SourceText, TransactionText
from stretto_producers.capture.frontiers import Frontiers
from stretto_producers.capture.lineage import check_lineage, check_partitions, check_publication
from stretto_producers.capture.messages import message_envelope
from stretto_producers.capture.progress import Inside, Progress
from stretto_producers.capture.pulse import HEARTBEAT_PREFIX, Pulse
from stretto_producers.capture.relations import Relations
from stretto_producers.capture.trim import Trimmer
from stretto_schemas import names
from stretto_schemas.errors import Gap, Unsupported
from stretto_schemas.frontier import Frontier, Open, SchemaChange, Truncate, encode_record
from stretto_schemas.repairs import START_OVER
from stretto_schemas.settings import Settings
from stretto_schemas.tables import encode_table, same_shape, schema_key

log = logging.getLogger(__name__)

_head = struct.Struct("!xQ16xBI").unpack_from
"""Of XLogData with a row message: start LSN, the message's kind, the relation's OID. Others are long enough to be read so."""

READ_AT_ONCE = 256
READ_BYTES = 1 << 20
"""What is taken from libpq before looking at anything else; a batch may be larger than its bounds by so much and one row."""

IDLE_WAIT_S = 0.5
COVER_IDLE_S = 10.0
"""An idle source's WAL moves on without publishing anything: a frontier says so this often, so the slot lets go of it."""

VERSION = "0.1.0"


class Session:
    """Owns every connection of one run. Use as a context manager; `run()` returns when `stop` is set."""

    def __init__(self, settings: Settings, progress: Progress, instance: str, *, again: bool) -> None:
        """`instance` names this process in the log; `again`: it had a session before, and another may have taken over."""
        self._instance = instance
        self._again = again
        self._settings = settings
        self._progress = progress
        self._source = settings.source
        self._batch = Batch()
        self._transaction: TransactionText | None = None
        self._begin: Any = None
        self._origin = ""
        self._closers: list[Any] = []
        self._last_status = 0.0
        self._settled_at = 0.0
        self._idle_lsn = 0
        self._outside_lsn = 0
        """End of the newest message outside of transactions (a message's LSN is its end): what is counted must not come again."""
        self._asked = False
        self._last_end_lsn = 0

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        for close in reversed(self._closers):
            close()

    # --- steps 1 to 3 -------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Steps 1 to 3. Raises what is in the way."""
        settings, source, kafka = self._settings, self._source, self._settings.kafka
        writer = LogWriter(
            kafka, names.transactional_id(settings.prefix, source.name), settings.capture.transaction_timeout_s
        )
        self._closers.append(writer.close)
        self._topic = names.transactions_topic(settings.prefix, source.name)
        if self._again:
            self._check_owner()
        writer.init()  # step 1
        failpoint("capture.after_init_transactions")

        found = find_frontier(kafka, self._topic)  # step 2
        if found is None:
            raise Gap(
                f"topic {self._topic} holds no frontier",
                expected="at least the first one, which `stretto init` writes",
                fix="run `stretto init` on a source that was never captured; an emptied topic means a new start: "
                f"{START_OVER}",
            )
        last = found[0]
        stream = ReplicationConnection(source.dsn, source.password, application="stretto-capture")
        self._closers.append(stream.close)
        sql = connect(source.dsn, source.password, application="stretto-catalog")
        self._closers.append(sql.close)
        identity = stream.identify()
        check_lineage(last, identity, stream, sql, source)
        client = admin(kafka)
        self._relations = Relations(settings, client, sql, self._batch.tally)
        full = find_frontier(kafka, self._topic, lambda frontier: frontier.offsets is not None)
        if full is not None:
            check_partitions(full[0], self._relations.counts)
        published = check_publication(source.publication, full[0].publication if full else None, sql)
        ends = end_offsets(client, kafka, self._relations.row_partitions)
        self._frontiers = Frontiers(last, identity.timeline, ends, published, settings.capture.full_frontier_s)

        self._stream = stream
        self._start(last.end_lsn)  # step 3
        self._fixed = SourceText(VERSION, f"{settings.prefix}.{source.name}", identity.database, last.epoch)
        self._pulse = Pulse(source, settings.capture.heartbeat_s, published)
        self._closers.append(self._pulse.close)
        self._closers.append(Trimmer(settings, self._topic).close)
        self._committer = Committer(writer, self._opening, self._closing)
        self._closers.append(self._committer.close)
        self._received = self._flushed = last.end_lsn
        self._progress.opened(last, self._pulse, self._inside)
        self._send_status()
        log.info("capturing from %s on, slot %s", identity.database, source.slot_name)

    def _inside(self) -> Inside:
        transaction = self._transaction
        if transaction is None:
            return Inside(self._batch.rows)
        return Inside(self._batch.rows, self._begin.xid, transaction.order)

    def _check_owner(self) -> None:
        """An error may have been another capture's doing: do not fence it in turn."""
        last = newest_open(self._settings.kafka, self._topic)
        if last is not None and last.instance and last.instance != self._instance:
            raise fenced()

    def _start(self, end_lsn: int) -> None:
        version = self._stream.server_version()
        publication = self._source.publication.replace('"', '""')
        options = {"publication_names": f'"{publication}"', "messages": "true"}
        options["proto_version"] = "4" if version >= 160000 else "3" if version >= 150000 else "2"
        if version >= 160000:
            options["origin"] = "any"
        self._stream.start(self._source.slot_name, end_lsn, options)

    # --- step 4 -------------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Read, group, write, until `stop`. Whole transactions that wait are written before it returns."""
        self._seal(now=time.monotonic())
        capture = self._settings.capture
        stream, batch, committer = self._stream, self._batch, self._committer
        while not stop.is_set():
            if self._pulse.failure is not None:
                raise self._pulse.failure
            messages = stream.read(READ_AT_ONCE, READ_BYTES)
            self._handle(messages)
            now = time.monotonic()
            self._harvest()
            if batch.rows >= capture.batch_rows or batch.size >= capture.batch_bytes:
                self._await_committer()
                self._seal(now)
            elif stream.drained:
                if not committer.busy and self._worth_a_frontier(now):
                    if now >= self._settled_at:
                        self._seal(now)
                    else:
                        stream.wait(self._settled_at - now)
                elif not messages:
                    stream.wait(IDLE_WAIT_S, committer.fd)
            if now - self._last_status >= capture.status_s:
                self._send_status()
        self._finish()

    def _finish(self) -> None:
        self._await_committer()
        if self._transaction is None and self._batch.complete:
            self._seal(time.monotonic())
            self._await_committer()
        self._send_status()

    def _worth_a_frontier(self, now: float) -> bool:
        """Idle and something to say: nothing waits for more to come."""
        if self._transaction is not None:
            return False
        if self._batch.complete:
            return True
        ahead = self._idle_lsn > self._frontiers.newest.end_lsn
        return ahead and (self._asked or now - self._frontiers.made_at >= COVER_IDLE_S)

    def _await_committer(self) -> None:
        """Block until the batch in flight is committed. The source is told that we live, but nothing is read meanwhile:

        what it goes on sending waits in its own buffers, not in ours.
        """
        while self._committer.busy:
            self._committer.wait(IDLE_WAIT_S)
            self._harvest()
            if time.monotonic() - self._last_status >= self._settings.capture.status_s:
                self._send_status()

    def _seal(self, now: float) -> None:
        """Hand what waits to the committer: with a frontier when a whole transaction (or nothing at all) waits."""
        batch = self._batch
        inside = self._transaction is not None
        if inside:
            batch.note_open()
        frontier = None if inside and not batch.complete else self._make_frontier(now)
        sealed = batch.seal(self._relations.all_partitions(), frontier)
        if frontier is not None:
            relations = self._relations
            relations.new_partitions = self._frontiers.name_starts(frontier, relations.new_partitions)
        self._committer.submit(sealed)
        self._progress.sealed(sealed.rows)

    def _make_frontier(self, now: float) -> Frontier:
        reached = self._outside_lsn if self._transaction is not None else max(self._outside_lsn, self._idle_lsn)
        self._asked = False
        return self._frontiers.make(self._batch, reached, self._pulse.published, now, self._pulse.source_at_least_us)

    def _opening(self) -> list[LogRecord]:
        """The `Open` record, before a Kafka transaction's first row."""
        return [
            (
                self._topic,
                encode_record(Open(self._source.name, self._frontiers.newest.epoch, self._instance)),
                self._source.name.encode(),
                0,
            )
        ]

    def _closing(self, sealed: Sealed) -> list[LogRecord]:
        """Shapes and the frontier, after its last row."""
        last = list(sealed.shapes)
        if sealed.frontier is not None:
            last.append((self._topic, encode_record(sealed.frontier), self._source.name.encode(), 0))
        return last

    # --- step 5 -------------------------------------------------------------------------------------------------------

    def _harvest(self) -> None:
        """Take in a committed batch and acknowledge it."""
        written = self._committer.take()
        if written is None:
            return
        frontier = written.sealed.frontier
        self._settled_at = written.settled_at
        self._frontiers.committed(written.sealed, written.offsets)
        if frontier is not None:
            failpoint("capture.before_status")
            self._flushed = frontier.end_lsn
            self._progress.committed(frontier, written)
            self._send_status()
        else:
            self._progress.part(written)
            failpoint("capture.between_parts")

    def _send_status(self) -> None:
        received = max(self._received, self._flushed)
        self._stream.send(pgoutput.status_update(received, self._flushed, 0, time.time_ns() // 1000))
        self._last_status = time.monotonic()

    # --- messages of the stream ---------------------------------------------------------------------------------------

    def _handle(self, messages: list[memoryview]) -> None:
        encoders = self._relations.encoders
        for message in messages:
            if message[0] != 0x77:  # not XLogData
                self._keepalive(message)
                continue
            lsn, kind, relid = _head(message)
            if kind != 0x49 and kind != 0x55 and kind != 0x44:  # no Insert, Update or Delete
                self._other(pgoutput.decode(bytes(message[25:])), lsn)
                continue
            transaction, encoder = self._transaction, encoders.get(relid)
            if transaction is None or encoder is None:
                raise Unsupported(
                    f"a row message names relation {relid} outside of a transaction or without its Relation message",
                    expected="Begin, Relation, then rows",
                    fix="report this server's version",
                )
            if kind == 0x49:
                encoder.insert(message, 31, lsn, transaction)
            elif kind == 0x55:
                encoder.update(message, 30, lsn, transaction)
            else:
                encoder.delete(message, 30, lsn, transaction)

    def _other(self, message: Any, lsn: int) -> None:
        match message:
            case pgoutput.Begin():
                self._begin = message
                self._origin = ""
                self._progress.began(message.commit_ts_us)
                self._transaction = TransactionText(
                    self._fixed,
                    message.xid,
                    message.final_lsn,
                    message.commit_ts_us,
                    self._last_end_lsn,
                    time.time_ns(),
                )
            case pgoutput.Commit():
                self._batch.commit(
                    self._begin.xid, message.commit_lsn, message.end_lsn, message.commit_ts_us, self._origin
                )
                self._transaction = None
                self._last_end_lsn = message.end_lsn
                self._received = self._idle_lsn = max(self._idle_lsn, message.end_lsn)
                self._progress.received(message.end_lsn, message.commit_ts_us)
            case pgoutput.Relation():
                self._relation(message, lsn)
            case pgoutput.Origin():
                self._origin = message.name
                if self._transaction is not None:
                    self._transaction.set_origin(message.name, message.commit_lsn)
            case pgoutput.Truncate():
                self._truncate(message)
            case pgoutput.LogicalMessage():
                self._message(message)
            case pgoutput.Type():
                pass  # the catalog names types
            case _:
                raise Unsupported(
                    f"the source sent {type(message).__name__}",
                    expected="whole transactions: neither streaming nor two-phase was asked for",
                    fix="report this server's version",
                )

    def _relation(self, message: pgoutput.Relation, lsn: int) -> None:
        table, before = self._relations.see(message, lsn)
        transaction = self._transaction
        if transaction is None:
            raise Unsupported("a Relation message came outside of a transaction", fix="report this server's version")
        if before is not None and same_shape(table, before):
            return
        had = {column.name for column in before.columns} if before else set()
        has = {column.name for column in table.columns}
        dropped, added = sorted(had - has), sorted(has - had) if before else []
        self._batch.add_barrier(SchemaChange(self._begin.final_lsn, transaction.order, table, dropped, added))
        topic = names.schema_topic(self._settings.prefix, self._source.name)
        self._batch.add_shape((topic, encode_table(table), schema_key(table), 0))

    def _truncate(self, message: pgoutput.Truncate) -> None:
        assert self._transaction is not None, "pgoutput sends Truncate inside a transaction"
        tables = [self._relations.encoders[relid].table for relid in message.relids]
        self._batch.add_barrier(
            Truncate(
                self._begin.final_lsn,
                self._transaction.order,
                [(table.schema, table.name) for table in tables],
                message.cascade,
                message.restart_identity,
            )
        )

    def _message(self, message: pgoutput.LogicalMessage) -> None:
        if message.prefix == HEARTBEAT_PREFIX:
            clock = self._pulse.own_heartbeat(message.content)
            if clock is not None:
                self._batch.heartbeat_us = clock
                self._progress.heartbeat(message.lsn, clock)
            if self._transaction is None:
                self._received = self._idle_lsn = max(self._idle_lsn, message.lsn)
                self._progress.received(message.lsn, 0)
            return
        transaction = self._transaction if message.transactional else None
        [rows] = self._relations.partitions_of(self._relations.message_topic, partitions=1)
        if transaction is None:
            self._last_end_lsn = message.lsn
        value = message_envelope(self._fixed, transaction, message, self._last_end_lsn, time.time_ns())
        key = json.dumps({"prefix": message.prefix}, ensure_ascii=False, separators=(",", ":")).encode()
        rows.append((value, key))
        if transaction is None:
            self._batch.add_outside(rows, len(value))
            self._outside_lsn = message.lsn
        else:
            self._batch.tally.add(rows, len(value))

    def _keepalive(self, message: memoryview) -> None:
        beat = pgoutput.keepalive(bytes(message))
        if self._transaction is None:
            self._idle_lsn = max(self._idle_lsn, beat.end_lsn)
            self._received = max(self._received, beat.end_lsn)
            self._progress.received(beat.end_lsn, 0)
        if beat.reply_requested:
            self._asked = True
            self._send_status()
