"""The fast path writes what `json_value` writes slowly, for whatever stands in rows and names."""

from __future__ import annotations

import json
import struct

from hypothesis import given
from hypothesis import strategies as st

from stretto_producers.capture.encoder import PartitionRows, RelationEncoder, SourceText, Tally, TransactionText
from stretto_schemas.envelope import NEW_KEY, OLD_KEY, TOTAL_ORDER, TRANSACTION_ID, UNCHANGED, json_value
from stretto_schemas.tables import Column, Kind, Table

UNSENT = object()
Cell = object
START = 31
"""Where the tuple of an Insert lies: 25 bytes of XLogData, kind, relation, N."""

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6
) | st.sampled_from(["%", "%s", '"', "\\", "ä%d", "\n", "日本", "a b"])
values = {
    Kind.STRING: texts,
    Kind.NUMBER: st.integers(-(2**63), 2**63 - 1).map(str),
    Kind.BOOLEAN: st.sampled_from(["t", "f"]),
    Kind.FLOAT: st.sampled_from(["0", "-0", "1.5", "1e+20", "5e-324", "NaN", "Infinity", "-Infinity", "-1.25e-07"]),
}


@st.composite
def tables_with_rows(draw: st.DrawFn) -> tuple[Table, list[list[str | None]]]:
    found = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    columns = tuple(Column(name, "text", draw(st.sampled_from(list(values)))) for name in found)
    key = tuple(found[: draw(st.integers(0, len(found)))])
    table = Table(draw(names), draw(names), "topic", columns, key)
    row = st.tuples(*(st.none() | values[column.kind] for column in columns)).map(list)
    return table, draw(st.lists(row, min_size=2, max_size=4))


def tuple_bytes(row: list[Cell]) -> bytes:
    """A TupleData of pgoutput."""
    parts = [struct.pack("!H", len(row))]
    for cell in row:
        if cell is None:
            parts.append(b"n")
        elif cell is UNSENT:
            parts.append(b"u")
        else:
            data = str(cell).encode()
            parts.append(b"t" + struct.pack("!I", len(data)) + data)
    return b"".join(parts)


def message(kind: bytes, *parts: bytes) -> bytes:
    return (b"w" + bytes(24) + kind + struct.pack("!I", 1) + b"".join(parts)).ljust(START, b"\0")


def slowly(columns: tuple[Column, ...], row: list[str | None]) -> str:
    """A row as JSON, value by value."""
    cells = zip(columns, row, strict=True)
    return "{" + ",".join(f"{json.dumps(c.name, ensure_ascii=False)}:{json_value(c.kind, v)}" for c, v in cells) + "}"


def key_of(table: Table, row: list[str | None]) -> str:
    columns = tuple(c for c in table.columns if c.name in table.key) if table.key else table.columns
    by_name = dict(zip((c.name for c in table.columns), row, strict=True))
    return slowly(columns, [by_name[c.name] for c in columns])


class Written:
    """An encoder, and what it wrote."""

    def __init__(self, table: Table, partitions: int = 1) -> None:
        self.partitions = [PartitionRows("topic", number) for number in range(partitions)]
        self.tally = Tally()
        self.encoder = RelationEncoder(1, table, self.partitions, self.tally)
        fixed = SourceText("0", "prefix.leader", 'db "ä"', 1)
        self.transaction = TransactionText(fixed, 7, 1000, 123_456_789, 900, 5)

    def records(self) -> list[tuple[bytes | None, bytes, dict[str, bytes]]]:
        """Value, key and headers of each record, in order."""
        rows = [record for partition in self.partitions for record in partition.take()]
        return [(row[0], row[1], dict(row[2]) if len(row) > 2 else {}) for row in rows]


@given(tables_with_rows())
def test_an_insert_is_written_as_slowly(made: tuple[Table, list[list[str | None]]]) -> None:
    table, rows = made
    written = Written(table)
    for row in rows:
        written.encoder.insert(message(b"I", b"N", tuple_bytes(list(row))), START, 55, written.transaction)
    for number, ((value, key, headers), row) in enumerate(zip(written.records(), rows, strict=True), start=1):
        assert value is not None
        assert key.decode() == key_of(table, row)
        assert value.decode().startswith(f'{{"before":null,"after":{slowly(table.columns, row)},"source":{{')
        envelope = json.loads(value)
        assert envelope["op"] == "c"
        assert (envelope["source"]["schema"], envelope["source"]["table"]) == (table.schema, table.name)
        assert (envelope["source"]["lsn"], envelope["source"]["txId"], envelope["source"]["db"]) == (55, 7, 'db "ä"')
        assert envelope["source"]["name"] == "prefix.leader"
        assert json.loads(envelope["source"]["sequence"]) == ["900", "55"]
        assert envelope["transaction"] == {"id": "7:1000", "total_order": number, "data_collection_order": number}
        assert headers == {}
    assert written.tally.rows == len(rows)


@given(tables_with_rows())
def test_an_update_with_the_old_row_is_written_as_slowly(made: tuple[Table, list[list[str | None]]]) -> None:
    table, (old, new, *_) = made
    written = Written(table)
    data = message(b"U", b"O", tuple_bytes(list(old)), b"N", tuple_bytes(list(new)))
    written.encoder.update(data, 30, 55, written.transaction)
    records = written.records()
    before, after = slowly(table.columns, old), slowly(table.columns, new)
    old_key, new_key = key_of(table, old), key_of(table, new)
    if old_key == new_key or not table.key:
        [(value, key, headers)] = records
        assert value is not None
        assert value.decode().startswith(f'{{"before":{before},"after":{after},"source":{{')
        assert (key.decode(), json.loads(value)["op"], headers) == (old_key, "u", {})
        return
    (gone, gone_key, gone_headers), (tombstone, its_key, its_headers), (come, come_key, come_headers) = records
    assert gone is not None
    assert come is not None
    assert gone.decode().startswith(f'{{"before":{before},"after":null,"source":{{')
    assert come.decode().startswith(f'{{"before":null,"after":{after},"source":{{')
    assert (gone_key.decode(), its_key.decode(), come_key.decode()) == (old_key, old_key, new_key)
    assert tombstone is None
    assert gone_headers == {NEW_KEY: new_key.encode()}
    assert come_headers == {OLD_KEY: old_key.encode()}
    assert its_headers[TRANSACTION_ID] == b"7:1000"
    assert its_headers[TOTAL_ORDER] == b"1"
    assert [json.loads(value)["transaction"]["total_order"] for value in (gone, come)] == [1, 2]


@given(tables_with_rows())
def test_a_delete_is_a_change_and_a_tombstone(made: tuple[Table, list[list[str | None]]]) -> None:
    table, (old, *_) = made
    written = Written(table)
    written.encoder.delete(message(b"D", b"O", tuple_bytes(list(old))), 30, 55, written.transaction)
    (value, key, _), (tombstone, its_key, headers) = written.records()
    assert value is not None
    assert value.decode().startswith(f'{{"before":{slowly(table.columns, old)},"after":null,"source":{{')
    assert key.decode() == its_key.decode() == key_of(table, old)
    assert tombstone is None
    assert headers == {TRANSACTION_ID: b"7:1000", TOTAL_ORDER: b"1"}


COLUMNS = (Column("id", "int", Kind.NUMBER), Column('l"ng ä', "text"), Column("b", "text"))


def test_columns_that_were_not_sent_are_named_in_a_header() -> None:
    written = Written(Table("s", "t", "topic", COLUMNS, ("id",)))
    written.encoder.update(message(b"U", b"N", tuple_bytes(["1", UNSENT, UNSENT])), 30, 55, written.transaction)
    [(value, _, headers)] = written.records()
    assert value is not None
    assert set(json.loads(value)["after"].values()) == {1, "__debezium_unavailable_value"}
    assert json.loads(headers[UNCHANGED]) == ['l"ng ä', "b"]


def test_an_old_row_fills_in_what_was_not_sent() -> None:
    written = Written(Table("s", "t", "topic", COLUMNS, ("id",)))
    data = message(b"U", b"O", tuple_bytes(["1", "löng", "x"]), b"N", tuple_bytes(["1", UNSENT, "y"]))
    written.encoder.update(data, 30, 55, written.transaction)
    [(value, _, headers)] = written.records()
    assert value is not None
    assert json.loads(value)["after"] == {"id": 1, 'l"ng ä': "löng", "b": "y"}
    assert headers == {}


def test_an_old_key_fills_in_a_large_key_that_was_not_sent() -> None:
    written = Written(Table("s", "t", "topic", COLUMNS, ('l"ng ä',)))
    for name in ("löng 1", "löng 2"):
        data = message(b"U", b"K", tuple_bytes([None, name, None]), b"N", tuple_bytes(["1", UNSENT, UNSENT]))
        written.encoder.update(data, 30, 55, written.transaction)
    for number, (value, key, headers) in enumerate(written.records(), start=1):
        assert value is not None
        assert json.loads(key) == {'l"ng ä': f"löng {number}"}
        assert json.loads(value)["op"] == "u"
        assert json.loads(value)["after"] == {"id": 1, 'l"ng ä': f"löng {number}", "b": "__debezium_unavailable_value"}
        assert json.loads(headers[UNCHANGED]) == ["b"]


def test_one_key_always_goes_to_one_partition() -> None:
    written = Written(Table("s", "t", "topic", COLUMNS, ("id",)), partitions=4)
    for number in range(200):
        row = [str(number % 20), "x", "y"]
        written.encoder.insert(message(b"I", b"N", tuple_bytes(list(row))), START, 55, written.transaction)
    keys = [{key for _, key in partition.take()} for partition in written.partitions]  # type: ignore[misc]
    assert sum(len(each) for each in keys) == len(set().union(*keys)) == 20
    assert all(keys)
