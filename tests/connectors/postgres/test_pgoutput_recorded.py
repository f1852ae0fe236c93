"""pgoutput's decoder against what a real walsender sent: see data/README.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from stretto_connectors.postgres import pgoutput as pg
from tests.connectors.postgres.pgoutput_encoder import encode


def recording(version: int) -> list[bytes]:
    lines = (Path(__file__).parent / "data" / f"protocol-{version}.hex").read_text("ascii").split()
    return [bytes.fromhex(line) for line in lines]


def decoded(version: int) -> list[tuple[bytes, bool, pg.Message]]:
    """Each message of a recording: its bytes, whether it came in a streamed block, what was read."""
    messages = []
    in_stream = False
    for frame in recording(version):
        if isinstance(pg.frame(frame), pg.Keepalive):
            continue
        payload = frame[pg.PAYLOAD :]
        message = pg.decode(payload, in_stream)
        messages.append((payload, in_stream, message))
        in_stream = isinstance(message, pg.StreamStart) or (in_stream and not isinstance(message, pg.StreamStop))
    return messages


class Replay:
    """A subscriber in memory: applies a recording's committed transactions and no others."""

    def __init__(self) -> None:
        self.tables: dict[str, list[list[pg.Value]]] = {"account": [], "Schöne Tabelle": []}
        self._names: dict[int, str] = {}
        self._open: list[tuple[int, pg.Message]] = []
        self._streamed: dict[int, list[tuple[int, pg.Message]]] = {}
        self._prepared: dict[str, list[tuple[int, pg.Message]]] = {}
        self._block = 0

    def take(self, message: pg.Message) -> None:
        match message:
            case pg.Relation():
                self._names[message.relid] = message.name
            case pg.StreamStart():
                self._block = message.xid
            case pg.StreamStop():
                self._block = 0
            case pg.Insert() | pg.Update() | pg.Delete() | pg.Truncate():
                to = self._streamed.setdefault(self._block, []) if self._block else self._open
                to.append((message.xid, message))
            case pg.StreamAbort(xid, subxid):
                left = [] if xid == subxid else [each for each in self._streamed[xid] if each[0] != subxid]
                self._streamed[xid] = left
            case pg.Prepare():
                self._prepared[message.gid], self._open = self._open, []
            case pg.StreamPrepare():
                self._prepared[message.gid] = self._streamed.pop(message.xid)
            case pg.Commit():
                self._apply(self._open)
                self._open = []
            case pg.StreamCommit():
                self._apply(self._streamed.pop(message.xid))
            case pg.CommitPrepared():
                self._apply(self._prepared.pop(message.gid))
            case pg.RollbackPrepared():
                del self._prepared[message.gid]
            case _:
                pass

    def _apply(self, changes: list[tuple[int, pg.Message]]) -> None:
        for _, change in changes:
            match change:
                case pg.Insert():
                    self.tables[self._names[change.relid]].append(change.new)
                case pg.Delete():
                    self._remove(change.relid, change.old)
                case pg.Update():
                    old = self._remove(change.relid, change.old or change.new)
                    new = [o if n is pg.UNCHANGED else n for o, n in zip(old, change.new, strict=True)]
                    self.tables[self._names[change.relid]].append(new)
                case pg.Truncate():
                    for relid in change.relids:
                        self.tables[self._names[relid]].clear()

    def _remove(self, relid: int, old: list[pg.Value]) -> list[pg.Value]:
        rows = self.tables[self._names[relid]]
        [index] = [i for i, row in enumerate(rows) if row[0] == old[0]]
        return rows.pop(index)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_real_servers_stream_replays_to_the_rows_that_the_server_had(version: int) -> None:
    replay = Replay()
    for _, _, message in decoded(version):
        replay.take(message)
    assert sorted(replay.tables["account"], key=str) == [
        [b"10", b"1", b"1", b"prepared", None],
        [b"100", b"3", b"1", b"kept", None],
        [b"400", b"5", b"5", b"prepared", None],
    ]
    [[_, how, amount]] = replay.tables["Schöne Tabelle"]
    assert (how, amount) == (b"glad", b"1.00")


PLAIN: set[type] = {
    pg.Begin,
    pg.Commit,
    pg.Origin,
    pg.Relation,
    pg.Type,
    pg.Insert,
    pg.Update,
    pg.Delete,
    pg.Truncate,
    pg.LogicalMessage,
}
STREAMED: set[type] = {pg.StreamStart, pg.StreamStop, pg.StreamCommit, pg.StreamAbort}
TWO_PHASE: set[type] = {pg.BeginPrepare, pg.Prepare, pg.CommitPrepared, pg.RollbackPrepared, pg.StreamPrepare}


@pytest.mark.parametrize(
    ("version", "kinds"),
    [(1, PLAIN), (2, PLAIN | STREAMED), (3, PLAIN | STREAMED | TWO_PHASE), (4, PLAIN | STREAMED | TWO_PHASE)],
)
def test_the_recordings_have_every_kind_that_their_protocol_knows(version: int, kinds: set[type]) -> None:
    messages = decoded(version)
    assert {type(message) for _, _, message in messages} == kinds
    in_stream = {type(message) for _, inside, message in messages if inside} - {pg.StreamStop}
    every = {pg.Relation, pg.Type, pg.Insert, pg.Update, pg.Delete, pg.Truncate, pg.LogicalMessage}
    assert in_stream == (every if version > 1 else set())


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_what_a_real_server_sent_is_written_again_to_the_same_bytes(version: int) -> None:
    for payload, in_stream, message in decoded(version):
        assert encode(message, in_stream) == payload


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_real_servers_message_cut_anywhere_is_refused(version: int) -> None:
    for payload, in_stream, message in decoded(version):
        whole_too = {9} if isinstance(message, pg.StreamAbort) else set()
        for cut in set(range(len(payload))) - whole_too:
            with pytest.raises(pg.Malformed):
                pg.decode(payload[:cut], in_stream)


def test_a_real_servers_rows_have_null_the_empty_string_unchanged_toast_and_old_keys() -> None:
    changes = [m for _, _, m in decoded(1) if isinstance(m, pg.Insert | pg.Update | pg.Delete)]
    assert [c.new for c in changes if isinstance(c, pg.Insert)][:2] == [
        [b"1", None, b"12.50", b"long " * 500, b"2026-01-02 03:04:05.678901+00"],
        [b"2", b"0", b"NaN", b"", None],
    ]
    toast, key, *_ = [c for c in changes if isinstance(c, pg.Update)]
    assert (toast.old, toast.new[3]) == (None, pg.UNCHANGED)
    assert (key.old_kind, key.old) == ("K", [b"2", None, None, None, None])
    full = [c for c in changes if isinstance(c, pg.Update) and c.old_kind == "O"]
    assert [(c.old, c.new) for c in full] == [([b"1", b"sad", b"-0.05"], [b"1", b"glad", b"-0.05"])]


@pytest.mark.parametrize(("version", "known"), [(2, False), (3, False), (4, True)])
def test_only_a_parallel_streams_abort_says_where_and_when(version: int, known: bool) -> None:
    aborts = [m for _, _, m in decoded(version) if isinstance(m, pg.StreamAbort)]
    assert [abort.xid == abort.subxid for abort in aborts] == [False, True]
    assert [(abort.abort_lsn is not None, abort.abort_ts_us is not None) for abort in aborts] == [(known, known)] * 2
