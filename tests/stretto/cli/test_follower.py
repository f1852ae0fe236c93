"""`stretto follower pause`, `resume`, `delay`, `remove`, and what `add` publishes."""

from __future__ import annotations

import json

import pytest

from stretto.embedded.processes import wait_until
from stretto_consumers.follower.add_progress import Silent
from stretto_consumers.follower.bootstrap import add_follower
from stretto_producers.source.init import init
from stretto_schemas.settings import Settings, load
from tests.fix_cli import Cli
from tests.fix_stack import Database
from tests.followers_topic import follower_records, newest_state

NOWHERE = "host=127.0.0.1 port=1 user=postgres dbname=postgres"
ORDERS = (["pause"], ["delay", "5"])


def copied(cli: Cli, leader_db: Database) -> Settings:
    """A follower that nobody applies to."""
    leader_db.execute("create table item (id int primary key); insert into item select generate_series(1, 10)")
    settings = load(None, cli.settings)
    init(settings, lambda _: None)
    add_follower(settings, progress=Silent())
    return settings


def test_a_paused_follower_is_alive_not_ready_and_says_why(cli: Cli, leader_db: Database) -> None:
    copied(cli, leader_db)
    with cli.running("run", "follower") as follower:
        follower.until_ready()
        said = cli.good("follower", "pause", "--reason", "quarter's end")
        assert said.startswith("follower follower is paused since 2")
        assert said.endswith("UTC: quarter's end\n")
        assert follower.until_readyz(503, "paused: quarter's end") == "paused: quarter's end\n"
        assert follower.get("/livez")[0] == 200
        status = json.loads(follower.get("/status")[2])
        assert (status["state"], status["said"]) == ("paused", "quarter's end")
        shown = json.loads(cli.good("status", "-f", "json", STRETTO_HTTP__FOLLOWER_PORT=str(follower.port())))
        process = shown["sources"][0]["follower_process"]
        assert (process["state"], process["said"]) == ("paused", "quarter's end")
        again = cli.good("follower", "pause")
        assert again == said.replace("is paused since", "was paused already, since")
        resumed = cli.good("follower", "resume")
        assert resumed == said.replace("is paused since", "goes on; it was paused since")
        follower.until_ready()
        assert "not paused; it goes on since 2" in cli.good("follower", "resume")
        cli.good("follower", "pause")
        assert follower.until_readyz(503, "paused:") == "paused: no reason was given\n"
        assert follower.stop() == 0


def test_a_delay_is_said_with_what_it_was_and_is_readiness_on_purpose(cli: Cli, leader_db: Database) -> None:
    copied(cli, leader_db)
    setting = {"STRETTO_FOLLOWER__APPLY_DELAY_S": "7"}
    by_setting = "7 s after their commit (apply_delay_s of the settings)"
    said = cli.good("follower", "delay", "600", **setting)
    assert said == f"follower follower shows transactions 600 s after their commit; before: {by_setting}\n"
    leader_db.execute("insert into item values (11)")
    quick = {"STRETTO_HTTP__READY_STALE_S": "1.5", "STRETTO_CAPTURE__HEARTBEAT_S": "0.2", **setting}
    with cli.running("run", "capture", **quick), cli.running("run", "follower", **quick) as follower:
        follower.until_readyz(200, "the next one waits for its delay of 600 s")
        assert json.loads(follower.get("/status")[2])["delay_s"] == 600
        assert follower.stop() == 0
    assert "at once; before: 600 s after" in cli.good("follower", "delay", "0", **setting)
    assert cli.good("follower", "delay", "--as-set", **setting).endswith(f"{by_setting}; before: at once\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-1"], "-1"),
        (["soon"], "a valid number"),
        (["nan"], "nan is no delay"),
        (["inf"], "inf is no delay"),
        (["1e300"], "1e+300 is no delay"),
        (["1000000"], "longer than rows stay in the log"),
        ([], "neither seconds nor --as-set"),
        (["3", "--as-set"], "both seconds and --as-set"),
    ],
    ids=str,
)
def test_what_is_no_delay_is_a_usage_error(cli: Cli, arguments: list[str], words: str) -> None:
    done = cli("follower", "delay", *arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e300", "soon"])
def test_what_is_no_delay_in_the_settings_is_named(cli: Cli, value: str) -> None:
    done = cli("config", "show", STRETTO_FOLLOWER__APPLY_DELAY_S=value)
    assert done.returncode == 2, done.stderr
    assert "follower.apply_delay_s" in done.stderr


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_orders_to_what_is_no_follower_or_does_not_answer(cli: Cli, order: list[str], follower_db: Database) -> None:
    done = cli("follower", *order)
    assert done.returncode == 2, done.stderr
    assert "this database does not follow source 'leader'" in done.stderr
    assert "fix: run `stretto follower add` first" in done.stderr
    assert follower_db.fetch("select from pg_namespace where nspname = 'stretto'") == [], "it was left as it was"
    done = cli("follower", *order, STRETTO_FOLLOWER__DSN=NOWHERE)
    assert done.returncode == 3, done.stderr


def test_an_order_that_the_role_may_not_give_is_a_usage_error(
    cli: Cli, leader_db: Database, follower_db: Database, prefix: str
) -> None:
    copied(cli, leader_db)
    role = f"reader_{prefix}"
    follower_db.execute(f"create role {role} login; grant usage on schema stretto to {role}")
    follower_db.execute(f"grant select on all tables in schema stretto to {role}")
    try:
        done = cli("follower", "pause", STRETTO_FOLLOWER__DSN=follower_db.dsn.replace("user=postgres", f"user={role}"))
        assert done.returncode == 2, done.stderr
        assert "does not allow pausing the follower" in done.stderr
        follower_db.execute(f"revoke select on stretto.control from {role}")
        report = cli("doctor", STRETTO_FOLLOWER__DSN=follower_db.dsn.replace("user=postgres", f"user={role}")).stdout
        assert "may not read stretto.control" in report
    finally:
        follower_db.execute(f"drop owned by {role} cascade")
        follower_db.execute(f"drop role {role}")


def test_resuming_what_was_never_paused_says_so(cli: Cli, leader_db: Database) -> None:
    copied(cli, leader_db)
    assert cli.good("follower", "resume") == "follower follower is not paused and never was\n"


def test_a_follower_is_removed_when_nobody_applies_and_both_servers_answer(
    cli: Cli, leader_db: Database, follower_db: Database
) -> None:
    settings = copied(cli, leader_db)
    with cli.running("run", "follower") as follower:
        follower.until_ready()
        done = cli("follower", "remove")
        assert (done.returncode, "stop `stretto run follower` first" in done.stderr) == (2, True), done.stderr
        follower.until_ready()
        assert follower.stop() == 0
    assert cli("follower", "remove", STRETTO_KAFKA__BOOTSTRAP="127.0.0.1:1").returncode == 3
    assert follower_db.fetch("select count(*) from stretto.position") == [(1,)]
    said = cli.good("follower", "remove")
    assert "removed: position of source leader" in said
    assert "dropped: replication origin stretto_leader" in said
    assert f"forgot: follower/leader in {settings.prefix}.followers" in said
    assert follower_records(settings.kafka, settings.prefix)[-1] == (b"follower/leader", None)
    done = cli("follower", "remove", "--force-tombstone", "follower", STRETTO_FOLLOWER__DSN=NOWHERE)
    assert (done.returncode, "has no record of follower 'follower'" in done.stderr) == (2, True), done.stderr


def test_add_publishes_how_far_it_is(cli: Cli, leader_db: Database) -> None:
    leader_db.execute("create table item (id int primary key)")
    cli.good("init")
    cli.good("follower", "add")
    settings = load(None, cli.settings)

    def told() -> bool:
        state = newest_state(settings.kafka, settings.prefix)
        return state is not None and (state.state, state.copied) == ("stopped", 1.0)

    assert wait_until(told, 10.0), follower_records(settings.kafka, settings.prefix)
