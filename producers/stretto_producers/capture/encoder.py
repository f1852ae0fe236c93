"""From pgoutput's row messages to records of the log: the hottest path of capture.

One pass over a message reads its lengths and writes JSON. The message is seen as latin-1 text, one character a byte, so
slices need no decoding and UTF-8 passes through untouched: escaping looks at ASCII characters only. What is the same for
a whole relation or transaction is joined beforehand. `stretto_schemas.envelope.json_value` says the same slowly.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from json.encoder import encode_basestring
from zlib import crc32

from stretto_connectors.kafka.writer import RowRecord
from stretto_schemas.envelope import NEW_KEY, OLD_KEY, PLACEHOLDER, TOTAL_ORDER, TRANSACTION_ID, UNCHANGED, float_json
from stretto_schemas.errors import Unsupported
from stretto_schemas.tables import Kind, Table

_u32 = struct.Struct("!I").unpack_from
_escape = encode_basestring
_PLACEHOLDER_JSON = f'"{PLACEHOLDER}"'

Buffer = memoryview | bytes


def _boolean(text: str) -> str:
    return "true" if text == "t" else "false"


_WRITERS: dict[Kind, Callable[[str], str] | None] = {
    Kind.NUMBER: None,  # the server's own digits
    Kind.STRING: _escape,
    Kind.BOOLEAN: _boolean,
    Kind.FLOAT: float_json,
}


def latin1(text: str) -> str:
    """Text as the encoder keeps it: one character per UTF-8 byte."""
    return text.encode().decode("latin-1")


class PartitionRows:
    """Records of one partition that wait for their Kafka transaction."""

    __slots__ = ("append", "open", "partition", "rows", "topic")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.rows: list[RowRecord] = []
        self.append = self.rows.append
        self.open = 0
        """Records of the open source transaction, also those of earlier Kafka transactions."""

    def take(self) -> list[RowRecord]:
        """Hand the records over and start an empty list."""
        rows = self.rows
        self.rows = []
        self.append = self.rows.append
        return rows


class Tally:
    """Counts what encoders append: records and bytes that wait, partitions that the open source transaction touched."""

    __slots__ = ("rows", "size", "touched")

    def __init__(self) -> None:
        self.rows = 0
        self.size = 0
        self.touched: list[PartitionRows] = []

    def add(self, rows: PartitionRows, size: int) -> None:
        """Count a record that was appended to `rows` for the open source transaction."""
        if not rows.open:
            self.touched.append(rows)
        rows.open += 1
        self.rows += 1
        self.size += size


class TransactionText:
    """The parts of an envelope that are the same for all changes of one source transaction."""

    __slots__ = ("_epoch", "end_source", "id", "order", "rel_end", "row_lsn", "source", "times", "total")

    def __init__(
        self, fixed: SourceText, xid: int, commit_lsn: int, commit_ts_us: int, last_end_lsn: int, now_ns: int
    ) -> None:
        self.id = f"{xid}:{commit_lsn}"
        last = f'\\"{last_end_lsn}\\"' if last_end_lsn else "null"
        self.source = f'{fixed.head}{commit_ts_us // 1000}{fixed.middle}{last},\\"'
        self.times = f'\\"]","ts_us":{commit_ts_us},"ts_ns":{commit_ts_us}000'
        self.row_lsn = f',"txId":{xid},"lsn":'
        self._epoch = fixed.epoch
        self.set_origin(None, 0)
        self.rel_end = f',"ts_ms":{now_ns // 1_000_000},"ts_us":{now_ns // 1000},"ts_ns":{now_ns}}}'
        self.order = 0

    def set_origin(self, name: str | None, lsn: int) -> None:
        """The transaction was written under a replication origin (its LSN there), or None: written there first."""
        origin = "null" if name is None else latin1(_escape(name))
        self.end_source = (
            f',"xmin":null,"origin":{origin},"origin_lsn":{"null" if name is None else lsn},"epoch":{self._epoch}}}'
        )
        self.total = f'{self.end_source},"transaction":{{"id":"{self.id}","total_order":'


class SourceText:
    """The parts of `source` that are the same for one capture."""

    __slots__ = ("epoch", "head", "middle")

    def __init__(self, version: str, name: str, database: str, epoch: int) -> None:
        self.head = f',"source":{{"version":{_escape(version)},"connector":"postgresql","name":{_escape(name)},"ts_ms":'
        self.middle = f',"snapshot":"false","db":{latin1(_escape(database))},"sequence":"['
        self.epoch = epoch


class RelationEncoder:
    """Writes the records of one version of one table."""

    __slots__ = (
        "_before_lsn",
        "_before_total",
        "_between_lsns",
        "_columns",
        "_end",
        "_first_key",
        "_key",
        "_key_head",
        "_key_row",
        "_row",
        "_table",
        "_tally",
        "_width",
        "_writers",
        "count",
        "counted",
        "counted_in",
        "partitions",
        "relid",
        "table",
    )

    def __init__(
        self,
        relid: int,
        table: Table,
        partitions: list[PartitionRows],
        tally: Tally,
        before: RelationEncoder | None = None,
    ) -> None:
        """`before` wrote the version until now: within a transaction its rows go on being counted."""
        self.relid = relid
        self._tally = tally
        self.table = table
        self.partitions = partitions
        self.count = len(partitions)
        self._columns = tuple(column.name for column in table.columns)
        self._writers = tuple(_WRITERS[column.kind] for column in table.columns)
        self._width = len(table.columns).to_bytes(2, "big").decode("latin-1")
        names = [latin1(_escape(name)).replace("%", "%%") for name in self._columns]
        self._row = "{" + ",".join(f"{name}:%s" for name in names) + "}"
        self._key = tuple(self._columns.index(name) for name in table.key)
        self._key_row = "{" + ",".join(f"{names[index]}:%s" for index in self._key) + "}"
        self._key_head = f"{{{latin1(_escape(self._columns[self._key[0]]))}:" if len(self._key) == 1 else ""
        self._first_key = self._key[0] if self._key else 0
        self._table = f',"schema":{latin1(_escape(table.schema))},"table":{latin1(_escape(table.name))}'
        self.counted_in: TransactionText | None = None
        self.counted = 0
        if before is not None and before.counted_in is not None:
            self._begin(before.counted_in)
            self.counted = before.counted

    def _read(self, buf: Buffer, text: str, pos: int) -> tuple[list[str], int, list[int] | None]:
        """JSON of each value of the tuple at `pos`, the place after it, and the columns that were not sent."""
        if text[pos : pos + 2] != self._width:
            raise self._other_width(buf, pos)
        values: list[str] = []
        append = values.append
        unchanged: list[int] | None = None
        pos += 2
        for write in self._writers:
            mark = text[pos]
            if mark == "t":
                start = pos + 5
                pos = start + _u32(buf, pos + 1)[0]
                append(text[start:pos] if write is None else write(text[start:pos]))
            elif mark == "n":
                append("null")
                pos += 1
            elif mark == "u":
                if unchanged is None:
                    unchanged = []
                unchanged.append(len(values))
                append(_PLACEHOLDER_JSON)
                pos += 1
            else:
                raise Unsupported(
                    f"column {len(values) + 1} of a row of {self.table.qualified} is in form {mark!r}",
                    expected="text (t), null (n) or unchanged (u)",
                    fix="report this server's version: capture asks for text only",
                )
        return values, pos, unchanged

    def _other_width(self, buf: Buffer, pos: int) -> Unsupported:
        return Unsupported(
            f"a row of {self.table.qualified} has {buf[pos] << 8 | buf[pos + 1]} columns",
            expected=f"{len(self._writers)}, as its Relation message said",
            fix="report this server's version",
        )

    def _key_of(self, values: list[str]) -> str:
        if self._key_head:
            return f"{self._key_head}{values[self._first_key]}}}"
        if self._key:
            return self._key_row % tuple([values[index] for index in self._key])
        return self._row % tuple(values)

    def insert(self, buf: Buffer, pos: int, lsn: int, transaction: TransactionText) -> None:
        """Append the record of an Insert; `pos` is that of its tuple. What `_emit` does, inlined: most rows come here."""
        values, _, _ = self._read(buf, str(buf, "latin-1"), pos)
        if self.counted_in is not transaction:
            self._begin(transaction)
        self.counted = order = self.counted + 1
        transaction.order = total = transaction.order + 1
        key = (f"{self._key_head}{values[self._first_key]}}}" if self._key_head else self._key_of(values)).encode(
            "latin-1"
        )
        value = (
            f'{{"before":null,"after":{self._row % tuple(values)}{self._before_lsn}{lsn}{self._between_lsns}{lsn}'
            f'{self._before_total}{total},"data_collection_order":{order}}},"op":"c"{self._end}'
        ).encode("latin-1")
        rows = self.partitions[crc32(key) % self.count]
        rows.append((value, key))
        tally = self._tally
        if not rows.open:
            tally.touched.append(rows)
        rows.open += 1
        tally.rows += 1
        tally.size += len(value)

    def _begin(self, transaction: TransactionText) -> None:
        """The first row of this relation in a source transaction: join what is the same for all of them."""
        self.counted_in = transaction
        self.counted = 0
        self._before_lsn = transaction.source
        self._between_lsns = f"{transaction.times}{self._table}{transaction.row_lsn}"
        self._before_total = transaction.total
        self._end = transaction.rel_end

    def update(self, buf: Buffer, pos: int, lsn: int, transaction: TransactionText) -> None:
        """Append the records of an Update: one, or three when the key changed (delete, tombstone, insert)."""
        text = str(buf, "latin-1")
        old: list[str] | None = None
        kind = text[pos]
        if kind != "N":
            old, pos, _ = self._read(buf, text, pos + 1)
        new, _, unchanged = self._read(buf, text, pos + 1)
        if unchanged is not None and old is not None:
            # Of a key alone (K) the rest of the old row is null; a large key is in it, also where it did not change.
            sent = unchanged if kind == "O" else [index for index in unchanged if index in self._key]
            for index in sent:
                new[index] = old[index]
            unchanged = [index for index in unchanged if index not in sent] or None
        names = self._names(unchanged)
        after = self._row % tuple(new)
        if old is None:
            self._emit("null", after, "u", self._key_of(new), lsn, transaction, names)
            return
        before, old_key, new_key = self._row % tuple(old), self._key_of(old), self._key_of(new)
        if old_key == new_key or not self._key:
            self._emit(before, after, "u", old_key, lsn, transaction, names)
            return
        to_new, from_old = (NEW_KEY, new_key.encode("latin-1")), (OLD_KEY, old_key.encode("latin-1"))
        self._emit(before, "null", "d", old_key, lsn, transaction, [to_new])
        self._tombstone(old_key, transaction, to_new)
        self._emit("null", after, "c", new_key, lsn, transaction, [*(names or ()), from_old])

    def delete(self, buf: Buffer, pos: int, lsn: int, transaction: TransactionText) -> None:
        """Append the records of a Delete: the change and its tombstone."""
        old, _, _ = self._read(buf, str(buf, "latin-1"), pos + 1)
        key = self._key_of(old)
        self._emit(self._row % tuple(old), "null", "d", key, lsn, transaction, None)
        self._tombstone(key, transaction)

    def _names(self, unchanged: list[int] | None) -> list[tuple[str, bytes]] | None:
        if unchanged is None:
            return None
        listed = ",".join(_escape(self._columns[i]) for i in unchanged)
        return [(UNCHANGED, f"[{listed}]".encode())]

    def _emit(
        self,
        before: str,
        after: str,
        op: str,
        key_text: str,
        lsn: int,
        tx: TransactionText,
        headers: list[tuple[str, bytes]] | None,
    ) -> None:
        if self.counted_in is not tx:
            self._begin(tx)
        self.counted += 1
        tx.order += 1
        key = key_text.encode("latin-1")
        value = (
            f'{{"before":{before},"after":{after}{self._before_lsn}{lsn}{self._between_lsns}{lsn}{self._before_total}{tx.order}'
            f',"data_collection_order":{self.counted}}},"op":"{op}"{self._end}'
        ).encode("latin-1")
        rows = self.partitions[crc32(key) % self.count]
        rows.append((value, key) if headers is None else (value, key, headers))
        self._tally.add(rows, len(value))

    def _tombstone(self, key_text: str, tx: TransactionText, *more: tuple[str, bytes]) -> None:
        key = key_text.encode("latin-1")
        rows = self.partitions[crc32(key) % self.count]
        headers = [*more, (TRANSACTION_ID, tx.id.encode()), (TOTAL_ORDER, str(tx.order).encode())]
        rows.append((None, key, headers))
        self._tally.add(rows, len(key))
