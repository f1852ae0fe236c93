"""The compose file, from `up` to `down -v`, as README tells it."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from stretto.embedded.processes import wait_until
from stretto_schemas import metrics
from stretto_schemas.metrics import MetricName
from tests.containers.composed import Composed

ALL = ("leader", "follower-db", "kafka", "capture", "follower")
ROWS_S = 60.0
"""Rows that are written once all is healthy are on the follower within this."""


@pytest.fixture(scope="module")
def composed() -> Iterator[Composed]:
    """All that has no profile, and Prometheus."""
    with Composed() as made:
        made.run(
            "up", "--detach", "--build", "leader", "follower-db", "kafka", "setup", "capture", "follower", "prometheus"
        )
        assert wait_until(lambda: made.healthy(*ALL), 120.0), made.services()
        yield made


def test_rows_written_to_the_leader_are_on_the_follower(composed: Composed) -> None:
    composed.leader("create table notes (id int primary key, body text)")
    composed.leader("insert into notes select i, 'note ' || i from generate_series(1, 1000) i")
    assert wait_until(lambda: composed.equal("select count(*), sum(hashtext(body)) from notes"), ROWS_S)
    said = composed.log("setup").splitlines()
    assert any("source leader is ready" in line for line in said)
    what, where, trouble = said[-3:]
    assert f"127.0.0.1:{composed.leader_port} is copied to 127.0.0.1:{composed.follower_port}" in what
    assert f"http://127.0.0.1:{composed.capture_port}" in where
    assert "stretto doctor" in trouble


def test_the_containers_of_ours_may_write_nothing_but_their_own(composed: Composed) -> None:
    for service in ("capture", "follower"):
        done = composed.run("exec", "-T", service, "sh", "-c", "id -u; touch /x /opt/stretto/x; cat /proc/self/status")
        assert done.stdout.startswith("10001\n")
        assert done.stderr.count("Read-only file system") == 2
        assert "CapEff:\t0000000000000000" in done.stdout


def test_no_volume_of_ours_is_without_a_name(composed: Composed) -> None:
    """One that has none outlives its container when `--scale` takes that away."""
    for service in ("capture", "follower"):
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


def asked(composed: Composed, path: str, **query: str) -> Any:
    """What Prometheus answers."""
    address = f"http://127.0.0.1:{composed.prometheus_port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)["data"]


def test_prometheus_has_every_documented_metric(composed: Composed) -> None:
    wanted = {value.name for value in vars(metrics).values() if isinstance(value, MetricName)}

    def lacking() -> set[str]:
        found = set(asked(composed, "label/__name__/values"))
        return {name for name in wanted if not {name, f"{name}_count"} & found}

    assert wait_until(lambda: not lacking(), 60.0), lacking()


def test_the_rules_are_what_promtool_takes(composed: Composed) -> None:
    done = composed.run("exec", "-T", "prometheus", "promtool", "check", "rules", "/etc/stretto/stretto.rules.yml")
    assert "SUCCESS: 3 rules found" in done.stdout
    composed.run("exec", "-T", "prometheus", "promtool", "check", "config", "/etc/stretto/prometheus.yml")


def test_status_asks_both_processes(composed: Composed) -> None:
    said = json.loads(composed.run("exec", "-T", "capture", "stretto", "status", "-f", "json").stdout)
    assert {name: each["state"] for name, each in said["processes"].items()} == {
        "capture": "running",
        "follower": "running",
    }


def test_a_second_follower_stands_by_and_takes_over(composed: Composed) -> None:
    composed.run("up", "--detach", "--no-recreate", "--scale", "follower=2", "follower")
    assert wait_until(lambda: composed.healthy("follower", count=2), 60.0), composed.services()
    subprocess.run(["docker", "kill", f"{composed.name}-follower-1"], check=True, capture_output=True)
    composed.leader("update notes set body = body || '!'")
    assert wait_until(lambda: composed.equal("select count(*), sum(hashtext(body)) from notes"), ROWS_S)
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


@pytest.mark.parametrize("service", ["follower-db", "kafka", "leader"])
def test_a_server_that_is_cut_off_or_stands_still_delays_rows_and_loses_none(composed: Composed, service: str) -> None:
    """Packets vanish in silence, the other way than a kill, which resets connections."""
    table = f"cut_{service.replace('-', '_')}"
    composed.leader(f"create table {table} (id int primary key)")
    for cut, mended in ((composed.pause, composed.unpause), (composed.disconnect, composed.connect)):
        with composed.connect_leader() as writer:
            cut(service)
            try:
                if service != "leader":
                    writer.execute(f"insert into {table} select coalesce(max(id), 0) + 1 from {table}".encode())
            finally:
                mended(service)
        composed.leader(f"insert into {table} select coalesce(max(id), 0) + 1 from {table}")
        assert wait_until(lambda: composed.equal(f"select count(*) from {table}"), 90.0)
    assert composed.follower(f"select count(*) from {table}") == [(4 if service != "leader" else 2,)]
    assert wait_until(lambda: composed.healthy(*ALL), 90.0), composed.services()


def test_a_stopped_follower_makes_an_alert_fire_and_shows_in_the_lag(composed: Composed) -> None:
    composed.run("stop", "follower")

    def firing() -> bool:
        return any(each["labels"]["alertname"] == "StrettoFollowerDown" for each in asked(composed, "alerts")["alerts"])

    assert wait_until(firing, 60.0)
    composed.run("start", "follower")
    assert wait_until(lambda: composed.healthy(*ALL), 60.0)
    assert wait_until(lambda: not firing(), 60.0)


def test_down_leaves_nothing(composed: Composed) -> None:
    composed.run("--profile", "*", "down", "--volumes", "--timeout", "20")
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
