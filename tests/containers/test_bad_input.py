"""The compose stack where something is wrong: one clear line from the process concerned, and `doctor` names the fix."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stretto.embedded.processes import wait_until
from tests.checkout import copy_checkout
from tests.containers.composed import ROOT, Composed

SERVERS = ("leader", "follower-db", "kafka")
ALL = (*SERVERS, "capture", "follower")


@pytest.fixture(scope="module")
def servers() -> Iterator[Composed]:
    """The servers, with a small disk for the follower's; nothing of ours runs yet."""
    with Composed("tests/containers/small-disk.yaml") as made:
        made.run("build", "capture")
        made.run("up", "--detach", *SERVERS)
        assert wait_until(lambda: made.healthy(*SERVERS), 120.0), made.services()
        yield made


def said(composed: Composed, service: str, *command: str, code: int) -> str:
    """What a container of this service prints that ends with this code."""
    done = composed.run("run", "--rm", "--no-deps", "-T", service, *command, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_a_leader_without_logical_wal(servers: Composed) -> None:
    replica = servers.changed("tests/containers/replica.yaml")
    replica.run("up", "--detach", "--no-deps", "leader")
    assert wait_until(lambda: replica.healthy("leader"), 60.0)
    try:
        lines = said(replica, "setup", code=1)
        assert "error: PostgreSQL at leader:5432/shop has wal_level = replica" in lines
        for report in (lines, said(replica, "capture", "doctor", code=1)):
            assert "fix: alter system set wal_level = logical; then restart the server" in report
    finally:
        servers.run("up", "--detach", "--no-deps", "leader")
        assert wait_until(lambda: servers.healthy("leader"), 60.0)


def test_a_port_that_is_taken(servers: Composed) -> None:
    with Composed() as other, socket.create_server(("127.0.0.1", other.leader_port)):
        done = other.run("up", "--detach", "leader", check=False)
        assert done.returncode != 0
        assert f"{other.leader_port}" in done.stderr
        assert "in use" in done.stderr or "allocated" in done.stderr


@pytest.fixture(scope="module")
def stack(servers: Composed) -> Composed:
    """All of it. Its slot needs a logical WAL, so a leader without one does not start any more."""
    servers.run("up", "--detach", "setup", "capture", "follower")
    assert wait_until(lambda: servers.healthy(*ALL), 120.0), servers.services()
    return servers


def test_a_wrong_password(stack: Composed, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy" / "compose" / "secrets", tmp_path / "secrets")
    (tmp_path / "secrets" / "leader_password").write_text("another\n")
    wrong = stack.changed(STRETTO_SECRETS=str(tmp_path / "secrets"))
    for service in ("setup", "capture"):
        lines = said(wrong, service, code=2)
        assert "error: PostgreSQL at leader:5432/shop refused the login" in lines
        assert "password authentication failed" in lines
        assert "fix: correct the user or password" in lines
    report = said(wrong, "capture", "doctor", code=1)
    assert "password authentication failed" in report


def on_follower_db(composed: Composed, command: str) -> str:
    return composed.run("exec", "-T", "--user", "postgres", "follower-db", "sh", "-c", command).stdout


def test_a_full_disk_of_the_follower_is_waited_for(stack: Composed) -> None:
    on_follower_db(stack, "mkdir -p /small/space")
    stack.follower("create tablespace small location '/small/space'")
    stack.follower("create table wide (id int primary key, body text) tablespace small")
    stack.leader("create table wide (id int primary key, body text)")
    on_follower_db(stack, "fallocate -l $(($(df --output=avail -B1 /small | tail -1) - 4000000)) /small/filler")
    try:
        stack.leader(
            "insert into wide select i, string_agg(md5(random()::text), '')"
            " from generate_series(1, 4000) i, generate_series(1, 60) group by i"
        )
        assert wait_until(lambda: "No space left on device" in stack.log("follower"), 60.0)
        assert stack.follower("select count(*) from wide") == [(0,)]
    finally:
        on_follower_db(stack, "rm /small/filler")
    assert wait_until(lambda: stack.equal("select count(*), sum(hashtext(body)) from wide"), 120.0)
    assert stack.follower("select count(*) from wide") == [(4000,)]
    assert wait_until(lambda: stack.healthy(*ALL), 60.0), stack.services()


def test_a_wrong_hash_ends_the_build(tmp_path: Path) -> None:
    copy_checkout(tmp_path)
    lock = tmp_path / "deploy" / "image" / "build.lock"
    lock.write_text(re.sub("sha256:[0-9a-f]{8}", "sha256:00000000", lock.read_text()))
    done = subprocess.run(
        ["docker", "build", "--force-rm", "--target", "build", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stdout + done.stderr
