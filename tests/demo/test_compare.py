from __future__ import annotations

from typing import Any

import pytest

from stretto.demo.compare import Checksum, Comparison, TableComparison, compare, differences
from stretto_schemas.errors import Unreachable, UsageError

ITEMS = "create table items (id int primary key, label text, amount float8)"
ROWS = "insert into items select i, 'label ' || i, i from generate_series(1, 5000) i"


@pytest.fixture
def both(leader_db: Any, follower_db: Any) -> tuple[Any, Any]:
    for database in (leader_db, follower_db):
        database.execute(ITEMS)
        database.execute(ROWS)
    return leader_db, follower_db


def compared(both: tuple[Any, Any]) -> Comparison:
    return compare(both[0].dsn, both[1].dsn)


def only_table(both: tuple[Any, Any]) -> TableComparison:
    [table] = compared(both).tables
    return table


def found(both: tuple[Any, Any], table: str = "items") -> list[tuple[str, str | None, tuple[str, ...]]]:
    return [(d.kind, d.key, d.columns) for d in differences(both[0].dsn, both[1].dsn, ("public", table))]


def test_the_same_rows_in_another_order_are_equal(both: tuple[Any, Any]) -> None:
    both[1].execute("delete from items")
    both[1].execute("insert into items select i, 'label ' || i, i from generate_series(5000, 1, -1) i")
    assert compared(both).equal
    assert compared(both).rows == 5000
    assert found(both) == []


def test_one_changed_byte_is_seen_and_its_column_named(both: tuple[Any, Any]) -> None:
    both[1].execute("update items set label = 'lAbel 77' where id = 77")
    assert not compared(both).equal
    assert found(both) == [("changed", "(77)", ("label",))]


def test_a_missing_row_is_seen_on_either_side(both: tuple[Any, Any]) -> None:
    both[0].execute("delete from items where id = 1")
    both[1].execute("delete from items where id = 2")
    assert not only_table(both).equal
    assert sorted(found(both)) == [("missing", "(2)", ()), ("surplus", "(1)", ())]


def test_values_swapped_between_two_rows_are_seen(both: tuple[Any, Any]) -> None:
    both[1].execute("update items set label = 'label ' || (7 - id) where id in (3, 4)")
    table = only_table(both)
    assert table.leader is not None
    assert table.follower is not None
    assert table.leader.rows == table.follower.rows
    assert not table.equal
    assert sorted(found(both)) == [("changed", "(3)", ("label",)), ("changed", "(4)", ("label",))]


@pytest.mark.parametrize(
    ("column", "on_leader", "on_follower"),
    [
        ("amount", "'-0'", "'0'"),
        ("label", "null", "''"),
        ("amount", "0.1", "0.1::float8 + 1.4e-17"),
        ("label", "'a '", "'a'"),
    ],
)
def test_values_that_compare_as_equal_or_look_alike_are_told_apart(
    both: tuple[Any, Any], column: str, on_leader: str, on_follower: str
) -> None:
    both[0].execute(f"update items set {column} = {on_leader} where id = 5")
    both[1].execute(f"update items set {column} = {on_follower} where id = 5")
    assert not compared(both).equal
    assert found(both) == [("changed", "(5)", (column,))]


def test_a_row_without_key_that_is_there_twice_more_is_seen(both: tuple[Any, Any]) -> None:
    for database in both:
        database.execute("create table keyless (a text, b int)")
        database.execute("insert into keyless select 'same', 1 from generate_series(1, 4)")
    assert compared(both).equal
    both[1].execute("insert into keyless select 'same', 1 from generate_series(1, 2)")
    assert [table.table for table in compared(both).differing] == ["keyless"]
    listed = differences(both[0].dsn, both[1].dsn, ("public", "keyless"))
    assert [(d.kind, d.key, d.leader_place, d.follower_place) for d in listed] == [
        ("surplus", None, None, "(0,5)"),
        ("surplus", None, None, "(0,6)"),
    ]


def test_a_keyless_row_changed_is_one_missing_and_one_surplus(both: tuple[Any, Any]) -> None:
    for database in both:
        database.execute("create table keyless (a text)")
        database.execute("insert into keyless values ('x'), ('y'), (null)")
    both[1].execute("update keyless set a = 'z' where a = 'y'")
    assert sorted(kind for kind, _, _ in found(both, "keyless")) == ["missing", "surplus"]


def test_differences_end_at_the_limit_and_carry_no_values(both: tuple[Any, Any]) -> None:
    both[1].execute("update items set label = 'secret'")
    listed = differences(both[0].dsn, both[1].dsn, ("public", "items"), limit=7)
    assert len(listed) == 7
    assert "secret" not in repr(listed)


def test_partitions_are_compared_through_their_root(both: tuple[Any, Any]) -> None:
    for database in both:
        database.execute("create table parts (id int primary key, note text) partition by range (id)")
        database.execute("create table parts_low partition of parts for values from (0) to (10)")
        database.execute("create table parts_high partition of parts for values from (10) to (20)")
        database.execute("insert into parts select i, 'x' from generate_series(0, 19) i")
    assert [table.table for table in compared(both).tables] == ["items", "parts"]
    both[1].execute("update parts set note = 'y' where id = 15")
    [only] = differences(both[0].dsn, both[1].dsn, ("public", "parts"))
    assert (only.kind, only.key, only.leader_place) == ("changed", "(15)", "public.parts_high(0,6)")


def test_a_child_by_inheritance_is_a_table_of_its_own(both: tuple[Any, Any]) -> None:
    for database in both:
        database.execute("create table child () inherits (items)")
        database.execute("insert into child values (1, 'child', 0)")
    both[1].execute("update child set label = 'other'")
    assert [table.table for table in compared(both).differing] == ["child"]


def test_tables_and_columns_of_one_side_only_are_named(both: tuple[Any, Any]) -> None:
    both[0].execute("create table extra (id int)")
    both[0].execute("alter table items add alone int")
    both[1].execute("alter table items add other int")
    both[1].execute("alter table items alter id type bigint")
    tables = {table.table: table for table in compared(both).tables}
    assert (tables["extra"].leader, tables["extra"].follower) == (Checksum(0, 0), None)
    assert tables["items"].leader_only == ("alone", "id")
    assert tables["items"].follower_only == ("id", "other")
    assert tables["items"].leader == tables["items"].follower
    assert not compared(both).equal


def test_columns_in_another_order_and_dropped_ones_make_no_difference(both: tuple[Any, Any]) -> None:
    both[1].execute("alter table items drop label")
    both[1].execute("alter table items add label text")
    both[1].execute("update items set label = 'label ' || id")
    assert compared(both).equal


def test_the_databases_own_settings_do_not_matter(both: tuple[Any, Any]) -> None:
    for database in both:
        database.execute("create table shown (d date, i interval, t timestamptz, f float8, b bytea, r regclass)")
        database.execute("insert into shown values ('2024-02-01', '1 day 2 hours', now(), 0.1, 'x', 'items')")
    both[1].execute("delete from shown")
    row = both[0].fetch("select d::text, i::text, extract(epoch from t)::text, f::text, b::text from shown")[0]
    both[1].execute(
        f"insert into shown values ('{row[0]}', '{row[1]}', to_timestamp({row[2]}), {row[3]}, '{row[4]}', 'items')"
    )
    [(name,)] = both[1].fetch("select quote_ident(current_database())")
    for setting in ("datestyle = german", "timezone = 'Asia/Tokyo'", "extra_float_digits = 0", "bytea_output = escape"):
        both[1].execute(f"alter database {name} set {setting}")
    assert compared(both).equal


def test_the_pipelines_own_schema_is_left_out(both: tuple[Any, Any]) -> None:
    both[1].execute("create schema if not exists stretto")
    both[1].execute("create table stretto.position_of_a_test (source text)")
    assert compared(both).equal


def test_odd_names_and_a_table_without_columns_are_compared(both: tuple[Any, Any]) -> None:
    for database in both:
        database.execute('create table "a""b.%s {x}" ("Größe 100%" int primary key, "select" text)')
        database.execute("""insert into "a""b.%s {x}" values (1, 'x')""")
        database.execute("create table empty ()")
        database.execute("insert into empty default values")
    assert compared(both).equal
    both[1].execute("""update "a""b.%s {x}" set "select" = 'y'""")
    both[1].execute("insert into empty default values")
    assert found(both, 'a"b.%s {x}') == [("changed", "(1)", ("select",))]
    assert [kind for kind, _, _ in found(both, "empty")] == ["surplus"]


def test_a_table_of_one_side_has_no_list_of_differences(both: tuple[Any, Any]) -> None:
    with pytest.raises(UsageError, match="has no table"):
        differences(both[0].dsn, both[1].dsn, ("public", "nowhere"))


def test_a_side_that_does_not_answer_is_unreachable(leader_db: Any) -> None:
    with pytest.raises(Unreachable, match="the follower"):
        compare(leader_db.dsn, "host=127.0.0.1 port=1 connect_timeout=2")
