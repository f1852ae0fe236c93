"""pgoutput's decoder against bytes written by hand from the protocol page, and against an encoder."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto_connectors.postgres import pgoutput as pg
from stretto_schemas.errors import Halted, Unsupported
from tests.connectors.postgres.pgoutput_encoder import EPOCH, encode

TS = "0000 0000 0000 0002"  # two microseconds after PostgreSQL's epoch
AT = EPOCH + 2
LSN1, LSN2 = "0000 0001 0000 0010", "0000 0001 0000 0020"
AT1, AT2 = 0x1_0000_0010, 0x1_0000_0020
XID = "0000 02f1"
GID = "6769 6400"  # gid
RELID = "0000 4000"
TUPLE = "0004 74 0000 0001 37 6e 75 74 0000 0000"  # '7', null, unchanged, ''
ROW: list[pg.Value] = [b"7", None, pg.UNCHANGED, b""]
KEY = "0002 74 0000 0002 2d31 6e"
KEY_ROW: list[pg.Value] = [b"-1", None]
COLUMNS = "0002 01 6964 00 0000 0014 ffff ffff 00 c3bc 00 0000 06a4 000a 0006"
COLUMN_LIST = (pg.RelationColumn("id", 20, -1, True), pg.RelationColumn("ü", 1700, 655366, False))


class Golden(NamedTuple):
    name: str
    wire: str
    message: pg.Message
    in_stream: bool = False

    @property
    def buf(self) -> bytes:
        return bytes.fromhex(self.wire)


GOLDEN = [
    Golden("begin", f"42 {LSN1} {TS} {XID}", pg.Begin(AT1, AT, 753)),
    Golden("begin before 2000", f"42 {LSN1} ffff ffff ffff ffff {XID}", pg.Begin(AT1, EPOCH - 1, 753)),
    Golden("commit", f"43 00 {LSN1} {LSN2} {TS}", pg.Commit(0, AT1, AT2, AT)),
    Golden("origin", f"4f {LSN1} 6e 6f 64 65 00", pg.Origin(AT1, "node")),
    Golden("relation", f"52 {RELID} 73 00 74 00 64 {COLUMNS}", pg.Relation(16384, "s", "t", "d", COLUMN_LIST)),
    Golden("relation of pg_catalog", f"52 {RELID} 00 74 00 6e 0000", pg.Relation(16384, "pg_catalog", "t", "n", ())),
    Golden(
        "relation in stream",
        f"52 {XID} {RELID} 73 00 74 00 69 {COLUMNS}",
        pg.Relation(16384, "s", "t", "i", COLUMN_LIST, 753),
        True,
    ),
    Golden("type", f"59 {RELID} 73 00 6d 00", pg.Type(16384, "s", "m")),
    Golden("type in stream", f"59 {XID} {RELID} 00 6d 00", pg.Type(16384, "pg_catalog", "m", 753), True),
    Golden("insert", f"49 {RELID} 4e {TUPLE}", pg.Insert(16384, ROW)),
    Golden("insert of no columns", f"49 {RELID} 4e 0000", pg.Insert(16384, [])),
    Golden("insert in stream", f"49 {XID} {RELID} 4e {TUPLE}", pg.Insert(16384, ROW, 753), True),
    Golden("update", f"55 {RELID} 4e {TUPLE}", pg.Update(16384, None, None, ROW)),
    Golden("update of key", f"55 {RELID} 4b {KEY} 4e {TUPLE}", pg.Update(16384, "K", KEY_ROW, ROW)),
    Golden("update with old row", f"55 {RELID} 4f {KEY} 4e {TUPLE}", pg.Update(16384, "O", KEY_ROW, ROW)),
    Golden(
        "update in stream",
        f"55 {XID} {RELID} 4b {KEY} 4e {TUPLE}",
        pg.Update(16384, "K", KEY_ROW, ROW, 753),
        True,
    ),
    Golden("delete by key", f"44 {RELID} 4b {KEY}", pg.Delete(16384, "K", KEY_ROW)),
    Golden("delete with old row", f"44 {RELID} 4f {TUPLE}", pg.Delete(16384, "O", ROW)),
    Golden("delete in stream", f"44 {XID} {RELID} 4b {KEY}", pg.Delete(16384, "K", KEY_ROW, 753), True),
    Golden("truncate", "54 0000 0002 00 0000 4000 0000 4001", pg.Truncate((16384, 16385), False, False)),
    Golden("truncate cascade", "54 0000 0001 01 0000 4000", pg.Truncate((16384,), True, False)),
    Golden("truncate restart identity", "54 0000 0001 02 0000 4000", pg.Truncate((16384,), False, True)),
    Golden("truncate in stream", f"54 {XID} 0000 0001 03 0000 4000", pg.Truncate((16384,), True, True, 753), True),
    Golden("message", f"4d 00 {LSN1} 70 00 0000 0002 00ff", pg.LogicalMessage(False, AT1, "p", b"\0\xff")),
    Golden("transactional message", f"4d 01 {LSN1} 00 0000 0000", pg.LogicalMessage(True, AT1, "", b"")),
    Golden(
        "message in stream",
        f"4d {XID} 01 {LSN1} 70 00 0000 0001 78",
        pg.LogicalMessage(True, AT1, "p", b"x", 753),
        True,
    ),
    Golden("stream start", f"53 {XID} 01", pg.StreamStart(753, True)),
    Golden("stream start again", f"53 {XID} 00", pg.StreamStart(753, False)),
    Golden("stream stop", "45", pg.StreamStop(), True),
    Golden("stream commit", f"63 {XID} 00 {LSN1} {LSN2} {TS}", pg.StreamCommit(753, 0, AT1, AT2, AT)),
    Golden("stream abort", f"41 {XID} 0000 02f2", pg.StreamAbort(753, 754, None, None)),
    Golden("stream abort, parallel", f"41 {XID} 0000 02f2 {LSN1} {TS}", pg.StreamAbort(753, 754, AT1, AT)),
    Golden("begin prepare", f"62 {LSN1} {LSN2} {TS} {XID} {GID}", pg.BeginPrepare(AT1, AT2, AT, 753, "gid")),
    Golden("prepare", f"50 00 {LSN1} {LSN2} {TS} {XID} {GID}", pg.Prepare(0, AT1, AT2, AT, 753, "gid")),
    Golden("commit prepared", f"4b 00 {LSN1} {LSN2} {TS} {XID} {GID}", pg.CommitPrepared(0, AT1, AT2, AT, 753, "gid")),
    Golden(
        "rollback prepared",
        f"72 00 {LSN1} {LSN2} {TS} 0000 0000 0000 0003 {XID} {GID}",
        pg.RollbackPrepared(0, AT1, AT2, AT, AT + 1, 753, "gid"),
    ),
    Golden("stream prepare", f"70 00 {LSN1} {LSN2} {TS} {XID} {GID}", pg.StreamPrepare(0, AT1, AT2, AT, 753, "gid")),
]
every_golden = pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)


@every_golden
def test_each_kind_is_read_as_the_protocol_page_has_it(golden: Golden) -> None:
    assert pg.decode(golden.buf, golden.in_stream) == golden.message


def test_every_kind_of_message_has_golden_bytes() -> None:
    assert {type(golden.message) for golden in GOLDEN} == set(pg.Message.__args__)


@every_golden
def test_a_message_cut_anywhere_is_refused(golden: Golden) -> None:
    for cut in range(len(golden.buf)):
        if golden.name == "stream abort, parallel" and cut == 9:
            continue  # that is a whole abort of protocols 2 and 3
        with pytest.raises(pg.Malformed) as caught:
            pg.decode(golden.buf[:cut], golden.in_stream)
        assert caught.value.length == cut


@every_golden
def test_a_byte_too_many_is_refused(golden: Golden) -> None:
    with pytest.raises(pg.Malformed) as caught:
        pg.decode(golden.buf + b"\0", golden.in_stream)
    assert caught.value.kind == f"'{golden.buf[0]:c}'"


@pytest.mark.parametrize(
    ("wire", "said", "offset"),
    [
        ("5a 00", "kind 'Z' and 2 bytes is unknown", 0),
        ("00", "kind 0x00 and 1 bytes is unknown", 0),
        (f"49 {RELID} 4b {KEY}", "has no new row", 5),
        (f"55 {RELID} 4b {KEY} 4b {KEY}", "has no new row", 16),
        (f"55 {RELID} 58 {KEY}", "has no row", 5),
        (f"44 {RELID} 4e {KEY}", "has no row", 5),
        (f"49 {RELID} 4e 0002 6e 62 0000 0001 37", "column 2 in binary format", 9),
        (f"49 {RELID} 4e 0001 78", "column 1 in the unknown format 'x'", 8),
        (f"49 {RELID} 4e 0001 74 ffff ffff", "ends too early", 13),
        (f"52 {RELID} 00 74 00 78 0000", "unknown replica identity", 8),
        (f"52 {RELID} 00 ff 00 64 0000", "not UTF-8", 6),
        (f"52 {RELID} 00 74 00 64 0001 02 00 0000 0014 ffff ffff", "unknown flags 0x02", 11),
        (f"43 01 {LSN1} {LSN2} {TS}", "unknown flags 0x01", 1),
        ("54 0000 0001 04 0000 4000", "unknown flags 0x04", 5),
        ("54 ffff ffff 00 0000 4000", "ends too early", 10),
        (f"4d 02 {LSN1} 00 0000 0000", "unknown flags 0x02", 1),
        (f"53 {XID} 02", "unknown flags 0x02", 5),
    ],
)
def test_what_the_protocol_does_not_know_is_refused_with_its_place(wire: str, said: str, offset: int) -> None:
    with pytest.raises(pg.Malformed, match=said) as caught:
        pg.decode(bytes.fromhex(wire))
    assert caught.value.offset == offset
    assert caught.value.length == len(bytes.fromhex(wire))


def test_the_refusal_halts_and_names_the_option_that_binary_columns_come_from() -> None:
    with pytest.raises(Unsupported, match="without the option binary") as caught:
        pg.decode(bytes.fromhex(f"49 {RELID} 4e 0001 62 0000 0001 37"))
    assert isinstance(caught.value, Halted)
    assert caught.value.exit_code == 4


def test_no_refusal_shows_a_cell() -> None:
    row = b"\0\2t\0\0\0\6secret"
    for buf in (b"I\0\0\x40\0N" + row, b"I\0\0\x40\0N" + row + b"b\0\0\0\0", b"D\0\0\x40\0O" + row + b"nxx"):
        with pytest.raises(pg.Malformed) as caught:
            pg.decode(buf)
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_row_is_read_where_it_begins_and_says_where_it_ends() -> None:
    row = bytes.fromhex(TUPLE)
    assert pg.decode_tuple(b"head" + row + b"tail", 4) == (ROW, 4 + len(row))
    for cut in range(4, 4 + len(row)):
        with pytest.raises(pg.Malformed, match="kind row"):
            pg.decode_tuple((b"head" + row)[:cut], 4)


def test_the_stream_says_where_it_is_and_whether_it_wants_an_answer() -> None:
    data = bytes.fromhex(f"77 {LSN1} {LSN2} {TS} 45")
    assert pg.frame(data) == pg.XLogData(AT1, AT2, AT)
    assert pg.decode(data[pg.PAYLOAD :]) == pg.StreamStop()
    assert pg.frame(bytes.fromhex(f"6b {LSN1} {TS} 01")) == pg.Keepalive(AT1, AT, True)
    assert pg.keepalive(bytes.fromhex(f"6b {LSN1} {TS} 00")) == pg.Keepalive(AT1, AT, False)


@pytest.mark.parametrize("wire", [f"77 {LSN1} {LSN2} {TS}", f"6b {LSN1} {TS} 01"])
def test_a_frame_cut_anywhere_is_refused(wire: str) -> None:
    buf = bytes.fromhex(wire)
    for cut in range(len(buf)):
        with pytest.raises(pg.Malformed):
            pg.frame(buf[:cut])


def test_a_frame_of_another_kind_or_a_longer_keepalive_is_refused() -> None:
    for wire in (f"78 {LSN1} {LSN2} {TS}", f"6b {LSN1} {TS} 01 00"):
        with pytest.raises(pg.Malformed):
            pg.frame(bytes.fromhex(wire))


def test_a_status_update_is_written_as_the_protocol_page_has_it() -> None:
    expected = bytes.fromhex(f"72 {LSN2} {LSN1} 0000 0000 0000 0000 {TS} 01")
    assert pg.status_update(AT2, AT1, 0, AT, reply=True) == expected
    assert pg.status_update(AT2, AT1, 0, AT) == expected[:-1] + b"\0"


# What is written by `encode` is read back by `decode`.

uint32 = st.integers(0, 2**32 - 1)
lsn = st.integers(0, 2**64 - 1)
clock = st.integers(-(2**63), 2**63 - 1).map(lambda us: us + EPOCH)
text = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
cells: st.SearchStrategy[list[pg.Value]] = st.lists(
    st.one_of(st.none(), st.just(pg.UNCHANGED), st.binary()), max_size=8
)
old_kinds = st.sampled_from(("K", "O"))
columns = st.builds(pg.RelationColumn, text, uint32, st.integers(-(2**31), 2**31 - 1), st.booleans())
schemas = text.map(lambda name: name or "pg_catalog")
prepared = (st.just(0), lsn, lsn, clock, uint32, text)

streamable = st.one_of(
    st.builds(pg.Relation, uint32, schemas, text, st.sampled_from("dnfi"), st.lists(columns, max_size=5).map(tuple)),
    st.builds(pg.Type, uint32, schemas, text),
    st.builds(pg.Insert, uint32, cells),
    st.builds(pg.Update, uint32, st.none(), st.none(), cells),
    st.builds(pg.Update, uint32, old_kinds, cells, cells),
    st.builds(pg.Delete, uint32, old_kinds, cells),
    st.builds(pg.Truncate, st.lists(uint32, max_size=5).map(tuple), st.booleans(), st.booleans()),
    st.builds(pg.LogicalMessage, st.booleans(), lsn, text, st.binary()),
)
others = st.one_of(
    st.builds(pg.Begin, lsn, clock, uint32),
    st.builds(pg.Commit, st.just(0), lsn, lsn, clock),
    st.builds(pg.Origin, lsn, text),
    st.builds(pg.StreamStart, uint32, st.booleans()),
    st.builds(pg.StreamStop),
    st.builds(pg.StreamCommit, uint32, st.just(0), lsn, lsn, clock),
    st.builds(pg.StreamAbort, uint32, uint32, st.none(), st.none()),
    st.builds(pg.StreamAbort, uint32, uint32, lsn, clock),
    st.builds(pg.BeginPrepare, lsn, lsn, clock, uint32, text),
    st.builds(pg.Prepare, *prepared),
    st.builds(pg.CommitPrepared, *prepared),
    st.builds(pg.RollbackPrepared, st.just(0), lsn, lsn, clock, clock, uint32, text),
    st.builds(pg.StreamPrepare, *prepared),
)


@given(st.one_of(streamable, others))
def test_what_is_written_is_read_back(message: pg.Message) -> None:
    assert pg.decode(encode(message, False)) == message


@given(streamable, uint32)
def test_what_is_written_in_a_streamed_block_is_read_back_with_its_xid(message: Any, xid: int) -> None:
    message.xid = xid
    assert pg.decode(encode(message, True), in_stream=True) == message


@given(st.binary(max_size=80), st.booleans())
def test_no_bytes_raise_anything_but_the_refusal(buf: bytes, in_stream: bool) -> None:
    refusal = None
    try:
        pg.decode(buf, in_stream)
    except pg.Malformed as error:
        refusal = error
    assert refusal is None or 0 <= refusal.offset <= refusal.length == len(buf)
