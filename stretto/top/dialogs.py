"""What is asked before something is changed, and what the keys do."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from stretto.top.trail import BARS, LEVELS_S

_BOX = """
{name} {{ align: center middle; }}
{name} > Vertical {{ width: 66; max-width: 96%; height: auto; max-height: 96%; border: round $foreground; padding: 0 1; background: $surface; }}
{name} Horizontal {{ height: auto; margin-top: 1; align-horizontal: right; }}
{name} Button {{ margin-left: 2; }}
"""


class Confirm(ModalScreen[bool]):
    """Asks; nothing happens but by `y` or the button that says what is done."""

    DEFAULT_CSS = _BOX.format(name="Confirm")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,q", "answer(False)", "no"),
        Binding("left,right", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, verb: str) -> None:
        super().__init__()
        self._question = question
        self._verb = verb
        self._answered = False

    def compose(self) -> ComposeResult:
        """The question and two buttons, `no` chosen."""
        with Vertical():
            yield Static(self._question, markup=False)
            with Horizontal():
                yield Button(f"{self._verb} (y)", id="yes", compact=True)
                yield Button("No (n)", id="no", compact=True)

    def on_mount(self) -> None:
        """Enter alone changes nothing."""
        self.query_one("#no", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """A click, or Enter on a button."""
        self.action_answer(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """A key. Only the first counts: more may have been pressed before the dialog is gone."""
        if not self._answered:
            self._answered = True
            self.dismiss(answer)


_LEVELS = "up to " + ", ".join(f"{bar} {level:g} s" for bar, level in zip(BARS, LEVELS_S, strict=False))

HELP = f"""\
up down j k   choose a follower
p r           pause the settings' follower, let it go on; asks first
/ escape      only followers with these words; all again
? q           this, which any key closes; quit

The worst come first. A bar is the most lag of its part of two minutes:
{_LEVELS},
{BARS[-1]} more.

wal      written, not received by capture
capture  received, not in Kafka
log      in Kafka, not read by the follower
apply    read, not committed

Statuses and their rules: docs/lag.md.
"""


class Help(ModalScreen[None]):
    """What the keys do."""

    DEFAULT_CSS = _BOX.format(name="Help") + "Help > Vertical { width: 78; }"

    def __init__(self) -> None:
        super().__init__()
        self._closed = False

    def compose(self) -> ComposeResult:
        """One text."""
        with Vertical():
            yield Static(HELP, markup=False)

    def on_key(self, event: Key) -> None:
        """Any key closes it, and does nothing else."""
        event.stop()
        event.prevent_default()
        if not self._closed:
            self._closed = True
            self.dismiss()
