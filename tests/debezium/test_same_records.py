from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from stretto.embedded.kafka import EmbeddedKafka
from stretto.embedded.postgres import EmbeddedPostgres
from tests.debezium import accepted, records, sides, workload
from tests.debezium.records import Difference, Record
from tests.fix_stack import fresh_database

CAPTURES = (sides.ROOTS, sides.LEAVES)


@dataclass(frozen=True)
class Both:
    """The records of one workload as both captures wrote them, by capture, and the types of all columns."""

    theirs: dict[str, list[Record]]
    ours: dict[str, list[Record]]
    types: dict[tuple[str, str, str], str]

    def differences(self) -> Iterator[Difference]:
        for capture in CAPTURES:
            for left, right in records.pairs(self.theirs[capture.name], self.ours[capture.name]):
                for found in records.differences(left, right, self.types):
                    if not accepted.is_expected_by_set_up(found):
                        yield found


@pytest.fixture(scope="module")
def both(leader: EmbeddedPostgres, kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Slots first, then the workload, then each capture on its own slot: both read the same WAL."""
    folder: Path = tmp_path_factory.mktemp("debezium")
    with fresh_database(leader) as database, psycopg.connect(database.dsn, autocommit=True) as conn:
        workload.create(conn)
        settings = {capture.name: sides.environment(capture, database, kafka) for capture in CAPTURES}
        for capture in CAPTURES:
            sides.stretto(["init"], settings[capture.name])
            conn.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [f"debezium_{capture.name}"])
        workload.run(conn)
        types = workload.column_types(conn)
        ours = sides.stretto_records(kafka, folder, CAPTURES, settings)
        theirs = sides.debezium_records(database, kafka, folder, CAPTURES)
        yield Both(theirs, ours, types)


def test_the_workload_reaches_both_captures_whole(both: Both) -> None:
    for capture in CAPTURES:
        assert {"c", "u", "d", "m", "tombstone"} <= {record.kind for record in both.theirs[capture.name]}
    tables = {record.table for record in both.ours[sides.ROOTS.name]}
    assert len(tables) > 20
    assert len(both.ours[sides.ROOTS.name]) > 130


def test_every_record_is_what_debezium_writes_but_for_the_named_differences(both: Both) -> None:
    unexplained = [str(found) for found in both.differences() if accepted.explanation(found) is None]
    assert not unexplained, f"{len(unexplained)} differences:\n" + "\n".join(unexplained)


def test_every_named_difference_occurs(both: Both) -> None:
    occurred = Counter(why.name for found in both.differences() if (why := accepted.explanation(found)))
    assert [named.name for named in accepted.DIFFERENCES if not occurred[named.name]] == []


def test_each_side_keeps_the_order_of_changes_of_a_key(both: Both) -> None:
    for capture in CAPTURES:
        for side in (both.theirs, both.ours):
            last: dict[tuple[str, str], int] = {}
            for record in side[capture.name]:
                lsn = int(record.envelope["source"]["lsn"])
                assert last.get((record.topic, str(record.key)), 0) <= lsn, str(record)
                last[record.topic, str(record.key)] = lsn


def test_the_rows_of_a_transaction_share_its_id_in_stretto(both: Both) -> None:
    ids: dict[str, set[str]] = {}
    for record in both.ours[sides.ROOTS.name]:
        if record.envelope["transaction"] is not None:
            ids.setdefault(record.envelope["source"]["txId"], set()).add(record.envelope["transaction"]["id"])
    assert {len(found) for found in ids.values()} == {1}


def test_the_docs_have_the_current_table_of_differences() -> None:
    text = accepted.DOCS.read_text()
    assert accepted.page(text) == text, "write it anew: python -m tests.debezium.accepted"
