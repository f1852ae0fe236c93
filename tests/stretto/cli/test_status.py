"""`stretto status`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from typing import Any

import pytest
import yaml

from stretto.embedded.processes import wait_until
from stretto_schemas.follower_state import TableCopy
from stretto_schemas.settings import Settings, load
from tests.fix_cli import DEADLINE_S, STRETTO, Cli
from tests.fix_proxy import black_hole
from tests.fix_stack import Database
from tests.followers_said import caught_up, publish

NOWHERE = "host=127.0.0.1 port=1 user=postgres dbname=postgres"


def status(cli: Cli, **changed: str) -> tuple[int, dict[str, Any]]:
    done = cli("status", "-f", "json", **changed)
    return done.returncode, json.loads(done.stdout)


def settings(cli: Cli) -> Settings:
    return load(None, {key: value for key, value in cli.settings.items() if "DATA_DIR" not in key})


def test_before_init_it_names_the_next_command(cli: Cli) -> None:
    code, tree = status(cli)
    assert code == 0
    assert tree["hints"] == ["the source is not captured yet: `stretto init`"]
    assert tree["sources"][0]["slot"] is None


def test_after_init_it_shows_slot_and_frontier(cli: Cli) -> None:
    cli.good("init")
    code, tree = status(cli)
    [source] = tree["sources"]
    assert code == 0
    assert tree["hints"] == ["the follower holds no copy yet: `stretto follower add`"]
    assert source["frontier_lsn"] == source["slot"]["confirmed_flush_lsn"]
    assert re.fullmatch(r"[0-9A-F]+/[0-9A-F]+", source["frontier_lsn"])
    assert source["slot"]["active"] is False
    assert tree["followers"] == []


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
            [source], [shown] = tree["sources"], tree["followers"]
            assert (source["capture"]["state"], source["follower_process"]["state"]) == ("running", "running")
            assert (shown["name"], shown["state"], shown["status"]) == ("follower", "running", "OK")
            assert set(shown["lag"]) == {"wal", "capture", "log", "apply", "total"}
            assert None not in shown["lag"].values()
            table = cli.good("status", **at)
            assert "process capture" in table
            assert "process follower" in table
            assert "written, not visible on the follower" in table
            assert "\nOK  " in table
        gone = at | {"STRETTO_HTTP__FOLLOWER_PORT": "1"}
        _, tree = status(cli, **gone)
        assert tree["sources"][0]["follower_process"]["said"] == "nothing listens on 127.0.0.1:1"
        assert "nothing listens on 127.0.0.1:1" in cli.good("status", **gone)


def test_what_does_not_answer_is_named_and_the_rest_is_shown(cli: Cli) -> None:
    cli.good("init")
    code, tree = status(cli, STRETTO_FOLLOWER__DSN=NOWHERE)
    assert code == 3
    assert len(tree["problems"]) == 1
    assert tree["sources"][0]["frontier_sequence"] == 0


def test_with_everything_down_the_table_says_so_and_what_to_do(cli: Cli) -> None:
    down = {f"STRETTO_{key}": value for key, value in (("SOURCE__DSN", NOWHERE), ("FOLLOWER__DSN", NOWHERE))}
    ports = {f"STRETTO_HTTP__{name}_PORT": "1" for name in ("CAPTURE", "FOLLOWER")}
    done = cli("status", **down, **ports, STRETTO_KAFKA__BOOTSTRAP="127.0.0.1:1")
    assert done.returncode == 3
    assert done.stderr == ""
    assert done.stdout.count("problem: ") == 3
    assert done.stdout.count("nothing listens on 127.0.0.1:1") == 2
    assert re.search(r"source leader +\? +does not answer", done.stdout)
    assert re.search(r"problem: Kafka at 127\.0\.0\.1:1 does not answer.*\n +(expected: .*\n +)?fix: ", done.stdout)


def test_places_at_which_all_packets_are_lost_are_given_up_however_long_they_may_take(cli: Cli) -> None:
    with black_hole() as port:
        nowhere = f"host=127.0.0.1,127.0.0.1 port={port},{port} user=postgres dbname=postgres connect_timeout=0"
        down = {f"STRETTO_{key}": nowhere for key in ("SOURCE__DSN", "FOLLOWER__DSN")}
        ports = {f"STRETTO_HTTP__{name}_PORT": str(port) for name in ("CAPTURE", "FOLLOWER", "LAG")}
        code, tree = status(cli, **down, **ports, STRETTO_KAFKA__BOOTSTRAP=f"127.0.0.1:{port}")
    assert code == 3
    found = sorted(problem["found"] for problem in tree["problems"])
    assert len(found) == 3
    assert found[0].startswith(f"Kafka at 127.0.0.1:{port} does not answer while asking for topic ")
    assert all(
        re.fullmatch(r"PostgreSQL at \S+ does not answer: nothing came from it for \d s", each) for each in found[1:]
    )
    [source] = tree["sources"]
    assert (source["capture"]["state"], source["follower_process"]["state"]) == ("unreachable", "unreachable")


def test_another_pipelines_process_on_the_port_is_not_taken_for_ours(cli: Cli) -> None:
    cli.good("init")
    with cli.running("run", "capture") as capture:
        at = {"STRETTO_HTTP__FOLLOWER_PORT": str(capture.port())}
        _, tree = status(cli, **at)
        process = tree["sources"][0]["follower_process"]
        assert process["state"] == "unreachable"
        assert "another process listens" in process["said"]


def test_one_look_shows_all_followers_the_worst_first(cli: Cli) -> None:
    cli.good("init")
    on = settings(cli)
    copying = [TableCopy("public.orders", 800, 1000)]
    publish(
        on,
        [
            caught_up(on, "asia"),
            caught_up(on, "berlin", state="copying", copied=0.8, copying=copying),
            caught_up(on, "chicago", state="paused", said="until the audit ends"),
        ],
    )
    with cli.running("run", "capture") as capture:  # where no heartbeat comes, what PostgreSQL writes by itself is lag
        at = {"STRETTO_HTTP__CAPTURE_PORT": str(capture.port())}
        assert wait_until(lambda: capture.get("/readyz")[0] == 200, DEADLINE_S), capture.log
        code, tree = status(cli, **at)
        lines = cli.good("status", **at).splitlines()
    assert code == 0
    shown = {each["name"]: (each["state"], each["status"]) for each in tree["followers"]}
    assert shown == {
        "asia": ("running", "OK"),
        "berlin": ("copying", "CATCHING_UP"),
        "chicago": ("paused", "STOPPED"),
    }
    berlin = tree["followers"][1]
    assert (berlin["copied"], berlin["copying"][0]["rows"]) == (0.8, 800)
    assert "80 % of its first copy" in berlin["reason"]
    places = [
        next(i for i, line in enumerate(lines) if line.startswith(name)) for name in ("chicago", "berlin", "asia")
    ]
    assert places == sorted(places)
    assert "until the audit ends" in lines[places[0]]
    assert "1 of 3 followers in trouble: chicago STOPPED" in lines


def test_the_alerts_are_the_monitors_and_none_without_one(cli: Cli) -> None:
    cli.good("init")
    on = settings(cli)
    publish(on, [caught_up(on, "asia", state="paused")])
    assert status(cli, STRETTO_HTTP__LAG_PORT="1")[1]["alerts"] == []
    with cli.running("run", "lag", STRETTO_LAG__LOOK_S="0.2", STRETTO_LAG__ALERT_AFTER_S="0.2") as monitor:
        at = {"STRETTO_HTTP__LAG_PORT": str(monitor.port())}
        assert wait_until(lambda: json.loads(monitor.get("/status")[2])["alerts"], DEADLINE_S), monitor.log
        [alert] = status(cli, **at)[1]["alerts"]
        assert (alert["follower"], alert["status"], alert["recovered"]) == ("asia", "STOPPED", False)
        document = yaml.safe_load(cli.good("status", "-f", "yaml", **at))
        assert document["alerts"] == [alert]


def test_yaml_is_the_same_tree_as_json_and_tsv_has_a_row_a_stage(cli: Cli) -> None:
    cli.good("init")
    on = settings(cli)
    publish(on, [caught_up(on, "asia"), caught_up(on, "berlin")])

    def shape(tree: Any) -> Any:
        """Which keys there are; figures differ from look to look."""
        if isinstance(tree, dict):
            return {key: shape(each) for key, each in tree.items()}
        return [shape(each) for each in tree] if isinstance(tree, list) else type(tree).__name__

    with cli.running("run", "capture") as capture:
        at = {"STRETTO_HTTP__CAPTURE_PORT": str(capture.port())}
        assert wait_until(lambda: capture.get("/readyz")[0] == 200, DEADLINE_S), capture.log
        code, tree = status(cli, **at)
        document = yaml.safe_load(cli.good("status", "-f", "yaml", **at))
        head, *rows = [line.split("\t") for line in cli.good("status", "-f", "tsv", **at).splitlines()]
    assert code == 0
    assert shape(document) == shape(tree)
    assert [each["name"] for each in document["followers"]] == ["asia", "berlin"]
    assert head == ["source", "follower", "state", "status", "stage", "bytes", "records", "seconds"]
    assert [(row[1], row[4]) for row in rows] == [
        (name, stage) for name in ("asia", "berlin") for stage in ("wal", "capture", "log", "apply", "total")
    ]
    assert all(len(row) == len(head) for row in rows)


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
    assert [look["sources"][0]["name"] for look in looks] == ["leader", "leader"]


def test_watching_in_rows_prints_the_head_once(cli: Cli) -> None:
    cli.good("init")
    on = settings(cli)
    publish(on, [caught_up(on, "asia")])
    with subprocess.Popen(
        [STRETTO, "status", "-w", "0.1", "-f", "tsv"],
        cwd=cli.folder,
        env=cli.environment({}),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(11)]
        os.kill(process.pid, signal.SIGINT)
    assert [line.startswith("source\t") for line in lines] == [True] + 10 * [False]
