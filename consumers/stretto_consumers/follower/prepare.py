"""From a batch to steps for the database: decode, split at barriers, collapse, print as COPY text. No SQL is run here."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from stretto_connectors.postgres.changes import Partial, Rows, TableChanges
from stretto_connectors.postgres.targets import Target, missing_columns
from stretto_consumers.follower.accounting import Batch, Partition
from stretto_consumers.follower.collapse import KeyedNet, KeylessNet, copy_text
from stretto_consumers.follower.decode import (
    UNCHANGED_VALUE,
    Change,
    Layout,
    Row,
    key_columns,
    layout_of,
    no_envelope,
    transaction_of_tombstone,
)
from stretto_consumers.follower.waiting import Waiting
from stretto_schemas.errors import Divergence
from stretto_schemas.frontier import Barrier, SchemaChange
from stretto_schemas.repairs import COPY_AGAIN

FEW = 500
"""Up to this many rows travel inside their statement: a COPY costs two more round trips and a staging table."""

FEW_CHARACTERS = 4 * 1024 * 1024
"""... unless their values are longer than this together: a parameter cannot be longer than 1 GB."""

LONG_AT_ONCE = 8
"""Of long rows so many are printed together: each is there several times meanwhile."""


@dataclass(slots=True)
class Step:
    """Changes that no barrier separates, then the barrier that ends them (None: the batch ends)."""

    changes: list[tuple[str, TableChanges]]
    """By topic."""
    barrier: Barrier | None


class TopicReader:
    """Decodes one topic's records; knows the layout of the rows and the key."""

    def __init__(self, topic: str, target: Target) -> None:
        self.topic = topic
        self.target = target
        self._layout: Layout | None = None
        self._key: tuple[str, ...] = ()
        self.keyed = True
        """False: rows are told apart by all their values, and equal ones are counted."""

    def _learn(self, row: Waiting, partition: int) -> Layout:
        columns = tuple(key_columns(row[1], self.topic))
        layout = layout_of(row, self.topic, partition, with_before=True)
        # A key of all columns may be the whole row of a table without key: a unique index does not make it one, for its
        # columns may be null, and an update of it names only the row that was.
        whole_row = set(columns) == set(layout.columns) and self.target.primary_key != set(columns)
        self.keyed = self.target.has_key(columns) and not whole_row
        self._key = columns if self.keyed else ()
        if self.keyed:
            layout = Layout(layout.columns, with_before=False)
        lacking = [column for column in layout.columns if column not in self.target.columns]
        if lacking:
            raise missing_columns(self.target, lacking)
        self._layout = layout
        return layout

    @property
    def layout(self) -> Layout | None:
        """The layout of the newest record."""
        return self._layout

    @property
    def key(self) -> tuple[str, ...]:
        """Columns of the key; empty for a table without."""
        return self._key

    def check_nameless(self, row: Waiting, partition: int) -> None:
        """An update came without the old row, where rows have no key. Raises Divergence unless it changes nothing.

        It changes nothing where the replica identity is a unique index on all columns: no key was sent, so it is the same.
        """
        if self.target.has_exact_key(self._layout.columns if self._layout is not None else ()):
            return
        raise Divergence(
            f"record {row[0]} of partition {partition} of {self.topic} changes a row that it does not name: the log has"
            f" a key for {self.target.schema}.{self.target.name}, the follower's table has none",
            expected="a primary key or unique index on the follower's table, as at the source",
            fix=f"give the follower's table the source's primary key, then start again; or {COPY_AGAIN}",
        )

    def change(self, row: Waiting, partition: int) -> Change | None:
        """One record's change; None for a tombstone."""
        layout = self._layout or (None if row[2] is None else self._learn(row, partition))
        if layout is None:
            return None
        try:
            return layout.change(row)
        except msgspec.ValidationError as error:
            if layout_of(row, self.topic, partition, with_before=False).columns == layout.columns:
                raise no_envelope(row, self.topic, partition, str(error)) from None
            raise LayoutChanged from None
        except msgspec.DecodeError as error:
            raise no_envelope(row, self.topic, partition, str(error)) from None

    def relearn(self, row: Waiting, partition: int) -> None:
        """Take the layout from this record on."""
        self._learn(row, partition)


class LayoutChanged(Exception):
    """A record has other columns than the ones before it: what was gathered is written first."""


class TableNet:
    """Gathers the changes of one topic within one step."""

    def __init__(self, reader: TopicReader) -> None:
        self._reader = reader
        self._keyed = KeyedNet()
        self._keyless = KeylessNet()
        self._layout: Layout | None = None
        self._done: list[TableChanges] = []

    def feed(self, row: Waiting, partition: int, known: dict[str, bool]) -> None:
        """Take in a record. `known` says of each transaction of the batch whether to apply it."""
        reader = self._reader
        try:
            change = reader.change(row, partition)
        except LayoutChanged:
            self._flush()
            reader.relearn(row, partition)
            change = reader.change(row, partition)
        if change is None:
            named = transaction_of_tombstone(row)
            if named is None or named[0] not in known:
                raise unlisted(row, reader.topic, partition)
            return
        wanted = known.get(change.transaction)
        if wanted is None:
            raise unlisted(row, reader.topic, partition)
        if not wanted:
            return
        self._layout = reader.layout
        if not reader.keyed:
            if change.before is None and change.op != "c":
                reader.check_nameless(row, partition)
            else:
                self._keyless.feed(change)
        elif change.after is not None and not change.partial and change.old_key is None:
            if change.op == "c":
                self._keyed.insert(change.key, change.after)
            else:
                self._keyed.update(change.key, change.after)
        else:
            self._keyed.feed(change)

    def feed_all(self, rows: list[Waiting], partition: int, known: dict[str, bool]) -> None:
        """Take in many records of one partition: the hottest path of the follower, `feed` with everything inlined."""
        start, reader = 0, self._reader
        while start < len(rows):
            layout = reader.layout
            if layout is None:
                self.feed(rows[start], partition, known)
                start += 1
                continue
            self._layout = layout
            start += self._feed_run(rows[start:] if start else rows, partition, known, layout)

    def _feed_run(self, rows: list[Waiting], partition: int, known: dict[str, bool], layout: Layout) -> int:
        """Take in records while they have this layout; return how many. Odd ones go through `feed`, one at a time."""
        decode, cells, entries, partial = layout.decode, layout.cells, self._keyed.entries, self._keyed.partial
        get, last, wanted, done = entries.get, "", False, 0
        keyless = None if self._reader.keyed else self._keyless
        try:
            for _, key, value, headers in rows:
                if value is None or headers is not None:
                    self.feed(rows[done], partition, known)
                    if self._reader.layout is not layout:
                        return done + 1
                    done += 1
                    continue
                envelope = decode(value)
                if envelope.transaction.id != last:
                    last = envelope.transaction.id
                    if last not in known:
                        raise unlisted(rows[done], self._reader.topic, partition)
                    wanted = known[last]
                done += 1
                if not wanted:
                    continue
                if keyless is not None:
                    if envelope.op != "c":
                        if envelope.before is None:
                            self._reader.check_nameless(rows[done - 1], partition)
                            continue
                        keyless.taken.append(cells(envelope.before))
                    if envelope.after is not None:
                        keyless.added.append(cells(envelope.after))
                    continue
                before = get(key)
                if envelope.after is None:
                    self._keyed.delete(key)
                elif before is None:
                    entries[key] = (envelope.op != "c", cells(envelope.after))
                else:
                    entries[key] = (before[0], cells(envelope.after))
                    if partial:
                        partial.pop(key, None)
        except msgspec.MsgspecError:
            self.feed(rows[done], partition, known)  # finds out what is the matter with it
            done += 1
        return done

    def finish(self) -> list[TableChanges]:
        """Everything gathered, as COPY text."""
        self._flush()
        return self._done

    def _flush(self) -> None:
        layout = self._layout
        if layout is None:
            if self._keyed.entries:
                self._done.append(_keyed_changes(self._keyed, (), self._reader))
        elif self._reader.keyed:
            self._done.append(_keyed_changes(self._keyed, layout.columns, self._reader))
        else:
            self._done.append(_keyless_changes(self._keyless, layout.columns))
        self._keyed, self._keyless, self._layout = KeyedNet(), KeylessNet(), None


def _keyed_changes(net: KeyedNet, columns: tuple[str, ...], reader: TopicReader) -> TableChanges:
    inserts: list[Row] = []
    updates: list[Row] = []
    deletes: list[bytes] = []
    partials: dict[tuple[int, ...], list[tuple[Row, bytes]]] = defaultdict(list)
    partial = net.partial
    for key, (existed, row) in net.entries.items():
        if row is None:
            deletes.append(key)
        elif partial and key in partial:
            missing = tuple(i for i, cell in enumerate(row) if cell is UNCHANGED_VALUE)
            partials[missing].append((row, partial[key]))
        elif existed:
            updates.append(row)
        else:
            inserts.append(row)
    changes = TableChanges(columns, reader.key)
    for end in (next(iter(net.entries), None), next(reversed(net.entries), None)):
        if end is not None:
            _key_values(end, reader)  # rows are found by the columns that the reader learned: the ends stand for all
    changes.inserts = _rows(inserts, len(columns))
    changes.updates = _rows(updates, len(columns))
    changes.deletes = _keys(deletes, reader)
    changes.moved = any(source != key for key, source in partial.items())
    if changes.moved or reader.target.replaces(reader.key):
        changes.replaced = _keys([key for key, (existed, _) in net.entries.items() if existed], reader)
    for missing, rows in partials.items():
        names = tuple(columns[i] for i in missing)
        sent = [
            (*(cell for cell in row if cell is not UNCHANGED_VALUE), *_key_values(source, reader))
            for row, source in rows
        ]
        changes.partials.append(Partial(names, _rows(sent, len(columns) - len(missing) + len(reader.key))))
    return changes


def _keyless_changes(net: KeylessNet, columns: tuple[str, ...]) -> TableChanges:
    changes = TableChanges(columns, ())
    added, removed = net.rows()
    changes.inserts = _rows(added, len(columns))
    changes.removed = _rows(removed, len(columns) + 1)
    changes.removed_copies = sum(row[-1] for row in removed)
    return changes


def _keys(keys: list[bytes], reader: TopicReader) -> Rows:
    return _rows([_key_values(key, reader) for key in keys], len(reader.key))


def _key_values(key: bytes, reader: TopicReader) -> Row:
    """The values of a record's key. Raises Divergence when its columns are not those that the reader learned."""
    values = key_columns(key, reader.topic)
    if tuple(values) != reader.key:
        raise Divergence(
            f"a record of {reader.topic} has the key {', '.join(values)}, those before it {', '.join(reader.key)}",
            expected="a schema barrier wherever a table's key changes",
            fix=COPY_AGAIN,
        )
    return tuple(values.values())


def _rows(values: list[Row], columns: int) -> Rows:
    count = len(values)
    if count > FEW:
        return Rows(count, chunks=copy_text(values, columns))
    if _are_long(values):
        return Rows(count, chunks=copy_text(values, columns, at_once=LONG_AT_ONCE))
    return Rows(count, values)


def _are_long(values: list[Row]) -> bool:
    return sum([len(cell) for row in values for cell in row if type(cell) is str]) > FEW_CHARACTERS


def unlisted(row: Waiting, topic: str, partition: int) -> Divergence:
    """A counted record that belongs to no transaction of its frontier."""
    return Divergence(
        f"record {row[0]} of partition {partition} of {topic} belongs to no transaction that its frontier lists",
        expected="the records of the frontier's own transactions",
        fix=f"records were removed or added by somebody else: {COPY_AGAIN}",
    )


def place_of(row: Waiting) -> tuple[str, int]:
    """Transaction and order of any record, read without knowing its table."""
    if row[2] is None:
        return transaction_of_tombstone(row) or ("", 0)
    placed = _placed(row[2])
    return placed.transaction.id, placed.transaction.total_order


class _Block(msgspec.Struct, gc=False):
    id: str
    total_order: int


class _Placed(msgspec.Struct, gc=False):
    transaction: _Block


_placed = msgspec.json.Decoder(_Placed).decode


Placed = tuple[tuple[int, int], Partition, Waiting]


def in_order(batch: Batch) -> Iterator[Placed]:
    """All records of a batch in the source's order, with that order: (place of the transaction, total_order)."""
    return merge(batch, batch.rows)


def merge(batch: Batch, sources: Mapping[Partition, Iterable[Waiting]]) -> Iterator[Placed]:
    """Records of a batch's transactions from each partition's, in the source's order."""
    order = {transaction.id: index for index, transaction in enumerate(batch.transactions)}
    skipped = dict.fromkeys(batch.dropped, -1)

    def placed(place: Partition, rows: Iterable[Waiting]) -> Iterator[Placed]:
        for row in rows:
            try:
                transaction, number = place_of(row)
            except msgspec.MsgspecError as error:
                raise no_envelope(row, place[0], place[1], str(error)) from None
            index = order.get(transaction, skipped.get(transaction))
            if index is None:
                raise unlisted(row, place[0], place[1])
            yield (index, number), place, row

    return heapq.merge(*(placed(place, rows) for place, rows in sources.items()), key=lambda entry: entry[0])


class Preparer:
    """Turns batches into steps; keeps what it learned of each topic until tables change their shape.

    A schema barrier forgets all of it even where the follower's table stays as it is: the log's key may be another one.
    """

    def __init__(self, find: Callable[[str], Target]) -> None:
        self._find = find
        self._readers: dict[str, TopicReader] = {}

    def forget(self) -> None:
        """Tables changed their shape: learn them again."""
        self._readers.clear()

    def steps(self, batch: Batch) -> Iterator[Step]:
        """The steps of a batch, in order. A barrier's step must be applied before the next one is asked for."""
        known = {transaction.id: True for transaction in batch.transactions} | dict.fromkeys(batch.dropped, False)
        if batch.barriers or self._has_moves(batch):
            yield from self._ordered(batch, known)
            return
        nets: dict[str, TableNet] = {}
        for (topic, partition), rows in batch.rows.items():
            self._net(nets, topic).feed_all(rows, partition, known)
        yield _step(nets, None)

    def _has_moves(self, batch: Batch) -> bool:
        return any(row[3] is not None and row[2] is not None for rows in batch.rows.values() for row in rows)

    def _ordered(self, batch: Batch, known: dict[str, bool]) -> Iterator[Step]:
        order = {transaction.commit_lsn: index for index, transaction in enumerate(batch.transactions)}
        barriers = deque((order[b.commit_lsn], b.total_order, b) for b in batch.barriers)
        nets: dict[str, TableNet] = {}
        for (index, number), (topic, partition), row in in_order(batch):
            while barriers and (index, number) > (barriers[0][0], barriers[0][1]):
                yield self._until(nets, barriers.popleft()[2])
                nets = {}
            self._net(nets, topic).feed(row, partition, known)
        while barriers:
            yield self._until(nets, barriers.popleft()[2])
            nets = {}
        yield _step(nets, None)

    def _until(self, nets: dict[str, TableNet], barrier: Barrier) -> Step:
        step = _step(nets, barrier)
        if isinstance(barrier, SchemaChange):
            self.forget()
        return step

    def _net(self, nets: dict[str, TableNet], topic: str) -> TableNet:
        net = nets.get(topic)
        if net is None:
            reader = self._readers.get(topic)
            if reader is None:
                reader = self._readers[topic] = TopicReader(topic, self._find(topic))
            net = nets[topic] = TableNet(reader)
        return net


def _step(nets: dict[str, TableNet], barrier: Barrier | None) -> Step:
    return Step([(topic, changes) for topic, net in nets.items() for changes in net.finish()], barrier)
