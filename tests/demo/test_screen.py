"""The demo's screen and its summary, drawn from a made-up scene."""

from __future__ import annotations

import io
import time

import pytest
import typer
from rich.console import Console, RenderableType

from stretto.cli.demo import conclude
from stretto.demo.compare import Checksum, Comparison, Difference, TableComparison
from stretto.demo.load import Progress
from stretto.demo.reporter import reporter
from stretto.demo.scene import Event, LoadCounts, Scene
from stretto.demo.screen import STAGES, render
from stretto.demo.summary import Lags, Summary, render_summary
from stretto.demo.watch import Look, Process
from stretto.progress import bars
from stretto_consumers.follower.add_progress import PlannedTable
from stretto_schemas.follower_state import FollowerState
from stretto_schemas.lag.facts import LogFacts
from stretto_schemas.lag.stages import NOTHING, StageLag

RUNS, DEAD = Process("running", 11), Process("dead", None)


def look(at: float, rows: int, *, capture: Process = RUNS, waiting: int = 0) -> Look:
    """The pipeline `at` seconds after it began."""
    waits = StageLag(2_500_000, waiting, 1.25 if waiting else 0.0)
    transactions = rows // 3
    return Look(
        at=at,
        log=LogFacts(rows, 1, 1, 0, 0, records=rows, transactions=transactions),
        follower=FollowerState("follower", "leader", 1, 1, rows, 0, 0, transactions, rows),
        lag={"wal": None, "capture": waits, "log": NOTHING, "apply": NOTHING, "total": waits},
        processes={"capture": capture, "follower": RUNS},
        load_rows=rows,
    )


def scene(*, events: int, capture: Process = RUNS) -> Scene:
    """27 seconds into the load, 400 rows a second."""
    looks = [look(i / 4, i * 100, capture=capture, waiting=12 if i % 40 == 39 else 0) for i in range(120)]
    return Scene(
        seconds=75,
        servers={"leader": 5401, "kafka": 9093, "follower": 5402},
        act="the leader goes on meanwhile",
        looks=looks,
        counts=LoadCounts(1000, Progress(500, 2500, by_table={f"table_{i}": i for i in range(40)})),
        events=[Event(float(i), "killed", f"event {i} " + "x" * 60) for i in range(events)],
        began=time.monotonic() - 27,
    )


def drawn(what: RenderableType, width: int, height: int) -> list[str]:
    """Its lines on a terminal of that size."""
    console = Console(width=width, height=height, force_terminal=True, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(what)
    return captured.get().rstrip("\n").split("\n")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("events", [0, 3, 30])
def test_the_screen_fits_its_terminal_and_shows_every_stage(width: int, height: int, events: int) -> None:
    lines = drawn(render(scene(events=events), width, height), width, height)
    assert len(lines) <= height - 1
    assert max(len(line) for line in lines) <= width
    text = "\n".join(lines)
    assert "0:27 / 1:15" in text
    assert "leader :5401 ─▶ ● capture ─▶ Kafka :9093" in text
    [header] = [line for line in lines if "rows/s" in line]
    assert header.split() == ["stage", "rows/s", "lag:", "bytes", "records", "seconds"]
    for title, _ in STAGES.values():
        [row] = [line for line in lines if line.startswith(f"{title} ")]
        assert "400" in row, row
    [total] = [line for line in lines if line.startswith("total")]
    assert total.split()[-1] == "1.250"
    [capture] = [line for line in lines if line.startswith("capture")]
    assert capture.split()[-4:] == ["2.4", "MB", "12", "1.250"]
    [wal] = [line for line in lines if line.startswith("WAL")]
    assert wal.split()[-3:] == ["?", "?", "?"], "nobody can tell"
    assert "peak 1.25 s" in text
    assert (f"event {events - 1} " in text) == (events > 0)
    assert "1,500 transactions: pgbench 1,000, writer 500" in text
    assert ("table_39" in text) == (height >= 40), text


def test_a_killed_process_is_crossed_out() -> None:
    text = "\n".join(drawn(render(scene(events=1, capture=DEAD), 80, 24), 80, 24))
    assert "✖ capture" in text
    assert "● apply" in text


def summary(*, equal: bool) -> Summary:
    """Two tables, of which one may differ by a row."""
    same = TableComparison("public", "same", Checksum(10, 1), Checksum(10, 1))
    other = TableComparison("shop", "other", Checksum(5, 2), Checksum(5, 2) if equal else Checksum(4, 3))
    looks = [look(i / 4, i * 100, waiting=i % 7) for i in range(40)]
    return Summary(
        load_s=75.0,
        counts=LoadCounts(1000, Progress(500, 2500)),
        first_rows=100,
        last=looks[-1],
        lags=Lags.of(looks),
        killed=[Event(27.0, "killed", "capture in the middle of a Kafka transaction")],
        caught_up_s=0.4,
        comparison=Comparison((same, other)),
        compare_s=0.1,
        differences=[] if equal else [(other, [Difference("changed", "id=7", None, None, ("name", "size"))])],
    )


def test_the_summary_of_equal_databases_says_so() -> None:
    text = "\n".join(drawn(render_summary(summary(equal=True)), 120, 40))
    assert "equal: 2 tables, 15 rows" in text
    assert "DIFFERENT" not in text
    assert "0:27 capture in the middle of a Kafka transaction" in text
    assert "1.250 s, 6 records" in text


def test_the_summary_of_differing_databases_names_the_rows() -> None:
    lines = drawn(render_summary(summary(equal=False)), 120, 40)
    [row] = [line for line in lines if line.startswith("shop.other")]
    assert row.split() == ["shop.other", "5", "4", "DIFFERENT"]
    assert [line.strip() for line in lines if "id=7" in line] == ["changed id=7: name, size"]
    assert [line for line in lines if "NOT EQUAL: 1 of 2 tables differ" in line]


@pytest.mark.parametrize(("equal", "code"), [(True, 0), (False, 1)])
def test_the_command_ends_with_code_1_when_the_databases_differ(
    equal: bool, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        conclude(summary(equal=equal), Console(width=120))
    assert ended.value.exit_code == code
    assert ("NOT EQUAL" in capsys.readouterr().out) == (not equal)


def test_the_screen_is_drawn_in_place_on_a_terminal() -> None:
    written = io.StringIO()
    console = Console(width=80, height=24, force_terminal=True, color_system=None, file=written)
    with reporter(console) as shown:
        for _ in range(2):
            shown.draw(scene(events=2))
            shown.event(Event(1.0, "note", "the scene's next drawing has it"))
    first, again, *_ = written.getvalue().split("stretto demo")[1:]
    assert "\x1b[1A" in first + again, "the cursor goes up before the second drawing"
    assert "the scene's next drawing has it" not in written.getvalue()


def test_follower_add_draws_a_bar_a_table() -> None:
    written = io.StringIO()
    console = Console(width=100, height=24, force_terminal=True, color_system=None, file=written)
    with bars(console) as sink:
        sink.stage("Copying 2 tables")
        sink.note("[a note] without markup")
        sink.planned([PlannedTable("public.small", 10, 0), PlannedTable("public.large", 5_000_000, 1000)])
        sink.copied("public.large", 400, 2_000_000)
        sink.copied("public.large", 500, 3_000_000)
        sink.finished("public.large", 900)
        sink.finished("public.small", 0)
    last = written.getvalue().split("public.large")[-1]
    assert "900 rows" in last
    assert "5 MB" in last
    assert "public.small" in last, "the larger table comes first"
    assert "[a note] without markup" in written.getvalue()
