"""What a lag watcher asks a source: its WAL, its clock, its slot, its oldest writing transaction."""

from __future__ import annotations

from stretto_connectors.postgres.connection import Connection
from stretto_schemas.lag.facts import LongTransaction, SourceFacts
from stretto_schemas.lag.view import SlotView

LONG_S = 1.0
"""A transaction that is open for less is none to mention."""

_WAL = """
select coalesce(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - '0/0'::pg_lsn, 0),
       (extract(epoch from clock_timestamp()) * 1000000)::bigint,
       slot.slot_name, slot.active_pid is not null, coalesce(slot.confirmed_flush_lsn - '0/0'::pg_lsn, 0),
       coalesce(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - slot.restart_lsn, 0),
       coalesce(slot.wal_status, ''), slot.safe_wal_size
  from (values (1)) one left join pg_replication_slots slot on slot_name = %s
"""

_OLDEST = """
select extract(epoch from clock_timestamp() - xact_start)::float, pid, coalesce(application_name, ''), coalesce(state, '')
  from pg_stat_activity
 where backend_xid is not null and datname = current_database() and xact_start is not null
 order by xact_start limit 1
"""


def source_facts(conn: Connection, slot: str) -> SourceFacts:
    """Ask. Of other roles' transactions only who may see them is told (pg_read_all_stats)."""
    row = conn.execute(_WAL, (slot,)).fetchone()
    assert row is not None, "an outer join keeps its one row"
    wal, now_us, name, active, confirmed, retained, wal_status, safe = row
    oldest = conn.execute(_OLDEST).fetchone()
    return SourceFacts(
        wal_lsn=int(wal),
        now_us=now_us,
        slot=SlotView(name, active, int(confirmed), int(retained), wal_status) if name is not None else None,
        safe_wal_bytes=safe,
        long_transaction=LongTransaction(*oldest) if oldest is not None and oldest[0] >= LONG_S else None,
    )
