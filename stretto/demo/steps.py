"""What the demo's writer does inside a transaction: each step changes rows of one or a few tables.

Steps draw everything from the session's random numbers and the tables' contents, so the same seed on the same tables
gives the same writes. Rows are locked in key order, so several writers may run side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from stretto.demo.session import Session
from stretto.demo.tables import ACCOUNTS, body

Step = Callable[[Session], None]


def wide_insert(s: Session) -> None:
    """Up to four rows with a value of every type."""
    s.counts["wide"] += s.wide.insert_rows(s.conn, s.some(4), s.rng)


def wide_update(s: Session) -> None:
    """A few columns of up to four rows."""
    s.counts["wide"] += s.wide.update_rows(s.conn, s.some(4), s.rng)


def wide_rekey(s: Session) -> None:
    """New keys, all other values untouched, out of line or not."""
    s.counts["wide"] += s.wide.rekey_rows(s.conn, s.some(2), s.rng)


def wide_delete(s: Session) -> None:
    """Up to three rows."""
    s.counts["wide"] += s.wide.delete_rows(s.conn, s.some(3), s.rng)


def keyless_insert(s: Session) -> None:
    """The same row two to five times."""
    s.write(
        "keyless",
        "insert into keyless select %s, %s, %s, '2024-01-01' from generate_series(1, %s)",
        *(f"kind {s.some(5)}", s.some(7), s.rng.choice((None, s.text())), 1 + s.some(4)),
    )


# In order of the rows' text: by ctid, the choice would depend on when the table was vacuumed.
_DELETE_KEYLESS: Final = """
delete from keyless where ctid = any(array(
    select ctid from keyless where kind = %s order by keyless::text limit %s for update))
"""
_UPDATE_KEYLESS: Final = """
update keyless set amount = %s where ctid = any(array(
    select ctid from keyless where kind = %s order by keyless::text limit %s for update))
"""


def keyless_change(s: Session) -> None:
    """One of several equal rows is updated or deleted; the others stay."""
    kind = f"kind {s.some(5)}"
    if s.rng.random() < 0.6:
        s.write("keyless", _DELETE_KEYLESS, kind, s.some(3))
    else:
        s.write("keyless", _UPDATE_KEYLESS, s.some(7), kind, s.some(3))


def seat_insert(s: Session) -> None:
    """Half of the rows have no seat; two NULLs do not collide."""
    s.write(
        "seats",
        "insert into seats (seat, holder, body) "
        "values (case when %s then nextval(pg_get_serial_sequence('seats', 'id')) end, %s, %s)",
        *(s.rng.random() < 0.5, s.text(), body(s.rng)),
    )


def seat_swap(s: Session) -> None:
    """The unique values of two or three rows go round, over NULL; the bodies are not touched."""
    ids = s.keys("seats", "id", 1 + s.some(2))
    found = dict(s.conn.execute("select id, seat from seats where id = any(%s)", [ids]).fetchall())
    s.write("seats", "update seats set seat = null where id = any(%s)", ids)
    for key, source in zip(ids, ids[1:] + ids[:1], strict=True):
        s.write("seats", "update seats set seat = %s where id = %s", found[source], key)


def seat_handover(s: Session) -> None:
    """A row goes and another takes its unique value."""
    ids = s.keys("seats", "id", 2)
    if len(ids) == 2:
        found = s.conn.execute("delete from seats where id = %s returning seat", [ids[0]]).fetchone()
        s.counts["seats"] += 1
        s.write("seats", "update seats set seat = %s where id = %s", found and found[0], ids[1])


def seat_again(s: Session) -> None:
    """A row is deleted and inserted with the same key, then updated, in one transaction."""
    for key in s.keys("seats", "id", 1):
        s.write("seats", "delete from seats where id = %s", key)
        s.write("seats", "insert into seats (id, seat, holder) values (%s, %s, 'again')", key, None)
        s.write("seats", "update seats set holder = %s where id = %s", s.text(), key)


def seat_ids_swap(s: Session) -> None:
    """Two rows swap their primary keys; bodies that lie out of line are not touched."""
    ids = s.keys("seats", "id", 2)
    if len(ids) == 2:
        for old, new in ((ids[0], -1), (ids[1], ids[0]), (-1, ids[1])):
            s.write("seats", "update seats set id = %s where id = %s", new, old)


def seat_passing(s: Session) -> None:
    """A row comes and goes inside one transaction."""
    new = s.conn.execute("insert into seats (holder) values ('passing') returning id").fetchone()
    s.counts["seats"] += 1
    s.write("seats", "delete from seats where id = %s", new and new[0])


def order_insert(s: Session) -> None:
    """A parent with one to six children; some point to another parent."""
    replaced = s.keys("orders", "id", 1) if s.rng.random() < 0.3 else []
    new = s.conn.execute(
        "insert into orders (customer, replaces) values (%s, %s) returning id",
        (f"customer {s.some(50)}", replaced[0] if replaced else None),
    ).fetchone()
    s.counts["orders"] += 1
    s.write(
        "order_lines",
        "insert into order_lines select %s, l, %s, l * 0.5 from generate_series(1, %s) l",
        *(new and new[0], s.text(), s.some(6)),
    )


def order_delete(s: Session) -> None:
    """The lines go by cascade; an order that replaced this one points nowhere."""
    s.write("orders", "delete from orders where id = any(%s)", s.keys("orders", "id", s.some(2)))


def order_rekey(s: Session) -> None:
    """The lines follow by cascade."""
    s.rekey("orders", s.some(2))


def order_lines_move(s: Session) -> None:
    """Lines of one order go to the end of another one, then the emptied order goes."""
    ids = s.keys("orders", "id", 2)
    if len(ids) == 2:
        s.write(
            "order_lines",
            "update order_lines set order_id = %s, line = line + 1 + "
            "(select coalesce(max(line), 0) from order_lines where order_id = %s) where order_id = %s",
            *(ids[0], ids[0], ids[1]),
        )
        s.write("orders", "delete from orders where id = %s", ids[1])


def order_lines_price(s: Session) -> None:
    """All children of up to three parents."""
    s.write(
        "order_lines",
        "update order_lines set price = price + 0.01, article = %s where order_id = any(%s)",
        *(s.text(), s.keys("orders", "id", 3)),
    )


def document_insert(s: Session) -> None:
    """A body of several kB, out of line."""
    for table in ("documents", "archives"):
        s.write(table, "insert into {table} (body) values (%s)", body(s.rng))


def document_version(s: Session) -> None:
    """The body stays out of line, untouched, and is not in the WAL."""
    for table in ("documents", "archives"):
        ids = s.keys(table, "id", s.some(5))
        s.write(table, "update {table} set version = version + 1 where id = any(%s)", ids)


def document_rekey(s: Session) -> None:
    """A new primary key with the body untouched."""
    for table in ("documents", "archives"):
        s.rekey(table, s.some(2))


def document_body(s: Session) -> None:
    """A new body, NULL, or a text that looks like Debezium's placeholder for an unchanged one."""
    for table in ("documents", "archives"):
        new = s.rng.choice((body(s.rng), "", None, "__debezium_unavailable_value"))
        s.write(table, "update {table} set body = %s where id = any(%s)", new, s.keys(table, "id", 1))


def document_delete(s: Session) -> None:
    """One row of each table."""
    for table in ("documents", "archives"):
        s.write(table, "delete from {table} where id = any(%s)", s.keys(table, "id", 1))


def ticket_change(s: Session) -> None:
    """Insert, update, new code and delete under a replica identity that is an index."""
    s.write("tickets", "insert into tickets values (nextval('tickets_code'), 'open', %s)", s.text())
    s.write("tickets", "update tickets set state = %s where code = any(%s)", s.text(), s.keys("tickets", "code", 2))
    rekey = "update tickets set code = nextval('tickets_code') where code = any(%s)"
    s.write("tickets", rekey, s.keys("tickets", "code", 1))
    s.write("tickets", "delete from tickets where code = any(%s)", s.keys("tickets", "code", 1))


def odd_names(s: Session) -> None:
    """Names that need quoting, in both tables that have them."""
    table = "Größe"
    s.write(table, 'insert into {table} ("select", "naïve Spalte", "%%s") values (%s, %s, %s)', s.text(), 1, s.text())
    update = 'update {table} set "select" = %s, "Ελλάδα.日本" = to_jsonb(%s::text) where "a""b" = any(%s)'
    s.write(table, update, s.text(), s.text(), s.keys(table, 'a"b', 2))
    s.write(table, 'delete from {table} where "a""b" = any(%s)', s.keys(table, 'a"b', 1))
    group, number = f"Gruppe {s.some(3)}", s.some(2000)
    s.write(
        'a"b.c',
        """insert into "Lager 1"."a""b.c" values (%s, %s, %s)
           on conflict ("Group", "order") do update set "value" = excluded."value" """,
        *(number, group, s.text()),
    )
    s.write('a"b.c', 'delete from "Lager 1"."a""b.c" where "Group" = %s and "order" = %s', group, s.some(2000))


def measure_insert(s: Session) -> None:
    """One row, in whichever partition it belongs to."""
    values = (s.some(200), s.rng.choice(("-0", "0", "NaN", "0.1", "1e-300")), s.text())
    s.write("measures", "insert into measures (region, value, note) values (%s, %s, %s)", *values)


def measure_move(s: Session) -> None:
    """Rows go from one partition to the other: the WAL says delete and insert."""
    s.write("measures", "update measures set region = 199 - region where id = any(%s)", s.keys("measures", "id", 3))


def measure_delete(s: Session) -> None:
    """One row, from whichever partition it is in."""
    s.write("measures", "delete from measures where id = any(%s)", s.keys("measures", "id", 1))


def measures_bulk(s: Session) -> None:
    """Some thousand rows in one transaction: some come, the oldest go, the others change."""
    n = 100 * s.some(5)
    s.write("measures", "insert into measures (region, value) select i %% 200, i from generate_series(1, %s) i", n)
    s.write(
        "measures",
        "delete from measures where id in (select id from measures order by id limit greatest(0, "
        "(select count(*) from measures) - 3000))",
    )
    s.write("measures", "update measures set value = value + 1 where region < %s", s.some(30))


def invoice_change(s: Session) -> None:
    """Identity `always` and generated columns, which take no value from outside."""
    values = (s.rng.choice(("0.10", "1e10", "NaN", "12.3400")), s.some(9), s.text())
    s.write("invoices", "insert into invoices (price, quantity, label) values (%s, %s, %s)", *values)
    update = "update invoices set quantity = quantity + 1 where id = any(%s)"
    s.write("invoices", update, s.keys("invoices", "id", 2))
    s.write("invoices", "update invoices set id = default where id = any(%s)", s.keys("invoices", "id", 1))
    s.write("invoices", "delete from invoices where id = any(%s)", s.keys("invoices", "id", 1))


def transfer(s: Session) -> None:
    """Money goes from one account to some others; the total never changes."""
    ids = sorted(s.rng.sample(range(1, ACCOUNTS + 1), 1 + s.some(4)))
    payer, amount = s.rng.choice(ids), s.some(1000)
    for key in ids:
        change = -amount * (len(ids) - 1) if key == payer else amount
        update = "update accounts set balance = balance + %s, moves = moves + 1 where id = %s"
        s.write("accounts", update, change, key)


def scratch_fill(s: Session) -> None:
    """A parent with children comes, another parent goes with its children."""
    new = s.conn.execute("insert into scratch (note) values (%s) returning id", [s.text()]).fetchone()
    s.counts["scratch"] += 1
    s.write(
        "scratch_lines",
        "insert into scratch_lines (scratch_id, note) select %s, 'line ' || i from generate_series(1, %s) i",
        *(new and new[0], s.some(4)),
    )
    s.write("scratch", "delete from scratch where id = any(%s)", s.keys("scratch", "id", 1))


TRUNCATES: Final = (
    "truncate scratch_lines",
    "truncate scratch cascade",
    "truncate scratch, scratch_lines",
    "truncate scratch, scratch_lines restart identity",
    "truncate scratch restart identity cascade",
    "truncate only scratch_lines continue identity",
)


def scratch_truncate(s: Session) -> None:
    """Rows before and after the TRUNCATE in the same transaction."""
    scratch_fill(s)
    s.conn.execute(s.rng.choice(TRUNCATES).encode())
    s.counts["scratch_lines"] += 1
    scratch_fill(s)


def message(s: Session) -> None:
    """A logical message, with the transaction or at once; it changes no row."""
    transactional = s.rng.random() < 0.5
    s.conn.execute("select pg_logical_emit_message(%s, 'demo', 'Größe')", [transactional])


STEPS: Final[Sequence[tuple[Step, int]]] = (
    *((wide_insert, 6), (wide_update, 10), (wide_rekey, 2), (wide_delete, 7)),
    *((keyless_insert, 6), (keyless_change, 10)),
    *((seat_insert, 6), (seat_swap, 8), (seat_handover, 3), (seat_again, 4), (seat_ids_swap, 3), (seat_passing, 2)),
    *((order_insert, 10), (order_delete, 5), (order_rekey, 4), (order_lines_move, 3), (order_lines_price, 6)),
    *((document_insert, 3), (document_version, 10), (document_rekey, 3), (document_body, 2), (document_delete, 3)),
    *((ticket_change, 5), (odd_names, 6), (invoice_change, 6)),
    *((measure_insert, 5), (measure_move, 6), (measure_delete, 3), (measures_bulk, 1)),
    *((transfer, 25), (scratch_fill, 5), (scratch_truncate, 1), (message, 2)),
)
"""Each step with its weight in the draw."""
