"""`stretto web` on a real pipeline: the page shows the lag that a test makes, and its end."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer
from playwright.sync_api import Page, expect

from stretto.embedded.kafka import EmbeddedKafka
from stretto.embedded.processes import wait_until
from stretto_schemas import names
from stretto_schemas.follower_state import FollowerState, encode_state, state_key
from stretto_schemas.settings import Settings
from tests import stacks
from tests.fix_pipeline import Pipeline
from tests.fix_processes import STRETTO, Processes, Running
from tests.followers_said import caught_up, publish
from tests.lag.conftest import address
from tests.lag.truth import beating

DEADLINE_S = 60.0


@pytest.fixture
def kafka_settings(kafka: EmbeddedKafka) -> dict[str, str]:
    """The broker."""
    return {stacks.BOOTSTRAP: kafka.bootstrap}


expect.set_options(timeout=DEADLINE_S * 1000)


@contextmanager
def web(processes: Processes, **settings: str) -> Iterator[tuple[Running, str]]:
    """`stretto web` while the block runs, with the address of its page; it ends cleanly."""
    given = {"http__web_port": "0", "http__lag_port": "0"} | settings
    running = processes.start([str(STRETTO), "web"], **given)
    running.says("the page is on")
    found = re.search(r"the page is on (http://\S+)", running.log)
    assert found is not None
    yield running, found[1]
    running.stop()


def test_a_locked_table_is_seen_on_the_arrow_in_the_row_with_its_cause_and_so_is_its_end(
    beaten: Pipeline, processes: Processes, page: Page
) -> None:
    capture, follower = processes.both()
    where = {"http__capture_address": address(capture), "http__follower_address": address(follower)}
    row, status = page.locator("#follower-rows tr"), page.locator("#follower-rows td").first
    with web(processes, lag__look_s="0.5", lag__alert_after_s="1", **where) as (_, site):
        page.goto(site)
        with beating(beaten.leader, beaten.follower):
            expect(status).to_have_text("● OK")
            expect(page.locator("#flow .arrow.s-OK")).to_have_count(2)
            with psycopg.connect(beaten.follower.dsn, application_name="nightly report") as holder:
                holder.execute("lock table beats in share mode")
                expect(status).to_have_text("■ STALLED")
                expect(row).to_contain_text("nightly report")
                expect(page.locator("#likely")).to_contain_text("nightly report")
                expect(page.locator("#flow .arrow.s-STALLED .lag")).to_have_text(re.compile(r"^([5-9]\.\d|\d\d) s$"))
                expect(page.locator("#flow .arrow.s-STALLED .part")).to_have_text(
                    re.compile(r"apply ([5-9]\.\d|\d\d) s$")
                )
                expect(page.locator("#alert-list li").first).to_contain_text("STALLED")
                expect(page.locator("#changed")).to_contain_text("is STALLED")
                expect(page.locator("#chart-words")).to_contain_text("most of it in apply")
            expect(status).to_have_text("● OK")
            expect(page.locator("#flow .arrow.s-OK")).to_have_count(2)
            expect(page.locator("#alert-list li").first).to_contain_text("over: ")
            expect(page.locator("#likely")).to_be_hidden()


def test_a_capture_that_ended_is_told_with_the_command_and_the_page_outlives_its_server(
    beaten: Pipeline, processes: Processes, page: Page
) -> None:
    capture = processes.capture()
    where = {"http__capture_address": address(capture), "http__follower_address": "127.0.0.1:1"}
    with web(processes, **where) as (_, site):
        page.goto(site)
        expect(page.locator("#flow .arrow").first).to_contain_text("flowing")
        capture.stop()
        expect(page.locator("#problem-list")).to_contain_text("capture is unreachable: nothing listens on ")
        expect(page.locator("#problem-list code").first).to_have_text("stretto run capture")
        expect(page.locator("#slot-list")).to_contain_text("✕ inactive")
    expect(page.locator("#lost")).to_contain_text("No connection to the server since ")
    with web(processes, http__web_port=site.rpartition(":")[2], **where):
        expect(page.locator("#wire")).to_have_text("● Live")
        expect(page.locator("#lost")).to_be_hidden()


def test_what_a_monitor_remembers_is_in_the_chart_of_a_page_that_begins_later(
    beaten: Pipeline, processes: Processes, page: Page
) -> None:
    capture, follower = processes.both()
    where = {"http__capture_address": address(capture), "http__follower_address": address(follower)}
    monitor = address(processes.lag(**where, lag__look_s="0.5"))
    assert wait_until(lambda: len(asked(f"http://{monitor}/history")) >= 5, DEADLINE_S)
    began_us = time.time_ns() // 1000
    with web(processes, http__lag_address=monitor, **where) as (_, site):
        page.goto(site)
        expect(page.locator("#follower-rows tr")).to_have_count(1)
        name = beaten.settings.follower.name
        points = asked(f"{site}/history?follower={name}&source={beaten.settings.source.name}")
        assert len([at_us for at_us, *_ in points if at_us < began_us]) >= 2
        expect(page.locator("#chart-words")).to_contain_text("Known since ")


def test_the_monitors_alerts_are_shown_where_one_answers_and_go_on_when_it_does_not(
    beaten: Pipeline, processes: Processes, page: Page
) -> None:
    monitor = processes.lag(lag__look_s="0.2", lag__alert_after_s="0.2")
    publish(beaten.settings, [caught_up(beaten.settings, "asia", state="paused")])
    never = {"lag__look_s": "0.2", "lag__alert_after_s": "3600"}
    with web(processes, http__lag_address=address(monitor), **never) as (_, site):
        page.goto(site)
        told = page.locator("#alert-list li", has_text="asia: STOPPED")
        expect(told).to_have_count(1)
        monitor.stop()
        expect(page.locator("#follower-rows tr")).to_have_count(2)
        looks = page.evaluate("fetch('/view').then((answer) => answer.json()).then((view) => view.at_us)")
        page.wait_for_function(
            "(since) => fetch('/view').then((answer) => answer.json()).then((view) => view.at_us > since + 5e6)",
            arg=looks,
        )
        expect(told).to_have_count(1)


def test_two_hundred_followers_are_shown_and_a_look_renews_only_what_changed(
    beaten: Pipeline, processes: Processes, page: Page
) -> None:
    capture = processes.capture()
    published(beaten.settings, 200)
    with web(processes, http__capture_address=address(capture), lag__look_s="0.5") as (_, site):
        page.goto(site)
        expect(page.locator("#follower-rows tr")).to_have_count(201)
        assert page.evaluate("document.querySelectorAll('*').length") < 201 * 20
        page.evaluate(
            """() => {
                window.work = { made: 0, looks: 0 };
                new MutationObserver((found) => {
                    for (const each of found) work.made += [...each.addedNodes].filter((node) => node.nodeType === 1).length;
                }).observe(document.querySelector("#follower-rows"), { subtree: true, childList: true });
                new EventSource("/events").addEventListener("view", () => (work.looks += 1));
            }"""
        )
        assert wait_until(lambda: page.evaluate("work.looks") > 4, DEADLINE_S)
        assert page.evaluate("work.made") == 0
        page.get_by_role("searchbox", name="Name").fill("f19")
        expect(page.locator("#follower-rows tr")).to_have_count(10)


def asked(address: str) -> list[Any]:
    """A list that a server answers; an empty one while it does not."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310
            found = json.load(answer)
    except urllib.error.URLError:
        return []
    assert isinstance(found, list)
    return found


def published(settings: Settings, many: int) -> None:
    """Records of so many followers that show all there is."""
    log = settings.source.name
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap})
    now_us = time.time_ns() // 1000
    for number in range(many):
        state = FollowerState(
            follower=f"f{number:03}", source=log, epoch=1, term=1, end_lsn=1 << 62, commit_ts_us=now_us,
            visible_ts_us=now_us, transactions=1000, rows=10_000, published_us=now_us, every_s=600.0,
        )  # fmt: skip
        producer.produce(names.followers_topic(settings.prefix), encode_state(state), state_key(state.follower, log))
    assert producer.flush(DEADLINE_S) == 0
