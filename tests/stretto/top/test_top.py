"""What stands on the screen of `stretto top`, and what its keys do."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psycopg
import pytest

from stretto.top.app import Top
from stretto_schemas.follower_state import FollowerState
from stretto_schemas.settings import Settings
from tests.fix_pipeline import Pipeline
from tests.fix_processes import Processes
from tests.followers_said import caught_up, publish
from tests.lag.conftest import address, where
from tests.lag.truth import beating
from tests.stretto.top.screens import opened, play

PAUSED = "select paused from stretto.control"
IMAGES = Path(__file__).parents[3] / "docs" / "images"


def behind(settings: Settings, name: str, seconds: float) -> FollowerState:
    """By its own word a transaction is not visible for so long."""
    state = caught_up(settings, name)
    return caught_up(
        settings,
        name,
        end_lsn=state.end_lsn - 8,
        read_lsn=state.end_lsn,
        staged_rows=10,
        frontier_offset=-1,
        oldest_us=state.published_us - round(seconds * 1e6),
    )


def without_fonts(svg: str) -> str:
    """The picture asks no server for a font; the reader's own monospace one will do."""
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)


def test_injected_lag_is_shown_with_its_stage_and_cause_and_then_its_end(
    beaten: Pipeline, processes: Processes, request: pytest.FixtureRequest
) -> None:
    capture, follower = processes.both()
    settings = where(beaten.settings, capture, follower)
    publish(settings, [caught_up(settings, "asia"), caught_up(settings, "berlin", state="copying", copied=0.4)])

    async def scene() -> None:
        async with opened(settings, (110, 30)) as screen:
            await screen.shows("capture running   follower running", "follower          OK", "slot active")
            await screen.until(lambda: sorted(screen.names) == ["asia", "berlin", "follower"])
            await screen.press("home")
            for _ in screen.names:  # the others get worse, as nobody speaks for them any more
                if screen.board.chosen != ("follower", "leader"):
                    await screen.press("j")
            assert screen.board.chosen == ("follower", "leader")
            with psycopg.connect(beaten.follower.dsn, application_name="nightly report") as holder:
                holder.execute("lock table beats in share mode")
                await screen.shows("follower STALLED", "ALERT", "likely: a lock on the follower", "nightly report")
                assert screen.text.count("apply") >= 2
                lines = {line.split()[0]: line for line in screen.text.splitlines() if line.strip()}
                assert any(bar in lines["apply"] for bar in "▃▄▅"), screen.text
                assert not any(bar in lines["log"] for bar in "▃▄▅"), screen.text
                if request.config.getoption("--screenshots"):
                    IMAGES.mkdir(exist_ok=True)
                    (IMAGES / "top.svg").write_text(without_fonts(screen.top.export_screenshot(title="stretto top")))
            await screen.shows("follower OK", "over  follower OK again; it was ")

    with beating(beaten.leader, beaten.follower):
        play(scene)


def test_pausing_and_resuming_asks_and_no_changes_nothing(beaten: Pipeline) -> None:
    async def scene() -> None:
        async with opened(beaten.settings) as screen:
            await screen.until(lambda: screen.names == ["follower"])
            for no in ("n", "escape", "enter"):
                await screen.press("p")
                await screen.shows("Pause follower follower?")
                await screen.press(no)
                await screen.until(lambda: "Pause follower" not in screen.text)
            assert beaten.follower.fetch("select to_regclass('stretto.control')::text") == [(None,)] or (
                beaten.follower.fetch(PAUSED) == []
            )
            await screen.press("p", "y")
            await screen.shows("follower follower is paused")
            assert beaten.follower.fetch(PAUSED) == [(True,)]
            await screen.press("r")
            await screen.shows("Let follower follower go on")
            await screen.press("y")
            await screen.shows("follower follower goes on")
            assert beaten.follower.fetch(PAUSED) == [(False,)]

    play(scene)


def test_a_database_that_does_not_take_the_order_is_told_of(beaten: Pipeline) -> None:
    follower = beaten.settings.follower
    gone = beaten.settings.model_copy(update={"follower": follower.model_copy(update={"name": "asia"})})
    publish(gone, [caught_up(gone, "asia")])
    beaten.follower.execute("delete from stretto.position")

    async def scene() -> None:
        async with opened(gone) as screen:
            await screen.until(lambda: screen.names == ["asia"])
            await screen.press("p", "y")
            await screen.shows("does not follow source")

    play(scene)


def test_another_follower_than_the_settings_cannot_be_paused_from_here(beaten: Pipeline) -> None:
    publish(beaten.settings, [caught_up(beaten.settings, "asia")])

    async def scene() -> None:
        async with opened(beaten.settings) as screen:
            await screen.until(lambda: screen.names == ["asia", "follower"])
            assert screen.board.chosen == ("asia", "leader")
            await screen.press("p")
            await screen.shows("only follower follower", "stretto follower pause")
            await screen.press("j", "p")
            await screen.shows("Pause follower follower?")
            screen.hammer("n")
            await screen.until(lambda: "Pause follower" not in screen.text)

    play(scene)


def test_a_filter_shows_only_what_it_names_until_escape(beaten: Pipeline) -> None:
    publish(beaten.settings, [caught_up(beaten.settings, "asia"), behind(beaten.settings, "berlin", 60.0)])

    async def scene() -> None:
        async with opened(beaten.settings) as screen:
            await screen.until(lambda: sorted(screen.names) == ["asia", "berlin", "follower"])
            await screen.press("slash", *"si", "enter")
            assert screen.names == ["asia"]
            assert screen.board.chosen == ("asia", "leader")
            await screen.press("slash", "backspace", "backspace", *"nobody", "enter")
            assert screen.names == []
            await screen.press("p")
            await screen.shows("there is no follower here")
            await screen.press("escape")
            assert sorted(screen.names) == ["asia", "berlin", "follower"]

    play(scene)


def test_200_followers_stay_quick_and_the_chosen_one_stays_chosen(beaten: Pipeline) -> None:
    names = [f"reader-{number:03}" for number in range(200)]
    publish(beaten.settings, [caught_up(beaten.settings, name) for name in names])

    async def scene() -> None:
        async with opened(beaten.settings) as screen:
            await screen.until(lambda: screen.board.row_count == 201)
            await screen.press("j", "j", "down", "k")
            assert screen.board.chosen == ("reader-001", "leader")
            publish(beaten.settings, [behind(beaten.settings, "reader-150", 90.0)])
            await screen.until(lambda: screen.names[0] == "reader-150")
            assert screen.board.chosen == ("reader-001", "leader")
            assert "reader-001" in screen.text
            await screen.press(*["j"] * 20)
            assert screen.board.chosen == ("reader-021", "leader")
            look, took_s = screen.top.look, []
            assert look is not None
            for _ in range(3):
                written, began_s = screen.board.written, time.thread_time()
                screen.top.on_top_looked(Top.Looked(look))
                took_s.append(time.thread_time() - began_s)
                assert screen.board.written == written, "nothing changed, and cells were drawn again"
            assert min(took_s) < 0.25, took_s

    play(scene)


def test_the_monitors_alerts_are_shown_where_one_answers(beaten: Pipeline, processes: Processes) -> None:
    monitor = address(processes.lag(lag__look_s="0.2", lag__alert_after_s="0.2"))
    publish(beaten.settings, [caught_up(beaten.settings, "asia", state="paused")])
    settings = beaten.settings.model_copy(
        update={
            "http": beaten.settings.http.model_copy(update={"lag_address": monitor}),
            "lag": beaten.settings.lag.model_copy(update={"alert_after_s": 3600.0}),
        }
    )

    async def scene() -> None:
        async with opened(settings, (110, 30)) as screen:
            await screen.shows("ALERT asia STOPPED: it is paused")

    play(scene)


def test_servers_that_are_down_are_problems_and_the_screen_lives_on(beaten: Pipeline) -> None:
    http = beaten.settings.http.model_copy(update={"capture_address": "127.0.0.1:1"})
    kafka = beaten.settings.kafka.model_copy(update={"bootstrap": "127.0.0.1:1"})
    down = beaten.settings.model_copy(update={"http": http, "kafka": kafka})

    async def scene() -> None:
        async with opened(down) as screen:
            await screen.shows(
                "capture unreachable", "log not seen", "problem: Kafka at 127.0.0.1:1 does not answer", "fix:"
            )
            await screen.press("question_mark")
            await screen.shows("choose a follower", "quit")
            screen.hammer("x")
            await screen.until(lambda: "choose a follower" not in screen.text)
            await screen.press("q")
            assert screen.top.return_code == 0

    play(scene)


@pytest.mark.parametrize("colour", ["", "1"], ids=["colour", "no colour"])
def test_a_small_screen_without_colour_says_the_same(
    beaten: Pipeline, monkeypatch: pytest.MonkeyPatch, colour: str
) -> None:
    monkeypatch.setenv("NO_COLOR", colour)
    publish(beaten.settings, [behind(beaten.settings, "berlin", 60.0)])

    async def scene() -> None:
        async with opened(beaten.settings, (80, 24)) as screen:
            await screen.shows("of 2 followers in trouble: berlin", "most in", "p pause", "q quit", "total")
            assert max(len(line) for line in screen.text.splitlines()) <= 80

    play(scene)
