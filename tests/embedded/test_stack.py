"""`stretto up | down | ps`, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from stretto.embedded import places, stack
from stretto.embedded.processes import ProcessId, wait_until
from stretto.embedded.stack import PartStatus
from tests.embedded.conftest import another_postgres

STRETTO = Path(sys.executable).with_name("stretto")


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder that does not exist yet; whatever runs on it at the end is stopped."""
    with places.scratch_dir("stretto-test-") as folder:
        monkeypatch.setenv("STRETTO_DATA_DIR", str(folder / "stack"))
        yield folder / "stack"
        if (folder / "stack").exists():
            stretto("down")


def stretto(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([STRETTO, *arguments], capture_output=True, text=True, timeout=120, check=False)


def parts(data: Path) -> dict[str, PartStatus]:
    return {part.name: part for part in stack.ps(data)}


def states(data: Path) -> list[str]:
    return [part.state for part in stack.ps(data)]


def running(parts: Iterable[PartStatus]) -> list[str]:
    return [part.name for part in parts if part.pid and ProcessId.of(part.pid)]


def foreground() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [STRETTO, "up", "--foreground"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_up_ps_and_down(data: Path) -> None:
    assert set(states(data)) == {"down"}
    other = another_postgres(data.parent)
    done = stretto("up", "--postgres-bin", str(other))
    assert (done.returncode, done.stderr) == (0, "")
    assert {psutil.Process(parts(data)[name].pid).exe() for name in ("leader", "follower")} == {str(other / "postgres")}
    addresses = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    for name in ("leader", "follower"):
        with psycopg.connect(addresses[name]) as connection:
            assert connection.execute("show wal_level").fetchone() == ("logical",)
    again = stretto("up")
    assert again.returncode == 0
    assert "runs already" in again.stdout
    listed = parts(data)
    assert json.loads(stretto("ps", "-f", "json").stdout)[1]["pid"] == listed["leader"].pid
    table = stretto("ps").stdout
    assert list(listed) == ["supervisor", "leader", "follower", "kafka"]
    for part in listed.values():
        assert part.state == "up"
        assert part.memory_bytes > 1_000_000
        assert Path(part.log).exists()
        assert str(part.pid) in table
    assert addresses["kafka"] == f"127.0.0.1:{listed['kafka'].port}"
    down = stretto("down", "--volumes")
    assert (down.returncode, down.stderr) == (0, "")
    assert not data.exists()
    assert running(listed.values()) == []
    assert "was not running" in stretto("down").stdout


def test_what_a_killed_run_left_is_cleared_by_the_next_and_ctrl_c_stops_that_cleanly(data: Path) -> None:
    with foreground() as first:
        assert next_line(first).startswith("leader")
        before = parts(data)
        first.kill()
    assert wait_until(lambda: states(data) == ["down", "orphaned", "orphaned", "orphaned"], 10)
    with foreground() as second:
        assert next_line(second).startswith("leader")
        after = parts(data)
        assert [part.port for part in after.values()] == [part.port for part in before.values()]
        assert running(before.values()) == []
        second.send_signal(signal.SIGINT)
        _, said = second.communicate(timeout=60)
    assert second.returncode == 0
    assert said.splitlines() == [
        *(
            f"ending {name} (pid {before[name].pid}), which a killed run left behind"
            for name in ("leader", "follower", "kafka")
        ),
        "stopping",
        "stopped",
    ]
    assert set(states(data)) == {"down"}
    assert running(after.values()) == []


def test_a_folder_with_other_things_in_it_is_left_alone(data: Path) -> None:
    data.mkdir()
    (data / "thesis.tex").write_text("mine")
    for command in (["up"], ["up", "--foreground"], ["down", "--volumes"], ["ps"]):
        done = stretto(*command)
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {data} holds something that is not a stack's data\n")
        assert "Traceback" not in done.stderr
    assert [path.name for path in data.iterdir()] == ["thesis.tex"]
    (data / "thesis.tex").unlink()
    data.rmdir()


def test_a_taken_port_ends_the_start_and_leaves_nothing_running(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = stretto("up", "--follower-port", str(port))
    assert done.returncode == 2
    assert f"error: port {port} of 127.0.0.1, wanted by follower, is taken" in done.stderr
    assert f"(pid {os.getpid()})" in done.stderr
    assert "fix: end that process, or choose another port: stretto up --follower-port N" in done.stderr
    assert set(states(data)) == {"down"}
    assert data.exists()
