from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from stretto.embedded import places
from stretto.embedded.processes import wait_until

DEADLINE_S = 180.0


@pytest.fixture
def folder() -> Iterator[Path]:
    with places.scratch_dir("stretto-test-demo-") as folder:
        yield folder


@contextmanager
def demo(data: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command, its output in a pipe. At the end it is asked to stop."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stretto", "demo", "--data", str(data), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE_S)


def lines_until(process: subprocess.Popen[str], part: str) -> list[str]:
    """What it prints, up to a line with this in it."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if part in line:
            return lines
    raise AssertionError(f"it ended without saying {part!r}:\n{''.join(lines)}")


def followers_on(data: Path) -> list[psutil.Process]:
    """`stretto run follower` of a demo."""
    return [each for each in processes_on(data) if "follower" in each.cmdline()]


def processes_on(data: Path) -> list[psutil.Process]:
    """Servers and processes of a demo: its folder stands in their command lines."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(data) in part for part in process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_both_processes_are_killed_under_load_and_the_databases_end_equal(folder: Path) -> None:
    data = folder / "data"
    with demo(data, "--seconds", "12", "--rate", "100") as process:
        printed, _ = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, printed
    assert re.search(r"SIGKILL to capture \(pid \d+\)", printed)
    assert re.search(r"SIGKILL to follower \(pid \d+\)", printed)
    assert re.search(r"seen in Kafka: (an open transaction, [\d,]+ records?, was aborted|.* void)", printed)
    summary = printed[printed.index("Comparing leader and follower") :]
    for table in ("wide", "keyless", "Größe", "pgbench_accounts", 'Lager 1.a"b.c'):
        assert re.search(rf"^{re.escape(table)} +[\d,]+ +[\d,]+ +equal$", summary, re.MULTILINE), table
    for line in ("load", "Kafka", "follower", "median lag", "peak lag", "killed", "caught up"):
        assert re.search(rf"^{line} ", summary, re.MULTILINE), line
    assert re.search(r"^databases +equal: 19 tables, [\d,]+ rows", summary, re.MULTILINE)
    logged = re.search(r"^Kafka +([\d,]+) transactions .*, ([\d,]+) records", summary, re.MULTILINE)
    applied = re.search(r"^follower +([\d,]+) transactions, ([\d,]+) records", summary, re.MULTILINE)
    assert logged is not None
    assert applied is not None
    assert applied.groups() == logged.groups()
    assert not data.exists()
    assert processes_on(data) == []


def states(data: Path) -> tuple[str, ...]:
    """What `stretto status` finds of a demo: states of capture, of the follower process, of the follower."""
    command = [sys.executable, "-m", "stretto", "status", "--config", str(data / "stretto.toml"), "--format", "json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
    view = json.loads(said)
    [source], [follower] = view["sources"], view["followers"]
    return source["capture"]["state"], source["follower_process"]["state"], follower["state"]


def test_status_finds_all_of_it_and_an_interrupt_leaves_neither_processes_nor_files(folder: Path) -> None:
    data = folder / "data"
    with demo(data) as process:
        lines_until(process, "rows/s: load")
        assert states(data) == ("running", "running", "running")
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert not data.exists()
    assert processes_on(data) == []


def test_a_process_that_ends_by_itself_is_shown_with_its_last_lines(folder: Path) -> None:
    data = folder / "data"
    with demo(data, "--keep") as process:
        lines_until(process, "rows/s: load")
        assert wait_until(lambda: bool(followers_on(data)), DEADLINE_S)
        followers_on(data)[0].terminate()
        rest, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert "error: follower ended with exit code 0, and nobody had asked it to; its last lines:" in rest
    assert "SIGTERM: stopping" in rest
    assert processes_on(data) == []
    assert (data / "follower.log").exists()


def test_a_folder_that_holds_something_is_refused(folder: Path) -> None:
    (folder / "mine").write_text("")
    with demo(folder) as process:
        printed, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert f"{folder} is not empty" in printed
    assert (folder / "mine").exists()
