"""`stretto lag plot`, with a real monitor."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg

from stretto.embedded.processes import wait_until
from stretto.plot.history import history
from tests.fix_cli import STRETTO, Cli
from tests.fix_pipeline import Pipeline
from tests.fix_processes import Processes, environment
from tests.lag.conftest import address, where
from tests.lag.truth import beating

SEEN_S = 60.0
"""The monitor reads it without a package of its own."""


def plot(pipeline: Pipeline, folder: Path, *arguments: str, lag: str) -> subprocess.CompletedProcess[str]:
    """Run it; no traceback, whatever happens."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("STRETTO_")}
    settings = environment(pipeline.settings) | {"STRETTO_HTTP__LAG_ADDRESS": lag}
    done = subprocess.run(
        [STRETTO, "lag", "plot", *arguments],
        cwd=folder,
        env=own | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def test_lag_that_was_injected_is_in_the_picture_and_in_the_files(
    beaten: Pipeline, processes: Processes, tmp_path: Path
) -> None:
    capture, follower = processes.both()
    at = {"http__capture_address": address(capture), "http__follower_address": address(follower)}
    lag = address(processes.lag(**at, lag__look_s="0.3"))
    settings = where(beaten.settings, capture, follower)
    settings = settings.model_copy(update={"http": settings.http.model_copy(update={"lag_address": lag})})

    def seen(at_least_s: float) -> bool:
        found = history(settings, 300.0, "follower")
        return max(point.seconds.get("apply", 0.0) for point in found) > at_least_s

    with beating(beaten.leader, beaten.follower), psycopg.connect(beaten.follower.dsn) as holder:
        assert wait_until(lambda: plot(beaten, tmp_path, lag=lag).returncode == 0, SEEN_S)
        holder.execute("lock table beats in share mode")
        assert wait_until(lambda: seen(3.0), SEEN_S)

    done = plot(beaten, tmp_path, "--since", "5m", "--follower", "follower", lag=lag)
    assert done.returncode == 0, done.stderr
    assert "follower follower, all stages, last 5 min" in done.stdout
    words = [line.split() for line in done.stdout.splitlines() if "  most " in line]
    most = {stage: float(value) * {"s": 1.0, "ms": 0.001}[unit] for _, stage, *_, value, unit in words}
    assert list(most) == ["wal", "capture", "log", "apply", "total"]
    assert most["apply"] >= 3.0  # more than that, rounded
    assert most["log"] < 1.0
    assert plot(beaten, tmp_path, "--stage", "apply", "--html", "lag.html", lag=lag).stdout == "written: lag.html\n"
    assert "<polyline" in (tmp_path / "lag.html").read_text()
    picture = plot(beaten, tmp_path, "--png", "lag.png", lag=lag)
    assert picture.returncode == 0, picture.stderr
    assert (tmp_path / "lag.png").read_bytes().startswith(b"\x89PNG")

    nobody = plot(beaten, tmp_path, "--follower", "nobody", lag=lag)
    assert (nobody.returncode, "expected: one of follower" in nobody.stderr) == (2, True), nobody.stderr
    elsewhere = plot(beaten, tmp_path, "--html", "no/such/folder.html", lag=lag)
    assert (elsewhere.returncode, "cannot be written" in elsewhere.stderr) == (2, True), elsewhere.stderr
    process = plot(beaten, tmp_path, lag=address(capture))
    assert (process.returncode, "another process answers" in process.stderr) == (3, True), process.stderr


def test_without_a_monitor_it_says_what_to_run(bare_cli: Cli) -> None:
    done = bare_cli("lag", "plot", STRETTO_HTTP__LAG_PORT="1")
    assert done.returncode == 3
    assert "nothing listens" in done.stderr
    assert "`stretto run lag`" in done.stderr
    unknown = bare_cli("lag", "plot", STRETTO_HTTP__LAG_PORT="0")
    assert (unknown.returncode, "lag_address" in unknown.stderr) == (2, True)


def test_what_makes_no_sense_is_refused(bare_cli: Cli) -> None:
    for arguments, said in (
        (("--since", "soon"), "no duration"),
        (("--since", "48h"), "at most 24h"),
        (("--png", "a.png", "--html", "a.html"), "exclude each other"),
        (("--stage", "nowhere"), "'wal'"),
    ):
        done = bare_cli("lag", "plot", *arguments, STRETTO_HTTP__LAG_PORT="1")
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
