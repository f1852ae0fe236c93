"""Who holds a lock that a session waits for."""

from __future__ import annotations

from collections.abc import Sequence

from stretto_connectors.postgres.connection import Connection


def blockers(conn: Connection, pids: Sequence[int]) -> str:
    """The other sessions that any of `pids` waits for, in words without anybody's data; empty when they wait for none.

    Source: https://www.postgresql.org/docs/current/functions-info.html (pg_blocking_pids).
    """
    rows = conn.execute(
        "select activity.pid, coalesce(nullif(application_name, ''), backend_type, 'another session'), coalesce(state, 'unknown'),"
        " coalesce(extract(epoch from clock_timestamp() - xact_start), 0)::float"
        " from (select distinct unnest(pg_blocking_pids(waiting)) from unnest(%(pids)s::int[]) waiting) blocking(pid)"
        " join pg_stat_activity activity using (pid) where pid <> all (%(pids)s::int[]) order by xact_start limit 3",
        {"pids": list(pids)},
    ).fetchall()
    return "; ".join(
        f"pid {blocker} ({application}, {state}, transaction open for {seconds:.0f} s)"
        for blocker, application, state, seconds in rows
    )


def sessions(conn: Connection, *applications: str) -> list[int]:
    """Processes of this database's sessions that call themselves so."""
    rows = conn.execute(
        "select pid from pg_stat_activity where application_name = any (%s) and datname = current_database()",
        (list(applications),),
    ).fetchall()
    return [pid for (pid,) in rows]
