"""`stretto status`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import pytest

from tests.fix_cli import STRETTO, Cli
from tests.fix_stack import Database

NOWHERE = "host=127.0.0.1 port=1 user=postgres dbname=postgres"


def status(cli: Cli, **changed: str) -> tuple[int, dict[str, Any]]:
    done = cli("status", "-f", "json", **changed)
    return done.returncode, json.loads(done.stdout)


def test_before_init_it_names_the_next_command(cli: Cli) -> None:
    code, tree = status(cli)
    assert code == 0
    assert tree["hints"] == ["the source is not captured yet: `stretto init`"]
    assert tree["source"]["slot"] is None


def test_after_init_it_shows_slot_and_frontier(cli: Cli) -> None:
    cli.good("init")
    code, tree = status(cli)
    assert code == 0
    assert tree["hints"] == ["the follower holds no copy yet: `stretto follower add`"]
    assert tree["log"]["end_lsn"] == tree["source"]["slot"]["confirmed_flush_lsn"]
    assert tree["source"]["slot"]["active"] is False
    assert tree["follower"] is None


def test_with_all_running_every_stage_has_numbers(cli: Cli, leader_db: Database) -> None:
    leader_db.execute("create table item(id int primary key)")
    cli.good("init")
    with cli.running("run", "capture") as capture:
        cli.good("follower", "add")
        with cli.running("run", "follower") as follower:
            capture.until_ready()
            follower.until_ready()
            at = {
                "STRETTO_HTTP__CAPTURE_PORT": str(capture.port()),
                "STRETTO_HTTP__FOLLOWER_PORT": str(follower.port()),
            }
            code, tree = status(cli, **at)
            assert code == 0
            assert tree["processes"]["capture"]["state"] == "running"
            assert set(tree["lag"]) == {"wal", "capture", "log", "apply", "total"}
            assert None not in tree["lag"].values()
            table = cli.good("status", **at)
            assert "process capture" in table
            assert "written, not visible on the follower" in table


def test_what_does_not_answer_is_named_and_the_rest_is_shown(cli: Cli) -> None:
    cli.good("init")
    code, tree = status(cli, STRETTO_FOLLOWER__DSN=NOWHERE)
    assert code == 3
    assert len(tree["problems"]) == 1
    assert tree["log"]["sequence"] == 0


def test_another_pipelines_process_on_the_port_is_not_taken_for_ours(cli: Cli) -> None:
    cli.good("init")
    with cli.running("run", "capture") as capture:
        at = {"STRETTO_HTTP__FOLLOWER_PORT": str(capture.port())}
        _, tree = status(cli, **at)
        assert tree["processes"]["follower"]["state"] == "unreachable"
        assert "another process listens" in tree["processes"]["follower"]["said"]


@pytest.mark.parametrize("watch", [["-w", "0.1"], ["-w"]], ids=" ".join)
def test_watching_prints_a_line_a_look_until_ctrl_c(cli: Cli, watch: list[str]) -> None:
    process = subprocess.Popen(
        [STRETTO, "status", *watch, "-f", "json"],
        cwd=cli.folder,
        env=cli.environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        looks = [json.loads(process.stdout.readline()) for _ in range(2)]
        os.kill(process.pid, signal.SIGINT)
        assert process.stderr.read() == ""
    assert process.returncode == 130
    assert [look["source"]["name"] for look in looks] == ["leader", "leader"]
