"""What nobody says is found out, and holds up nothing else; what is slow is waited for."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer

from stretto.embedded.kafka import EmbeddedKafka
from stretto.embedded.processes import wait_until
from stretto_connectors.kafka.client import client_options
from stretto_consumers.lag.look import Observer
from stretto_consumers.lag.tail import Tail
from stretto_schemas import names
from stretto_schemas.errors import Unreachable
from stretto_schemas.follower_state import encode_state
from stretto_schemas.settings import Settings
from tests.fix_cli import paused
from tests.fix_pipeline import Pipeline
from tests.fix_proxy import black_hole, proxy_to
from tests.fix_stack import Database
from tests.followers_said import caught_up, publish

DEADLINE_S = 60.0


def through(settings: Settings, port: int) -> Settings:
    """The same with another broker's address."""
    kafka = settings.kafka.model_copy(update={"bootstrap": f"127.0.0.1:{port}"})
    return settings.model_copy(update={"kafka": kafka})


def in_time(ask: Callable[[], object]) -> None:
    """Ask in a thread, and expect it back: a thread that waits for ever ends no test."""
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    assert not thread.is_alive(), "it still waits"


def test_a_broker_that_is_lost_between_looks_is_a_problem_until_it_answers(
    beaten: Pipeline, kafka: EmbeddedKafka
) -> None:
    with proxy_to(kafka.port, advertised=True) as proxy, Observer(through(beaten.settings, proxy.port)) as observer:
        assert wait_until(lambda: not observer.look().problems, 30.0)
        proxy.cut()
        assert wait_until(lambda: bool(observer.look().problems), 30.0)
        [problem] = observer.look().problems
        assert "does not answer" in problem.found
        assert problem.fix
        proxy.mend()
        assert wait_until(lambda: not observer.look().problems, 60.0)


def test_a_broker_that_stands_still_between_looks_is_a_problem_until_it_goes_on(
    beaten: Pipeline, kafka: EmbeddedKafka
) -> None:
    assert kafka.pid is not None
    with Observer(beaten.settings) as observer:
        assert wait_until(lambda: not observer.look().problems, 30.0)
        with paused(kafka.pid):
            assert wait_until(lambda: bool(observer.look().problems), 30.0)
            seen = observer.look()
            assert ["does not answer" in problem.found for problem in seen.problems] == [True]
            assert (seen.log, seen.facts is None) == (None, False)
        assert wait_until(lambda: not observer.look().problems, 60.0)


@pytest.mark.parametrize("lost", [True, False], ids=["packets are lost", "nobody answers"])
def test_a_broker_that_says_nothing_is_given_up_long_before_the_time_for_reading_is_over(
    beaten: Pipeline, kafka: EmbeddedKafka, lost: bool
) -> None:
    found: list[str] = []

    def read(settings: Settings) -> None:
        tail = Tail(settings)
        try:
            tail.read(1000 * DEADLINE_S)
        except Unreachable as error:
            found.append(error.found)
        tail.close()

    assert kafka.pid is not None
    if lost:
        with black_hole() as port:
            in_time(lambda: read(through(beaten.settings, port)))
    else:
        with paused(kafka.pid):
            in_time(lambda: read(beaten.settings))
    assert ["does not answer while asking for topic" in each for each in found] == [True]


@contextmanager
def talking(settings: Settings) -> Iterator[None]:
    """A follower that writes its record all the time, so a slow reader never finds that nothing is new."""
    state, enough = caught_up(settings, "talkative"), threading.Event()

    def talk() -> None:
        producer = Producer(client_options(settings.kafka, "test"))
        while not enough.is_set():
            producer.produce(names.followers_topic(settings.prefix), encode_state(state), b"talkative/leader")
            assert producer.flush(DEADLINE_S) == 0

    publish(settings, [state])
    talker = threading.Thread(target=talk)
    talker.start()
    try:
        yield
    finally:
        enough.set()
        talker.join(DEADLINE_S)


def test_a_broker_that_is_slow_is_read_whole_also_while_others_write(beaten: Pipeline, kafka: EmbeddedKafka) -> None:
    with Observer(beaten.settings) as observer:
        direct = observer.look()
    with proxy_to(kafka.port, advertised=True) as proxy, talking(beaten.settings):
        proxy.delay_s = 0.5
        with Observer(through(beaten.settings, proxy.port)) as observer:
            seen, again = observer.look(), observer.look()
    assert seen.problems == again.problems == []
    assert seen.log == again.log == direct.log
    for each in (seen, again):
        assert [state.follower for state in each.followers] == ["follower", "talkative"]


def test_a_source_that_is_slow_is_waited_for_while_it_says_something(beaten: Pipeline) -> None:
    source = beaten.settings.source
    with proxy_to(beaten.leader.port) as proxy:
        # Three messages of the login with their answers, then two questions: more than is patience.
        proxy.delay_s = 0.33
        dsn = f"{beaten.leader.dsn} port={proxy.port}"
        slow = source.model_copy(update={"dsn": type(source.dsn)(dsn)})
        with Observer(beaten.settings.model_copy(update={"source": slow})) as observer:
            seen = observer.look()
    assert seen.problems == []
    assert seen.facts is not None


def session(database: Database) -> int:
    """Process of the session that looks."""
    query = (
        "select pid from pg_stat_activity where application_name = 'stretto-status' and datname = current_database()"
    )
    [(pid,)] = database.fetch(query)
    return int(pid)


def test_a_session_that_stands_still_is_a_problem_until_it_goes_on(beaten: Pipeline) -> None:
    problems: list[list[str]] = []
    with Observer(beaten.settings) as observer:

        def look() -> None:
            problems.append([problem.found for problem in observer.look().problems])

        look()
        pid = session(beaten.leader)
        with paused(pid):
            in_time(look)
            in_time(look)
        assert problems[0] == []
        for [found] in problems[1:]:
            assert "does not answer: nothing came from it" in found
        assert wait_until(lambda: not observer.look().problems, 30.0)
        assert session(beaten.leader) == pid, "it is the same session: nothing was lost"


def test_a_session_that_stands_still_holds_up_no_end(beaten: Pipeline) -> None:
    observer = Observer(beaten.settings)
    observer.look()
    pid = session(beaten.leader)
    os.kill(pid, signal.SIGSTOP)
    try:
        in_time(observer.look)
        in_time(observer.close)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert wait_until(lambda: beaten.leader.fetch("select from pg_stat_activity where pid = %s", pid) == [], 30.0)


def test_a_follower_that_has_shown_nothing_yet_is_not_silent_since_1970(beaten: Pipeline) -> None:
    with Observer(beaten.settings) as observer:
        seen = observer.look()
    assert [state.follower for state in seen.followers] == ["follower"]
    assert seen.heard_s.get("follower", 0.0) < 3600
