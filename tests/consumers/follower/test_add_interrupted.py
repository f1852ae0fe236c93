"""Ctrl-C while `stretto follower add` waits for the source's open transactions."""

from __future__ import annotations

import os
import signal
import subprocess

from stretto.embedded.processes import wait_until
from tests.fix_add import Adding
from tests.fix_processes import STRETTO, environment


def test_it_ends_cleanly_and_leaves_no_slot(adding: Adding) -> None:
    adding.leader.execute("create table t (id int primary key)")
    adding.init()
    slots = (
        "select from pg_replication_slots where slot_name like 'stretto\\_add\\_%' and database = current_database()"
    )
    own = {key: value for key, value in os.environ.items() if not key.startswith("STRETTO_")}
    given = environment(adding.settings)
    del given["STRETTO_FOLLOWER__SPILL_DIR"]
    with adding.connect_leader() as conn:
        conn.execute("begin; insert into t values (1)")
        process = subprocess.Popen(
            [STRETTO, "follower", "add"], env=own | given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            assert wait_until(lambda: bool(adding.leader.fetch(slots)), 60.0)
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 130, said
        assert "Traceback" not in said
        assert wait_until(lambda: not adding.leader.fetch(slots), 10.0)
        conn.execute("commit")
    adding.add()
    assert adding.follower.fetch("select id from t") == [(1,)]
