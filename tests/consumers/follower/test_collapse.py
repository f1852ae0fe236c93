"""The net effect of many changes is what a row-by-row model comes to."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stretto_consumers.follower.collapse import KeyedNet, KeylessNet, copy_text
from stretto_consumers.follower.decode import UNCHANGED_VALUE, Change, Row

State = dict[bytes, tuple[Any, ...]]

KEYS = tuple(b'{"id":%d}' % number for number in range(5))
cells = st.one_of(st.none(), st.integers(-3, 3), st.text(max_size=3))
steps = st.lists(
    st.tuples(
        st.sampled_from(["insert", "update", "delete", "move"]),
        st.sampled_from(KEYS),
        st.sampled_from(KEYS),
        cells,
        cells,
        st.booleans(),
    ),
    max_size=25,
)


def change(op: str, key: bytes, after: Row | None, **more: Any) -> Change:
    return Change("1:1", 1, op, key, after, None, **more)


def run(state: State, net: KeyedNet, script: list[tuple[str, bytes, bytes, Any, Any, bool]]) -> None:
    """Do to the model what the source did, and tell the net what the log says of it."""
    for op, key, other, small, long, unsent in script:
        if op == "insert" and key not in state:
            state[key] = (key, small, long)
            net.feed(change("c", key, state[key]))
        elif op == "update" and key in state:
            state[key] = (key, small, state[key][2] if unsent else long)
            sent = (key, small, UNCHANGED_VALUE) if unsent else state[key]
            net.feed(change("u", key, sent, partial=unsent))
        elif op == "delete" and key in state:
            del state[key]
            net.feed(change("d", key, None))
        elif op == "move" and key in state and other not in state:
            held = state.pop(key)[2]
            state[other] = (other, small, held if unsent else long)
            sent = (other, small, UNCHANGED_VALUE) if unsent else state[other]
            net.feed(change("d", key, None, new_key=other))
            net.feed(change("c", other, sent, old_key=key, partial=unsent))


def applied(before: State, net: KeyedNet) -> State:
    """The net effect on the state before: unsent values come from rows of that state."""
    after = dict(before)
    for key, (existed, _) in net.entries.items():
        assert existed == (key in before)
        after.pop(key, None)
    for key, (_, row) in net.entries.items():
        if row is None:
            assert key not in net.partial
            continue
        if UNCHANGED_VALUE in row:
            row = tuple(before[net.partial[key]][i] if cell is UNCHANGED_VALUE else cell for i, cell in enumerate(row))
        after[key] = row
    return after


@given(st.sets(st.sampled_from(KEYS)), steps)
def test_the_net_effect_is_that_of_the_changes_one_by_one(
    there: set[bytes], script: list[tuple[str, bytes, bytes, Any, Any, bool]]
) -> None:
    before: State = {key: (key, "old", f"long of {key!r}") for key in there}
    state, net = dict(before), KeyedNet()
    run(state, net, script)
    assert applied(before, net) == state


def test_two_rows_that_swap_their_keys_keep_their_own_unsent_values() -> None:
    one, two, spare = KEYS[:3]
    before: State = {one: (one, 1, "long one"), two: (two, 2, "long two")}
    state, net = dict(before), KeyedNet()
    run(
        state,
        net,
        [("move", one, spare, 1, None, True), ("move", two, one, 2, None, True), ("move", spare, two, 1, None, True)],
    )
    assert applied(before, net) == state == {one: (one, 2, "long two"), two: (two, 1, "long one")}


@given(st.lists(st.tuples(st.sampled_from(["c", "u", "d"]), st.integers(0, 2), cells), max_size=30))
def test_keyless_rows_are_counted(script: list[tuple[str, int, Any]]) -> None:
    rows: list[Row] = []
    net = KeylessNet()
    for op, number, cell in script:
        old = rows[number] if number < len(rows) else None
        new = (number, cell) if op != "d" else None
        if op != "c":
            if old is None:
                continue
            rows.remove(old)
        if new is not None:
            rows.append(new)
        net.feed(Change("1:1", 1, op, b"", new, old if op != "c" else None))
    added, removed = net.rows()
    assert Counter(added) == Counter(rows)
    assert removed == []


def test_keyless_rows_that_python_takes_for_equal_are_not() -> None:
    net = KeylessNet()
    for cell in (1, 1.0, True, "1"):
        net.feed(Change("1:1", 1, "c", b"", (cell,), None))
    net.feed(Change("1:1", 2, "d", b"", None, (1.0,)))
    net.feed(Change("1:1", 3, "d", b"", None, ("x",)))
    added, removed = net.rows()
    assert [repr(row[0]) for row in added] == ["1", "True", "'1'"]
    assert removed == [("x", 1)]


def unescaped(text: str) -> list[list[str | None]]:
    """What PostgreSQL's documentation says COPY reads from its text format."""
    named = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}
    rows = []
    for line in text.split("\n")[:-1]:
        row: list[str | None] = []
        for cell in line.split("\t"):
            parts = iter(cell)
            row.append(None if cell == "\\N" else "".join(named[next(parts)] if c == "\\" else c for c in parts))
        rows.append(row)
    return rows


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), texts, st.sampled_from(["\\N", "\\.", "", "None", "\t", "\r\n"])), texts),
        max_size=5,
    )
)
def test_copy_reads_back_what_was_there(rows: list[Row]) -> None:
    assert unescaped(b"".join(copy_text(rows, 2)).decode()) == [list(row) for row in rows]
