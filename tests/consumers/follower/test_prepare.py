"""From records to what is done to a table: which rows a key names, and what a table without key gets."""

from __future__ import annotations

import pytest

from stretto_consumers.follower.prepare import Preparer, Step
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
