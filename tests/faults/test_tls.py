"""Sessions under TLS that are cut: libpq has other words for their end, and they are waited for all the same."""

from __future__ import annotations

from pathlib import Path

from tests.faults.conftest import Faults
from tests.fix_tls import tls_front


def test_a_network_under_tls_that_is_cut(faults: Faults, tmp_path: Path) -> None:
    pipeline = faults.pipeline
    leader, follower = tmp_path / "tls-leader", tmp_path / "tls-follower"
    leader.mkdir()
    follower.mkdir()
    with (
        tls_front(pipeline.leader.port, leader) as to_leader,
        tls_front(pipeline.follower.port, follower) as to_follower,
    ):
        places = {}
        for side, database, front in (
            ("source", pipeline.leader, to_leader),
            ("follower", pipeline.follower, to_follower),
        ):
            dsn = database.dsn.replace(f"port={database.port}", f"port={front.port}")
            places[f"{side}__dsn"] = f"{dsn} sslmode=verify-full sslrootcert={front.certificate}"
        load = faults.load(pause_s=0.005)
        capture, applier = faults.processes.both(**places)
        load.wait_for_more(100)
        faults.settled()
        before = to_leader.encrypted, to_follower.encrypted
        for front in (to_leader, to_follower):
            front.cut()
        capture.says("trying again")
        applier.says("trying again")
        for front in (to_leader, to_follower):
            front.mend()
        load.wait_for_more(100)
        faults.check()
        assert to_leader.encrypted > before[0]
        assert to_follower.encrypted > before[1]
        capture.stop()
        applier.stop()
