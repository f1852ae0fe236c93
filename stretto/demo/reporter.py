"""Shows the scene: redrawn in place on a terminal, as plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from rich.console import Console
from rich.live import Live

from stretto.demo.scene import Event, Scene, clock
from stretto.demo.screen import render
from stretto.demo.watch import rates
from stretto_schemas.lag.stages import holding
from stretto_schemas.lag.words import size

LINE_EVERY_S: Final = 4.0


class Reporter(Protocol):
    """Where the demo shows itself."""

    def draw(self, scene: Scene) -> None:
        """Show the scene as it is now; called several times a second."""

    def event(self, event: Event) -> None:
        """Something happened, which the scene holds as well."""


class _Lines:
    def __init__(self) -> None:
        self._said = 0.0

    def draw(self, scene: Scene) -> None:
        now = time.monotonic()
        if scene.began is None or now - self._said < LINE_EVERY_S:
            return
        self._said = now
        per_second, look = rates(scene.looks), scene.looks[-1]
        stages = ", ".join(
            f"{name} {per_second[stage]:,.0f}"
            for stage, name in (("wal", "load"), ("capture", "Kafka"), ("apply", "follower"))
        )
        stage = holding(look.lag)
        lag = f"{look.total.seconds:.3f} s, {size(look.total.bytes)}" + (f", most in {stage}" if stage else "")
        print(f"{clock(scene.elapsed_s):>5}  rows/s: {stages}; lag: {lag}", flush=True)

    def event(self, event: Event) -> None:
        print(f"{clock(event.at_s):>5}  {event.text}", flush=True)


class _Screen:
    def __init__(self, live: Live, console: Console) -> None:
        self._live = live
        self._console = console

    def draw(self, scene: Scene) -> None:
        width, height = self._console.size
        self._live.update(render(scene, width, height), refresh=True)

    def event(self, event: Event) -> None:
        """Nothing: the scene's next drawing has it."""


@contextmanager
def reporter(console: Console) -> Iterator[Reporter]:
    """A screen where the console is a terminal, lines elsewhere. The screen's last drawing stays."""
    if not console.is_terminal:
        yield _Lines()
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="crop", redirect_stdout=False) as live:
        yield _Screen(live, console)
