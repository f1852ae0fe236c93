"""The page in a browser, fed with looks that the test makes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from playwright.sync_api import Locator, Page, expect

from stretto.embedded.processes import wait_until
from stretto_consumers.lag.past import Past
from stretto_schemas.lag.view import ProblemView
from tests.pages import ROOT
from tests.stretto.web.made import BLOCKED, Made, busy, follower, hour, made, pipeline, told

DEADLINE_S = 30.0
CONTRAST = Path(__file__).with_name("contrast.js").read_text()

expect.set_options(timeout=DEADLINE_S * 1000)


def shows(page: Page, server: Made, path: str = "/") -> None:
    """Open the page and wait until it shows a look."""
    page.goto(server.address + path)
    expect(page.locator("#wire")).to_have_text("● Live")


def row(page: Page, name: str) -> Locator:
    """A follower's line."""
    return page.locator("#follower-rows tr").filter(has=page.get_by_role("button", name=name, exact=True))


def names(page: Page) -> list[str]:
    """Followers as they stand in the table."""
    return page.locator("#follower-rows th").all_inner_texts()


def comes(server: Made, view: Any, seen: Callable[[], bool]) -> None:
    """Look until the page has drawn it."""
    server.show(view)
    assert wait_until(seen, DEADLINE_S)


def test_lag_is_on_the_arrow_in_the_row_and_explained(page: Page, server: Made) -> None:
    server.show(busy())
    shows(page, server, "/#warehouse/shop")
    expect(page.locator("h1")).to_have_text("Pipeline shop")
    expect(page.locator("#summary")).to_have_text(
        "5 followers: 1 STOPPED, 1 STALLED, 1 CATCHING UP, 2 OK. 1 follower over budget. 1 thing to look at."
    )
    words = page.locator("#flow-words").text_content() or ""
    assert "Leader shop to Kafka: 0.1 s, flowing." in words
    assert "Kafka to warehouse: 42 s, STALLED." in words
    arrow = page.locator("#flow .arrow.s-STALLED")
    assert arrow.locator("text").all_text_contents() == ["42 s", "log 3.1 s · apply 39 s"]
    assert float(arrow.locator(".way").get_attribute("stroke-width") or 0) > 10
    expect(page.locator("#flow .arrow.s-OK .way").first).to_have_attribute("stroke-width", re.compile(r"^2\."))
    cells = row(page, "warehouse").locator("th, td").all_inner_texts()
    assert cells[:4] == ["warehouse", "■ STALLED, over budget", "42 s", "apply"]
    assert BLOCKED in cells[-1]
    expect(page.locator("#verdict-reason")).to_contain_text("its place has been the same for 42 s")
    expect(page.locator("#likely")).to_have_text(f"Likely: {BLOCKED}.")
    assert page.title() == "✕ STOPPED: shop - Stretto"


def test_stages_percentiles_and_the_time_to_catch_up_are_those_of_the_chosen_follower(page: Page, server: Made) -> None:
    server.show(busy())
    shows(page, server)
    page.get_by_role("combobox", name="Follower", exact=True).select_option("search")
    assert page.locator("#stage-rows tr.log td").all_inner_texts() == ["95 s", "28,500", "3.6 MB"]
    assert page.locator("#stage-rows tr.wal td").all_inner_texts() == ["0.1 s", "?", "2.0 kB"]
    assert page.locator("#visible-rows tr").nth(1).locator("td").all_inner_texts() == [
        "12 ms",
        "31 ms",
        "94 ms",
        "2.1 s",
    ]
    facts = dict(zip(page.locator("dt").all_inner_texts(), page.locator("dd").all_inner_texts(), strict=True))
    assert facts["Caught up in"] == "about 7 min (80 % sure)"
    assert facts["Position"] == "3A/4F001A28"
    assert page.evaluate("decodeURIComponent(location.hash)") == "#search/shop"


def test_an_address_that_names_nothing_shows_the_worst(page: Page, server: Made) -> None:
    errors: list[object] = []
    page.on("pageerror", lambda error: errors.append(error))
    server.show(busy())
    shows(page, server, "/#%")
    expect(page.locator("#who")).to_have_value("reporting/shop")
    assert errors == []


def test_problems_slots_copies_and_alerts_are_listed(page: Page) -> None:
    now_us = time.time_ns() // 1000
    with made(alerts=told(now_us)) as server:
        server.show(busy())
        shows(page, server)
        problems = page.locator("#problem-list li")
        expect(problems).to_have_count(1)
        expect(problems).to_contain_text("Kafka at 10.0.4.17:9092 (broker 3) does not answer")
        expect(problems).to_contain_text("Fix: start it, or see its log; the other two go on")
        expect(page.locator("#slot-list")).to_contain_text("keeps 48.0 MB")
        expect(page.locator("#slot-list")).to_contain_text("976.0 MB left to the limit.")
        assert page.get_by_role("progressbar", name="public.orders of search").get_attribute("value") == "0.430"
        expect(page.locator("#copy-list")).to_contain_text("4,210,000 of about 9,800,000 rows")
        alerts = page.locator("#alert-list li strong").all_inner_texts()
        assert alerts == [
            "◆ warehouse: lag budget exceeded",
            "■ warehouse: STALLED",
            "✕ reporting: STOPPED",
            "✓ over: warehouse",
            "✓ over: warehouse: lag budget",
        ]
        over = page.locator("#alert-list li.over time").all_inner_texts()
        assert [text.partition("; ")[2] for text in over] == [
            "it was STALLED, then WARNING, 11 min in all",
            "it was exceeded, 8 min in all",
        ]
        server.show(pipeline([follower("calm")]))
        expect(page.locator("#problems")).to_be_hidden()
        expect(page.locator("#copies")).to_be_hidden()


def test_what_two_servers_say_alike_is_listed_once_with_each_fix(page: Page, server: Made) -> None:
    said = [
        ProblemView("no database", fix=f"set `dsn` in section [{name}]") for name in ("source", "follower", "source")
    ]
    server.show(pipeline([], problems=said))
    shows(page, server)
    fixes = page.locator("#problem-list .fix").all_inner_texts()
    assert fixes == ["Fix: set dsn in section [source]", "Fix: set dsn in section [follower]"]
    expect(page.locator("#summary")).to_have_text("No followers yet. 2 things to look at.")


def test_the_chart_has_the_past_hour_and_says_it_in_words_and_as_a_table(page: Page) -> None:
    with made(Past(hour(time.time_ns() // 1000))) as server:
        server.show(busy())
        shows(page, server, "/#warehouse/shop")
        expect(page.locator("#chart-words")).to_contain_text("In the last hour at most 42 s behind, at ")
        area = page.locator("#chart .f-apply").get_attribute("d") or ""
        assert area.count("L") > 300
        moment = page.get_by_role("slider", name="Moment", exact=True)
        moment.focus()
        moment.press("PageUp")  # a value to begin with, then an exact one
        moment.fill("220")
        expect(page.locator("#moment-words")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d: 1\d s behind; wal .*apply"))
        assert moment.get_attribute("aria-valuetext") == page.locator("#moment-words").inner_text()
        page.get_by_text("The chart as a table").click()
        expect(page.locator("#chart-rows tr")).to_have_count(13)
        assert page.locator("#chart-head th").all_inner_texts() == ["From", "wal", "capture", "log", "apply", "total"]
        most = [cells.split("\t")[-1] for cells in page.locator("#chart-rows tr").all_inner_texts()]
        assert most[0] == "42 s"
        assert any(re.fullmatch(r"1[5-9] s", each) for each in most), most


def test_times_are_the_browsers_with_utc_for_who_asks(page: Page, server: Made) -> None:
    view = pipeline([follower("a")])
    view.followers[0].commit_ts_us = 1_764_000_000_000_000
    server.show(view)
    context = (
        page.context.browser.new_context(timezone_id="Asia/Tokyo", locale="en-GB") if page.context.browser else None
    )
    assert context is not None
    tokyo = context.new_page()
    shows(tokyo, server)
    newest = tokyo.locator("#facts time")
    expect(newest).to_have_text("25 Nov, 01:00:00")
    expect(newest).to_have_attribute("title", "2025-11-24 16:00:00 UTC")
    context.close()


def test_a_quiet_look_changes_next_to_nothing_however_many_followers_there_are(page: Page, server: Made) -> None:
    many = [follower(f"f{number:03}", log=0.01, apply=0.02) for number in range(200)]
    server.show(pipeline(many))
    shows(page, server)
    expect(page.locator("#follower-rows tr")).to_have_count(200)
    assert page.evaluate("document.querySelectorAll('*').length") < 200 * 20
    page.evaluate(
        """() => {
            window.work = { made: 0, changed: 0 };
            new MutationObserver((found) => {
                for (const each of found) {
                    work.made += [...each.addedNodes].filter((node) => node.nodeType === 1).length;
                    work.changed += 1;
                }
            }).observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
        }"""
    )
    many[3] = msgspec.structs.replace(many[3], rows_per_s=1241.0)
    comes(server, pipeline(many), lambda: "1,241" in row(page, "f003").inner_text())
    assert page.evaluate("work.made") == 0
    assert page.evaluate("work.changed") < 100, "ages move, which are few; no line does"
    many[7] = follower("f007", "STALLED", "12 s behind", BLOCKED, apply=12.0)
    comes(server, pipeline(many), lambda: names(page)[0] == "f007")
    assert page.evaluate("work.made") < 100, "the drawing, anew, for another one is the worst"
    assert page.evaluate("work.changed") < 150


def test_lines_stay_in_their_place_until_a_status_changes(page: Page, server: Made) -> None:
    server.show(pipeline([follower("a", apply=0.5), follower("b", apply=0.4), follower("c", apply=0.3)]))
    shows(page, server)
    assert names(page) == ["a", "b", "c"]
    comes(
        server,
        pipeline([follower("a", apply=0.1), follower("b", apply=0.2), follower("c", apply=0.9)]),
        lambda: row(page, "c").locator("td").nth(1).inner_text() == "0.9 s",
    )
    assert names(page) == ["a", "b", "c"]
    comes(
        server,
        pipeline([follower("a"), follower("b", "WARNING", "lag grows", apply=9.0), follower("c", apply=0.9)]),
        lambda: names(page) == ["b", "c", "a"],
    )


def test_the_table_is_sorted_and_sifted_with_the_keyboard(page: Page, server: Made) -> None:
    server.show(busy())
    shows(page, server)
    assert names(page) == ["reporting", "warehouse", "search", "yesterday", "europe"]
    head = page.get_by_role("columnheader", name="Lag")
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert names(page) == ["yesterday", "reporting", "search", "warehouse", "europe"]
    expect(head).to_have_attribute("aria-sort", "ascending")
    page.keyboard.press("Enter")
    assert names(page) == ["europe", "warehouse", "search", "reporting", "yesterday"]
    expect(head).to_have_attribute("aria-sort", "descending")
    page.get_by_role("searchbox", name="Name", exact=True).fill("REP")
    assert names(page) == ["reporting"]
    expect(page.locator("#count")).to_have_text("1 of 5 followers")
    page.get_by_role("searchbox", name="Name", exact=True).fill("")
    page.get_by_role("combobox", name="Status", exact=True).select_option("in trouble")
    assert names(page) == ["warehouse", "reporting"]
    row(page, "reporting").get_by_role("button").focus()
    page.keyboard.press("Space")
    expect(page.locator("#verdict-reason")).to_have_text("reporting: it is paused; 4 min behind")
    expect(row(page, "reporting").get_by_role("button")).to_have_attribute("aria-pressed", "true")


def test_screen_readers_hear_of_changes_and_not_of_each_look(page: Page, server: Made) -> None:
    live = page.locator("#changed")
    server.show(pipeline([follower("a"), follower("b")]))
    shows(page, server)
    comes(
        server,
        pipeline([follower("a", apply=0.9), follower("b")]),
        lambda: row(page, "a").locator("td").nth(1).inner_text() == "0.9 s",
    )
    assert live.inner_text() == ""
    assert live.get_attribute("aria-live") == "polite"
    server.show(pipeline([follower("a", "STALLED", "12 s behind", apply=12.0), follower("b")]))
    expect(live).to_have_text("a is STALLED: 12 s behind.")
    assert page.locator("[aria-live], [role=status], [role=alert], output").count() == 2, (
        "that one, and the table's count"
    )


def test_what_somebody_calls_a_follower_is_text_and_nothing_else(page: Page, server: Made) -> None:
    evil = '<img src=x onerror="document.title=1">`<b>`&amp;'
    view = pipeline([follower(evil, "WARNING", evil, evil, apply=2.0)])
    view.prefix = evil
    view.followers[0].said = evil
    server.show(view)
    shows(page, server)
    assert names(page) == [evil]
    assert page.locator("img, #likely b").count() == 0
    expect(page.locator("#likely code")).to_have_text("<b>")


def test_a_server_that_is_gone_is_told_with_since_when_and_found_again(page: Page) -> None:
    now_us = time.time_ns() // 1000
    with made() as server:
        port = server.port
        server.show(pipeline([follower("before")]))
        shows(page, server)
        expect(page.locator("#lost")).to_be_hidden()
    expect(page.locator("#lost")).to_have_text(
        re.compile(
            r"No connection to the server since \d\d:\d\d:\d\d\. What you see is from \d\d:\d\d:\d\d\. Trying again\."
        )
    )
    expect(page.locator("#wire")).to_have_text("✕ No connection")
    assert names(page) == ["before"]
    with made(Past(hour(now_us)), port) as server:
        server.show(pipeline([follower("warehouse")]))
        expect(page.locator("#wire")).to_have_text("● Live")
        expect(page.locator("#lost")).to_be_hidden()
        assert names(page) == ["warehouse"]
        # its past is asked for again
        expect(page.locator("#chart-words")).to_contain_text("In the last hour at most")


def test_nothing_to_show_yet_is_told_with_the_next_command(page: Page, server: Made) -> None:
    view = pipeline([], hints=["the source is not captured yet: `stretto init`"])
    source = view.sources[0]
    source.slot = source.wal_lsn = source.frontier_sequence = source.safe_wal_bytes = source.bytes_per_s = None
    source.lag = {"wal": None, "capture": None}
    server.show(view)
    shows(page, server)
    expect(page.locator("#summary")).to_have_text("No followers yet. 1 thing to look at.")
    expect(page.locator("#problem-list li code")).to_have_text("stretto init")
    expect(page.locator("#chosen")).to_be_hidden()
    expect(page.locator("#no-alerts")).to_be_visible()
    assert "? no slot" in page.locator("#flow .arrow text").all_text_contents()


@pytest.mark.parametrize("width", [320, 360, 720, 880, 1280, 2400])
def test_nothing_is_cut_off_at_any_width(page: Page, server: Made, width: int) -> None:
    long = follower("a-follower-whose-name-is-as-long-as-names-may-be-and-then-some", "WARNING", "lag grows", apply=3.0)
    view = busy()
    view.followers.append(long)
    server.show(view)
    page.set_viewport_size({"width": width, "height": 800})
    shows(page, server)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    beyond = page.evaluate(
        """() => [...document.querySelectorAll("#flow text, .bar > *, #facts dd, #alert-list p")].filter((node) => {
            const card = node.closest("section").getBoundingClientRect();
            const box = node.getBoundingClientRect();
            return box.width > 0 && (box.right > card.right || box.left < card.left);
        }).map((node) => node.textContent)"""
    )
    assert beyond == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(page: Page, server: Made, scheme: Literal["light", "dark"]) -> None:
    view = busy()
    view.followers += [
        follower("a", "WARNING", "lag grows", apply=3.0),
        follower("b", "REWOUND", "its place went back", apply=3.0),
    ]
    view.followers.pop(0)
    server.show(view)
    page.emulate_media(color_scheme=scheme)
    shows(page, server)
    page.get_by_text("The chart as a table").click()
    said = page.evaluate(CONTRAST)
    assert said["looked"] > 150
    assert said["found"] == []


def test_each_control_has_a_name_and_headings_and_landmarks_are_in_order(page: Page, server: Made) -> None:
    server.show(busy())
    shows(page, server)
    tree = page.locator("body").aria_snapshot()
    assert not re.search(
        r"- (button|combobox|slider|searchbox|link|progressbar|meter|region|table|img)(:|$| \[)", tree, re.MULTILINE
    ), tree
    levels = [
        int(level)
        for level in page.evaluate(
            "[...document.querySelectorAll('h1, h2, h3')].filter((e) => e.checkVisibility()).map((e) => e.tagName[1])"
        )
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for landmark in ("banner", "main", "contentinfo"):
        assert page.get_by_role(landmark).count() == 1
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.evaluate(
        "[...document.querySelectorAll('[id]')].length === new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size"
    )


def test_every_control_is_reached_by_tab_and_seen_when_it_is(page: Page, server: Made) -> None:
    server.show(busy())
    shows(page, server)
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
                const at = document.activeElement, style = getComputedStyle(at);
                return at === document.body ? null : [at.id || at.textContent.trim().slice(0, 20), style.outlineStyle, parseFloat(style.outlineWidth)];
            }"""
        )
        if found is None:
            break
        reached.append(found)
    controls = [name for name, _, _ in reached]
    assert controls[0] == "To the content"
    for wanted in ("who", "moment", "sieve-name", "sieve-status", "Lag", "warehouse", "europe", "/view"):
        assert wanted in controls, controls
    assert [name for name, style, width in reached if style == "none" or width < 2] == []


def test_who_wants_no_motion_gets_none(page: Page, server: Made) -> None:
    server.show(busy())
    page.emulate_media(reduced_motion="reduce")
    shows(page, server)
    moving = "[...document.querySelectorAll('*')].filter((e) => parseFloat(getComputedStyle(e).transitionDuration) > 0 || getComputedStyle(e).animationName !== 'none').length"
    assert page.evaluate(moving) == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(moving) > 0


def test_pictures_for_the_documentation(page: Page, request: pytest.FixtureRequest) -> None:
    now_us = time.time_ns() // 1000
    folder = ROOT / "docs" / "images"
    with made(Past(hour(now_us)), alerts=told(now_us)) as server:
        server.show(busy())
        for name, scheme, width, height in (
            ("light", "light", 1280, 1360),
            ("dark", "dark", 1280, 1360),
            ("narrow", "light", 360, 1500),
        ):
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            page.set_viewport_size({"width": width, "height": height})
            shows(page, server, "/#warehouse/shop")
            expect(page.locator("#chart-words")).to_contain_text("In the last hour")
            picture = page.screenshot()
            assert 10_000 < len(picture) < 250_000
            if request.config.getoption("--screenshots"):
                folder.mkdir(exist_ok=True)
                (folder / f"web-{name}.png").write_bytes(picture)
            assert (folder / f"web-{name}.png").exists()


def test_a_view_survives_the_wire_as_it_is(page: Page, server: Made) -> None:
    view = busy()
    server.show(view)
    shows(page, server)
    said = page.evaluate("fetch('/view').then((answer) => answer.json())")
    assert said == msgspec.to_builtins(view)
