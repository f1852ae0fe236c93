"""Each likely reason, provoked: a budget that is exceeded becomes an alert that names the stage and the cause, and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import psycopg

from stretto.embedded.kafka import EmbeddedKafka
from stretto.embedded.processes import wait_until
from stretto_consumers.lag.alerts import Alerts
from stretto_consumers.lag.look import Observer
from stretto_consumers.lag.watcher import Watcher
from stretto_schemas.lag.view import Alert, PipelineView
from tests.fix_cli import paused
from tests.fix_pipeline import Pipeline
from tests.fix_processes import Processes
from tests.fix_proxy import proxy_to
from tests.fix_stack import Database
from tests.lag.conftest import Observe
from tests.lag.truth import TABLE, beating

BUDGET = {"follower__lag_budget_s": "1"}
AFTER_S = 0.5
DEADLINE_S = 60.0


class Watch:
    """Looks, and what it would tell people."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._watcher = Watcher()
        self._alerts = Alerts(AFTER_S)
        self.told: list[Alert] = []
        self.view: PipelineView | None = None

    def look(self) -> PipelineView:
        """One look."""
        seen = self._observer.look()
        self.view = self._watcher.observe(seen)
        self.told += self._alerts.observe(self.view, seen.at)
        return self.view

    def until(self, holds: Callable[[PipelineView], bool]) -> None:
        """Look until it holds."""
        assert wait_until(lambda: holds(self.look()), DEADLINE_S), self._seen()

    def _seen(self) -> str:
        view = self.view
        assert view is not None
        rows = [msgspec.json.encode(each).decode() for each in (*view.followers, *view.sources, *self.told)]
        return "\n".join(["", *rows])

    def flowing(self) -> None:
        """Until rows arrive, and none waits: only then have all processes begun."""
        self.until(lambda view: view.followers[0].status == "OK" and bool(view.followers[0].rows_per_s))

    def budget_exceeded(self, stage: str, *words: str) -> None:
        """Until an alert of the budget names this stage, and a look with the same cause has these words."""

        def told(view: PipelineView) -> bool:
            [follower] = view.followers
            raised = any(alert.kind == "budget" and not alert.recovered for alert in self.told)
            return raised and follower.stage == stage and all(word in follower.likely for word in words)

        self.until(told)
        alert = next(alert for alert in self.told if alert.kind == "budget")
        assert alert.status == "exceeded"
        assert "more than its budget of 1.0 s" in alert.reason

    def recovered(self) -> None:
        """Until the budget is kept again, and told so once."""
        self.until(lambda _: any(alert.kind == "budget" and alert.recovered for alert in self.told))
        of_budget = [alert.recovered for alert in self.told if alert.kind == "budget"]
        assert of_budget == [False, True], self.told


def test_capture_that_does_not_run(beaten: Pipeline, processes: Processes, observe: Observe) -> None:
    capture, follower = processes.capture(), processes.follower(**BUDGET)
    watch = Watch(observe(capture, follower))
    with beating(beaten.leader, beaten.follower):
        watch.flowing()
        capture.kill()
        watch.budget_exceeded("wal", "capture does not run", "is idle", "start `stretto run capture`")
        processes.capture()
        watch.recovered()


def test_a_large_transaction_of_the_leader(beaten: Pipeline, processes: Processes, observe: Observe) -> None:
    for database in (beaten.leader, beaten.follower):
        database.execute("create table heap (id bigint primary key, filling text)")
    capture, follower = processes.capture(), processes.follower(**BUDGET)
    watch = Watch(observe(capture, follower))
    beaten.leader.execute("insert into heap select i, repeat('x', 100) from generate_series(1, 350000) i")
    watch.budget_exceeded("wal", "a large transaction", "is being received", "records so far")
    watch.recovered()


def test_a_long_transaction_of_the_leader(pipeline: Pipeline, processes: Processes, observe: Observe) -> None:
    """What is open holds back where the slot begins: a capture that starts again has all WAL since then decoded again."""
    beaten, settings = pipeline, pipeline.settings
    published = settings.source.model_copy(update={"tables": ("public.beats",)})
    beaten.settings = settings.model_copy(update={"source": published})
    for database in (beaten.leader, beaten.follower):
        database.execute(TABLE)
    beaten.begin()
    beaten.leader.execute("create table heap (id bigint primary key, filling text)")  # decoded, and not sent
    capture, follower = processes.capture(), processes.follower(**BUDGET)
    observer = observe(capture, follower)
    with (
        psycopg.connect(beaten.leader.dsn, application_name="month's end") as holder,
        beating(beaten.leader, beaten.follower),
    ):
        holder.execute("insert into beats default values")
        for start in range(0, 1_500_000, 500_000):
            beaten.leader.execute(
                f"insert into heap select i, repeat('x', 100) from generate_series({start + 1}, {start + 500_000}) i"
            )
        Watch(observer).flowing()
        capture.kill()
        capture = processes.capture()
        watch = Watch(observe(capture, follower))
        watch.budget_exceeded("wal", f"pid {holder.info.backend_pid} (month's end, idle in transaction)", "commit it")
        holder.rollback()
        watch.recovered()


def test_a_broker_that_is_slow_for_capture(
    beaten: Pipeline, processes: Processes, observe: Observe, kafka: EmbeddedKafka
) -> None:
    with proxy_to(kafka.port, advertised=True) as proxy:
        capture = processes.capture(kafka__bootstrap=f"127.0.0.1:{proxy.port}")
        watch = Watch(observe(capture, processes.follower(**BUDGET)))
        with beating(beaten.leader, beaten.follower):
            watch.flowing()
            proxy.delay_s = 1.0
            watch.budget_exceeded("capture", "the broker takes records slowly")
            proxy.delay_s = 0.0
            watch.recovered()


def test_a_network_that_is_slow_for_the_follower(
    beaten: Pipeline, processes: Processes, observe: Observe, kafka: EmbeddedKafka
) -> None:
    with proxy_to(kafka.port, advertised=True) as proxy:
        follower = processes.follower(kafka__bootstrap=f"127.0.0.1:{proxy.port}", **BUDGET)
        watch = Watch(observe(processes.capture(), follower))
        with beating(beaten.leader, beaten.follower):
            watch.flowing()
            proxy.delay_s = 3.0
            watch.budget_exceeded("log", "the broker answers here, and little of it reaches the follower")
            proxy.delay_s = 0.0
            watch.recovered()


def test_a_broker_that_stands_still(
    beaten: Pipeline, processes: Processes, observe: Observe, kafka: EmbeddedKafka
) -> None:
    capture, follower = processes.capture(), processes.follower(**BUDGET)
    watch = Watch(observe(capture, follower))
    with beating(beaten.leader, beaten.follower):
        watch.flowing()
        assert kafka.pid is not None
        with paused(kafka.pid):
            watch.budget_exceeded("capture", "broker")
        watch.recovered()


def test_a_table_that_is_slow_to_write(beaten: Pipeline, processes: Processes, observe: Observe) -> None:
    beaten.follower.execute(
        "create function dawdle() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(0.2); return new; end $$;"
        " create trigger dawdle before insert on beats for each row execute function dawdle();"
        " alter table beats enable always trigger dawdle"
    )
    watch = Watch(observe(processes.capture(), processes.follower(**BUDGET)))
    with beating(beaten.leader, beaten.follower):
        watch.budget_exceeded("apply", "writing table public.beats takes", "indexes and triggers")
        beaten.follower.execute("alter table beats disable trigger dawdle")
        watch.recovered()


def test_a_lock_on_the_follower(beaten: Pipeline, processes: Processes, observe: Observe) -> None:
    watch = Watch(observe(processes.capture(), processes.follower(**BUDGET)))
    with beating(beaten.leader, beaten.follower):
        watch.flowing()
        with psycopg.connect(beaten.follower.dsn, application_name="nightly report") as holder:
            holder.execute("lock table beats in share mode")
            watch.budget_exceeded("apply", f"pid {holder.info.backend_pid} (nightly report", "end that transaction")
        watch.recovered()


def test_a_follower_that_ended(beaten: Pipeline, processes: Processes, observe: Observe) -> None:
    capture, follower = processes.capture(), processes.follower(**BUDGET)
    watch = Watch(observe(capture, follower))
    with beating(beaten.leader, beaten.follower):
        watch.flowing()
        follower.stop()
        watch.until(lambda view: (view.followers[0].status, view.followers[0].state) == ("STOPPED", "stopped"))
        assert watch.view is not None
        assert "start `stretto run follower`" in watch.view.followers[0].likely
        watch.until(lambda _: any(alert.kind == "budget" for alert in watch.told))
        follower = processes.follower(**BUDGET)
        watch.recovered()


@contextmanager
def closed(database: Database) -> Iterator[None]:
    """It lets nobody in meanwhile, and has thrown everybody out."""
    name = database.fetch("select current_database()")[0][0]
    with psycopg.connect(database.dsn.replace(f"dbname={name}", "dbname=postgres"), autocommit=True) as admin:
        admin.execute(f"alter database {name} allow_connections false")
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
        try:
            yield
        finally:
            admin.execute(f"alter database {name} allow_connections true")


def _capture(view: PipelineView) -> str:
    [source] = view.sources
    return source.capture.state if source.capture is not None else ""


def test_a_leader_that_lets_nobody_in(beaten: Pipeline, processes: Processes, observe: Observe) -> None:
    capture, follower = processes.capture(), processes.follower(**BUDGET)
    watch = Watch(observe(capture, follower))
    watch.until(lambda view: view.followers[0].status == "OK" and _capture(view) == "running")
    with closed(beaten.leader):
        watch.budget_exceeded("wal", "the source does not answer")
        assert watch.view is not None
        assert watch.view.problems
    watch.recovered()


def test_a_follower_that_lets_nobody_in(beaten: Pipeline, processes: Processes, observe: Observe) -> None:
    capture, follower = processes.capture(), processes.follower(**BUDGET)
    watch = Watch(observe(capture, follower))
    with beating(beaten.leader, beaten.follower):
        watch.flowing()
        with closed(beaten.follower):
            watch.until(
                lambda view: (
                    "it waits for a server" in view.followers[0].likely
                    and bool(view.problems)
                    and any(alert.kind == "budget" for alert in watch.told)
                )
            )
        watch.recovered()
