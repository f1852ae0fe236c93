"""From records to what is done to a table: which rows a key names, and what a table without key gets."""

from __future__ import annotations

import msgspec
import pytest

from stretto_consumers.follower.prepare import Preparer, Step
from stretto_consumers.follower.waiting import Waiting
from stretto_schemas.errors import Divergence
from tests.consumers.follower.fix_batches import batch, record, shape, target

TWO = {"a": "integer", "b": "integer"}


def test_after_a_barrier_with_another_key_a_delete_names_its_row_by_that_key() -> None:
    preparer = Preparer(lambda _: target(TWO, ("a",), ("b",)))
    rows = [
        record(1, "c", {"a": 1}, None, {"a": 1, "b": 5}),
        record(3, "d", {"b": 5}, {"a": None, "b": 5}, None),
    ]
    steps: list[Step] = list(preparer.steps(batch(rows, shape(2, TWO, ("b",)))))
    [(_, before)], [(_, after)] = steps[0].changes, steps[1].changes
    assert (before.key, after.key) == (("a",), ("b",))
    assert after.deletes.values == [(5,)]


@pytest.mark.parametrize("key", [{"b": 5}, {"a": 5, "b": 5}])
@pytest.mark.parametrize("op", ["u", "d"])
def test_a_record_with_another_key_and_no_barrier_halts(op: str, key: dict[str, int]) -> None:
    preparer = Preparer(lambda _: target(TWO, ("a",), ("b",)))
    rows = [
        record(1, "c", {"a": 1}, None, {"a": 1, "b": 5}),
        record(2, op, key, {"a": None, "b": 5}, {"a": 1, "b": 5} if op == "u" else None),
    ]
    with pytest.raises(Divergence, match=r"has the key (a, )?b, those before it a"):
        list(preparer.steps(batch(rows)))


def steps_of(preparer: Preparer, rows: list[Waiting], *, ordered: bool) -> list[Step]:
    """The steps, by the fast way or by the one that sorts the records of all partitions."""
    return list(preparer.steps(batch(rows, *((shape(99, TWO, ()),) if ordered else ()))))


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("op", ["u", "d"])
def test_a_change_that_does_not_name_its_row_halts_where_the_follower_has_no_key(op: str, ordered: bool) -> None:
    after = {"a": 1, "b": 3} if op == "u" else None
    rows = [record(1, "c", {"a": 1}, None, {"a": 1, "b": 2}), record(2, op, {"a": 1}, None, after)]
    if op == "d":
        rows[1] = (
            2,
            rows[1][1],
            msgspec.json.encode({"op": "d", "transaction": {"id": "1:10", "total_order": 2}}),
            None,
        )
    with pytest.raises(Divergence, match="changes a row that it does not name"):
        steps_of(Preparer(lambda _: target(TWO)), rows, ordered=ordered)


@pytest.mark.parametrize("ordered", [False, True])
def test_a_unique_index_does_not_make_a_row_its_own_key(ordered: bool) -> None:
    preparer = Preparer(lambda _: target(TWO, ("a",)))
    one, two, three = ({"a": 1, "b": number} for number in (1, 2, None))
    rows = [
        record(1, "c", one, None, one),
        record(2, "u", one, one, two),
        record(3, "u", two, two, three),
    ]
    changes = steps_of(preparer, rows, ordered=ordered)[0].changes[0][1]
    assert changes.key == ()
    assert (changes.inserts.values, changes.removed.values) == ([(1, None)], [])


def test_a_primary_key_of_all_columns_is_a_key() -> None:
    preparer = Preparer(lambda _: target(TWO, ("a", "b"), primary_key=frozenset(TWO), not_null=frozenset(TWO)))
    row = {"a": 1, "b": 2}
    [step] = preparer.steps(batch([record(1, "d", row, row, None)]))
    assert step.changes[0][1].deletes.values == [(1, 2)]


def test_an_update_that_changes_nothing_of_a_row_that_is_its_own_replica_identity_is_none() -> None:
    preparer = Preparer(lambda _: target(TWO, ("a", "b"), not_null=frozenset(TWO)))
    row, other = {"a": 1, "b": 2}, {"a": 1, "b": 3}
    rows = [record(1, "u", row, None, row), record(2, "c", other, None, other)]
    changes = steps_of(preparer, rows, ordered=False)[0].changes[0][1]
    assert (changes.inserts.values, changes.removed.values) == ([(1, 3)], [])
