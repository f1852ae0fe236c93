"""`stretto.testing.plugin` in somebody else's tests."""

from __future__ import annotations

from pathlib import Path

from tests.checkout import run_pytest

CONFTEST = """
pytest_plugins = ["stretto.testing.plugin"]
"""
TESTS = """
import psycopg
from confluent_kafka.admin import AdminClient
from stretto.testing.postgres import dsn

def test_servers(stretto_leader, stretto_kafka):
    with psycopg.connect(dsn(stretto_leader)) as conn:
        assert conn.execute("show wal_level").fetchall() == [("logical",)]
    brokers = AdminClient({"bootstrap.servers": stretto_kafka.bootstrap}).list_topics(timeout=10).brokers
    assert len(brokers) == 1

def test_a_broker_keeps_its_address_over_a_restart(stretto_kafka):
    container = stretto_kafka.get_wrapped_container()
    before = stretto_kafka.bootstrap
    container.restart()
    client = AdminClient({"bootstrap.servers": before})
    assert len(client.list_topics(timeout=60).brokers) == 1

def test_that_fails(stretto_leader):
    with psycopg.connect(dsn(stretto_leader)) as conn:
        conn.execute("select this_is_no_column")
"""


def test_servers_are_had_and_their_logs_are_shown_with_a_failure(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_theirs.py").write_text(TESTS)
    done = run_pytest("test_theirs.py", cwd=tmp_path, timeout=180)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    shown = done.stdout.partition("container leader (postgres:18)")[2]
    assert 'column "this_is_no_column" does not exist' in shown
