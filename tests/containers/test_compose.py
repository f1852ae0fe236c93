"""The compose file, from `up` to `down -v`, as README tells it."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from stretto.embedded.processes import wait_until
from stretto_schemas import metrics
from tests.containers.composed import Composed
from tests.deploy.test_rules import CHECKS
from tests.pages import block
from tests.panels import asked, empty, panels

ALL = ("leader", "follower-db", "kafka", "capture", "follower", "lag", "web")
OURS = ("capture", "follower", "lag", "web")
ROWS_S = 60.0
"""Rows that are written once all is healthy are on the follower within this."""


def tour() -> list[str]:
    """The commands of the README's tour, continued lines joined."""
    return block("README.md", "sh", after="With Docker Compose").replace("\\\n", " ").splitlines()


@pytest.fixture(scope="module")
def composed() -> Iterator[Composed]:
    """All that has no profile, as the README brings it up."""
    with Composed() as made:
        made.bash(tour()[0])
        assert wait_until(lambda: made.healthy(*ALL), 120.0), made.services()
        yield made


def test_the_tour_of_the_readme(composed: Composed) -> None:
    up, ps, write, consume, read, lag, stop, write_more, lag_grows, start, lag_is_gone, down = tour()
    assert "docker compose up" in up
    assert composed.bash(ps).count("(healthy)") == len(ALL)
    composed.bash(write)
    assert "hello" in composed.bash(consume)
    assert "hello" in composed.bash(read)

    def bytes_behind(line: str) -> str:
        [total] = re.findall(r"^total +(\S+)", composed.bash(line), re.MULTILINE)
        return str(total)

    assert wait_until(lambda: bytes_behind(lag) == "0", 20.0)  # heartbeats are under way now and then
    composed.bash(stop)
    composed.bash(write_more)
    assert bytes_behind(lag_grows) != "0"
    composed.bash(start)
    assert wait_until(lambda: bytes_behind(lag_is_gone) == "0", 30.0)
    assert composed.equal("select count(*) from notes")
    assert "down --volumes" in down


def test_rows_written_to_the_leader_are_on_the_follower(composed: Composed) -> None:
    composed.leader("create table written (id int primary key, body text)")
    composed.leader("insert into written select i, 'note ' || i from generate_series(1, 1000) i")
    assert wait_until(lambda: composed.equal("select count(*), sum(hashtext(body)) from written"), ROWS_S)
    said = composed.log("setup").splitlines()
    assert any("source leader is ready" in line for line in said)
    what, where, trouble = said[-3:]
    assert f"127.0.0.1:{composed.leader_port} is copied to 127.0.0.1:{composed.follower_port}" in what
    assert f"http://127.0.0.1:{composed.web_port}" in where
    assert f"http://127.0.0.1:{composed.capture_port}" in where
    assert "stretto doctor" in trouble


def test_the_containers_of_ours_may_write_nothing_but_their_own(composed: Composed) -> None:
    for service in OURS:
        done = composed.run("exec", "-T", service, "sh", "-c", "id -u; touch /x /opt/stretto/x; cat /proc/self/status")
        assert done.stdout.startswith("10001\n")
        assert done.stderr.count("Read-only file system") == 2
        assert "CapEff:\t0000000000000000" in done.stdout


def test_no_volume_of_ours_is_without_a_name(composed: Composed) -> None:
    """One that has none outlives its container when `--scale` takes that away."""
    for service in OURS:
        form = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}'
        container = f"{composed.name}-{service}-1"
        done = subprocess.run(
            ["docker", "inspect", "--format", form, container], check=True, capture_output=True, text=True
        )
        assert all(name.startswith(composed.name) for name in done.stdout.split()), done.stdout


def test_only_loopback_is_published(composed: Composed) -> None:
    for name, container in composed.services().items():
        published = [each["URL"] for each in container["Publishers"] or () if each["PublishedPort"]]
        assert set(published) <= {"127.0.0.1"}, name


def page(port: int, path: str) -> str:
    """What a process answers on this machine's loopback."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def test_the_monitor_judges_the_follower_and_the_page_shows_it(composed: Composed) -> None:
    def statuses(view: str) -> dict[str, str]:
        return {each["name"]: each["status"] for each in json.loads(view)["followers"]}

    assert wait_until(lambda: statuses(page(composed.lag_port, "/status")) == {"follower": "OK"}, 60.0)
    assert wait_until(lambda: statuses(page(composed.web_port, "/view")) == {"follower": "OK"}, 60.0)
    assert "Stretto" in page(composed.web_port, "/")


@pytest.fixture(scope="module")
def observed(composed: Composed) -> Composed:
    """With Prometheus."""
    composed.run("up", "--detach", "--no-recreate", "prometheus")
    assert wait_until(lambda: composed.healthy("prometheus"), 60.0)
    return composed


def test_prometheus_has_every_documented_metric(observed: Composed) -> None:
    running = {"capture", "follower", "monitor"}
    wanted = {name.name for name in metrics.ALL if running & set(name.by) and not name.when}

    def lacking() -> set[str]:
        found = set(asked(observed.prometheus, "label/__name__/values"))
        return {name for name in wanted if not {name, f"{name}_count"} & found}

    assert wait_until(lambda: not lacking(), 60.0), lacking()


@pytest.mark.parametrize("arguments", CHECKS, ids=" ".join)
def test_the_rules_are_what_promtool_takes(observed: Composed, arguments: tuple[str, ...]) -> None:
    *command, file = arguments
    done = observed.run("exec", "-T", "prometheus", "promtool", *command, f"/etc/stretto/{file}")
    assert "SUCCESS" in done.stdout


def test_every_panel_of_the_dashboards_shows_something(observed: Composed) -> None:
    """Two scrapes lie 5 s apart, so rates need some more than the shortest that Grafana takes."""
    observed.run("up", "--detach", "--no-recreate", "load")
    try:
        shown = panels()
        assert wait_until(lambda: not empty(observed.prometheus, shown, "30s"), 120.0), empty(
            observed.prometheus, shown, "30s"
        )
    finally:
        observed.run("rm", "--stop", "--force", "load")


def test_status_asks_both_processes(composed: Composed) -> None:
    [source] = composed.status()["sources"]
    assert (source["capture"]["state"], source["follower_process"]["state"]) == ("running", "running")


def test_the_load_reaches_the_follower(composed: Composed) -> None:
    composed.run("up", "--detach", "--no-recreate", "load")
    try:
        assert wait_until(lambda: composed.healthy("load"), 60.0), composed.services()
        loaded = "select count(*) > 100 from pgbench_history"
        assert wait_until(lambda: composed.follower_has(loaded), ROWS_S)
    finally:
        composed.run("rm", "--stop", "--force", "load")
    sums = "select (select sum(abalance) from pgbench_accounts), (select sum(delta) from pgbench_history)"
    assert wait_until(lambda: composed.equal(sums), ROWS_S)
    [(accounts, history)] = composed.follower(sums)
    assert accounts == history


def test_a_second_follower_stands_by_and_takes_over(composed: Composed) -> None:
    composed.leader("create table taken_over (id int primary key)")
    composed.run("up", "--detach", "--no-recreate", "--scale", "follower=2", "follower")
    assert wait_until(lambda: composed.healthy("follower", count=2), 60.0), composed.services()
    subprocess.run(["docker", "kill", f"{composed.name}-follower-1"], check=True, capture_output=True)
    composed.leader("insert into taken_over select generate_series(1, 100)")
    assert wait_until(lambda: composed.follower_has("select count(*) = 100 from taken_over"), ROWS_S)
    composed.run("up", "--detach", "--scale", "follower=1", "follower")
    assert wait_until(lambda: composed.healthy(*ALL), 60.0), composed.services()


@pytest.mark.parametrize("service", ["capture", "follower", "kafka", "leader", "follower-db"])
def test_each_service_is_killed_and_comes_back(composed: Composed, service: str) -> None:
    composed.leader(f"create table killed_{service.replace('-', '_')} (id int primary key)")
    composed.run("kill", service)
    if service != "leader":
        composed.leader(f"insert into killed_{service.replace('-', '_')} select generate_series(1, 500)")
    composed.run("up", "--detach", "--no-recreate", service)
    if service == "leader":
        assert wait_until(lambda: composed.healthy("leader"), 60.0)
        composed.leader("insert into killed_leader select generate_series(1, 500)")
    query = f"select count(*) from killed_{service.replace('-', '_')}"
    assert wait_until(lambda: composed.equal(query), 90.0)
    assert composed.follower(query) == [(500,)]
    assert wait_until(lambda: composed.healthy(*ALL), 60.0), composed.services()


CUTS = (Composed.paused, Composed.disconnected)


def insert_into(table: str) -> bytes:
    return f"insert into {table} select coalesce(max(id), 0) + 1 from {table}".encode()


@pytest.mark.parametrize("cut", CUTS)
def test_a_broker_that_falls_silent_is_named_and_nothing_is_lost(
    composed: Composed, cut: Callable[[Composed, str], AbstractContextManager[None]]
) -> None:
    """Packets vanish, or nobody takes them up: other than after a kill no connection is reset."""
    table = f"silent_{cut.__name__}"
    composed.leader(f"create table {table} (id int primary key)")
    composed.run("restart", "follower")  # what it says of this cut stands alone in its log
    assert wait_until(lambda: composed.healthy(*ALL), 60.0), composed.services()
    said = composed.log("follower").count("does not answer")
    with cut(composed, "kafka"):
        composed.leader(insert_into(table).decode())
        assert wait_until(lambda: composed.log("follower").count("does not answer") > said, 60.0)
        assert not composed.follower_has(f"select count(*) > 0 from {table}")
    composed.leader(insert_into(table).decode())
    assert wait_until(lambda: composed.follower_has(f"select count(*) = 2 from {table}"), 90.0)
    assert wait_until(lambda: composed.healthy(*ALL), 90.0), composed.services()


@pytest.mark.parametrize("service", ["follower-db", "leader"])
def test_a_database_that_falls_silent_is_waited_for(composed: Composed, service: str) -> None:
    table = f"silent_{service.replace('-', '_')}"
    composed.leader(f"create table {table} (id int primary key)")
    for cut in CUTS:
        with composed.connect_leader() as writer:
            writer.execute(insert_into(table))
            with cut(composed, service):
                if service == "follower-db":
                    writer.execute(insert_into(table))
        assert wait_until(lambda: composed.equal(f"select count(*) from {table}"), 90.0)
    assert composed.follower(f"select count(*) from {table}") == [(4 if service == "follower-db" else 2,)]
    assert wait_until(lambda: composed.healthy(*ALL), 90.0), composed.services()


def test_a_stopped_follower_makes_an_alert_fire_and_shows_in_the_lag(observed: Composed) -> None:
    observed.leader("create table unseen (id int primary key)")

    def firing() -> bool:
        alerts = asked(observed.prometheus, "alerts")["alerts"]
        return any(
            each["labels"]["alertname"] == "StrettoFollowerDown" and each["state"] == "firing" for each in alerts
        )

    observed.run("stop", "follower")
    observed.leader("insert into unseen values (1)")
    assert wait_until(firing, 90.0)
    assert observed.lag_s() > 15  # the rule waits for 30 s, so the row has waited as long
    observed.run("start", "follower")
    assert wait_until(lambda: observed.healthy(*ALL), 60.0)
    assert wait_until(lambda: not firing() and observed.lag_s() < 15, 60.0)
    assert observed.equal("table unseen")


def test_down_leaves_nothing(composed: Composed) -> None:
    composed.run("rm", "--stop", "--force", "prometheus")  # of a profile, which the plain command leaves alone
    composed.bash(tour()[-1])
    composed.run("--profile", "*", "down", "--volumes")
    for kind in ("ps --all", "volume ls", "network ls"):
        listed = subprocess.run(
            ["docker", *kind.split(), "--quiet", "--filter", f"label=com.docker.compose.project={composed.name}"],
            check=True,
            capture_output=True,
            text=True,
        )
        assert listed.stdout == "", kind


def test_every_profile_is_a_file_that_compose_takes() -> None:
    made = Composed("compose.cluster.yaml")
    listed = made.run("--profile", "*", "config", "--services").stdout.split()
    assert {"load", "prometheus", "grafana", "kafka-ui"} <= set(listed)
