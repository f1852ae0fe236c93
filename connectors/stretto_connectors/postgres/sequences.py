"""Sequences: their values are not in the WAL's row changes, so a follower gets them once, with headroom."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from stretto_schemas.errors import SettingsError

Connection = psycopg.Connection[tuple[Any, ...]]

HEADROOM_STEPS: Final = 10_000
"""How far a follower's sequence stands ahead of the source's, in increments: what the source may draw before a
failover without the follower handing out a number twice. Never more than a quarter of what is left of the sequence."""

_VALUES: Final = """
select schemaname::text, sequencename::text, coalesce(last_value, start_value), increment_by, min_value, max_value, cycle,
       last_value is not null,
       has_sequence_privilege(format('%I.%I', schemaname, sequencename), 'select,usage')
from pg_sequences where schemaname <> 'stretto' and schemaname !~ '^pg_'
"""


def ahead(value: int, increment: int, lowest: int, highest: int) -> int:
    """The value that stands `HEADROOM_STEPS` ahead, or less where the sequence ends sooner."""
    left = (highest - value) // increment if increment > 0 else (value - lowest) // -increment
    return value + increment * min(HEADROOM_STEPS, left // 4)


def copy_sequences(source: Connection, follower: Connection) -> int:
    """Set every sequence that both sides have; return how many. Call it after the rows: values only grow.

    A sequence that cycles gets the value as it is; one never used on the source gets headroom too.
    """
    done = 0
    for schema, name, value, increment, lowest, highest, cycles, used, readable in source.execute(_VALUES).fetchall():
        if not readable:
            raise SettingsError(
                f"sequence {schema}.{name} may not be read",
                expected="select or usage on every sequence of the source",
                fix="grant select on all sequences in schema ... to the role of section [source]",
            )
        if cycles and not used:
            continue
        new = value if cycles else ahead(value, increment, lowest, highest)
        found = follower.execute(
            "select setval(c.oid::regclass, %s) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = %s and c.relname = %s and c.relkind = 'S'",
            (new, schema, name),
        ).fetchone()
        done += found is not None
    return done
