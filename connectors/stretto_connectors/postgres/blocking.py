"""Who holds a lock that a session waits for."""

from __future__ import annotations

from stretto_connectors.postgres.connection import Connection


def blockers(conn: Connection, pid: int) -> str:
    """The sessions that `pid` waits for, in words without anybody's data; empty when it waits for none.

    Source: https://www.postgresql.org/docs/current/functions-info.html (pg_blocking_pids).
    """
    rows = conn.execute(
        "select activity.pid, coalesce(nullif(application_name, ''), backend_type, 'another session'), coalesce(state, 'unknown'),"
        " coalesce(extract(epoch from clock_timestamp() - xact_start), 0)::float"
        " from unnest(pg_blocking_pids(%s)) blocking(pid) left join pg_stat_activity activity using (pid)"
        " where activity.pid is not null order by xact_start limit 3",
        (pid,),
    ).fetchall()
    return "; ".join(
        f"pid {blocker} ({application}, {state}, transaction open for {seconds:.0f} s)"
        for blocker, application, state, seconds in rows
    )
