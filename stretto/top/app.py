"""The screen of `stretto top`: head, followers, the chosen one's stages, alerts, problems, and keys."""

from __future__ import annotations

import threading
import time
from typing import ClassVar

from rich.console import RenderableType
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Footer, Input, Static

from stretto.status.standing import worst_first
from stretto.top import words
from stretto.top.board import Board
from stretto.top.dialogs import Confirm, Help
from stretto.top.looks import Look, Looks
from stretto.top.orders import Order, carry_out, order
from stretto.top.trail import Key, Trail
from stretto_schemas.errors import StrettoError
from stretto_schemas.lag.view import FollowerView
from stretto_schemas.settings import Settings

ERROR_SHOWN_S = 15.0


class Top(App[None]):
    """Shows looks; blocks on nothing. `failure` is what ended it, if anything but a key did."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head, #detail, #alerts, #problems { height: auto; padding: 0 1; }
    #head { max-height: 4; text-wrap: nowrap; text-overflow: ellipsis; }
    #detail { max-height: 12; border-top: solid $foreground 40%; }
    #alerts { max-height: 4; border-top: solid $foreground 40%; text-wrap: nowrap; text-overflow: ellipsis; }
    #problems { max-height: 6; }
    #filter { height: 1; border: none; padding: 0 1; }
    Board { height: 1fr; min-height: 4; overflow-x: hidden; scrollbar-size-vertical: 1; }
    .empty { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "order('pause')", "pause"),
        Binding("r", "order('resume')", "resume"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("escape", "all", "all", show=False),
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("q,ctrl+c", "quit", "quit", key_display="q"),
    ]

    class Looked(Message):
        """A look was taken."""

        def __init__(self, look: Look) -> None:
            super().__init__()
            self.look = look

    class Failed(Message):
        """No more looks will be taken."""

        def __init__(self, error: Exception) -> None:
            super().__init__()
            self.error = error

    class Done(Message):
        """An order was carried out, or was not."""

        def __init__(self, said: str, *, failed: bool) -> None:
            super().__init__()
            self.said = said
            self.failed = failed

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.look: Look | None = None
        self.failure: Exception | None = None
        self.looks = Looks(
            settings,
            lambda look: self.post_message(self.Looked(look)),
            lambda error: self.post_message(self.Failed(error)),
        )
        self._looked_at = time.monotonic()
        self._board = Board()
        self._trail = Trail()
        self._words = ""
        """Of the filter."""

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Static("looking ...", id="head", markup=False)
        yield self._board
        yield Static(id="detail", classes="empty", markup=False)
        yield Static(id="alerts", classes="empty", markup=False)
        yield Static(id="problems", classes="empty", markup=False)
        yield Input(placeholder="words in name, state or status", id="filter", classes="empty")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self._board.focus()
        self.looks.start()
        self.set_interval(1.0, self._show_problems)

    # --- what is seen -------------------------------------------------------------------------------------------------

    def on_top_looked(self, message: Looked) -> None:
        """Show it."""
        if self._taken_down:
            return  # the screen is being closed
        self.look = message.look
        self._looked_at = time.monotonic()
        view = message.look.view
        self._trail.add(message.look.at, view.followers)
        self.query_one("#head", Static).update(words.head(view))
        self._fill("alerts", words.alerts(view))
        self._show_problems()
        self._show_followers()

    async def on_event(self, event: events.Event) -> None:
        """A key that is typed while the screen is taken down has no screen to go to: textual would end with a traceback."""
        if isinstance(event, events.Key) and not self.screen_stack:
            return
        await super().on_event(event)

    @property
    def _taken_down(self) -> bool:
        """While the screen is taken down messages still come, to a board that may be gone or an app without a screen."""
        return not self._board.is_attached or not self.screen_stack

    def on_top_failed(self, message: Failed) -> None:
        """End: what happened is told where it can be read."""
        self.failure = message.error
        self.exit()

    def on_board_chosen(self) -> None:
        """Show the follower that the cursor is on."""
        if not self._taken_down:
            self._show_detail()

    def _show_problems(self) -> None:
        """Also between looks: one that waits for a server is told of."""
        if self._taken_down:
            return  # the screen is being closed
        old_s = time.monotonic() - self._looked_at - self.settings.lag.look_s
        self._fill("problems", words.problems(self.look.view if self.look is not None else None, old_s))

    def _show_followers(self) -> None:
        if self.look is None:
            return
        at, width = self.look.at, words.COLUMNS["last 2 minutes"]
        shown = [each for each in worst_first(self.look.view.followers) if words.matches(each, self._words)]
        self._board.show(
            [(_key(each), words.row(each, self._trail.line(_key(each), "total", at, width))) for each in shown]
        )
        self._show_detail()

    def _show_detail(self) -> None:
        follower = self.chosen()
        if follower is None or self.look is None:
            self._fill("detail", None)
            return
        at, key = self.look.at, _key(follower)
        width, wide = words.line_width(self.size.width)
        self._fill("detail", words.detail(follower, lambda stage: self._trail.line(key, stage, at, width), wide=wide))

    def _fill(self, pane: str, said: RenderableType | None) -> None:
        widget = self.query_one(f"#{pane}", Static)
        widget.set_class(not said, "empty")
        if said:
            widget.update(said)

    def chosen(self) -> FollowerView | None:
        """The follower that the cursor is on."""
        key = self._board.chosen
        followers = self.look.view.followers if self.look is not None else []
        return next((each for each in followers if _key(each) == key), None)

    # --- keys ---------------------------------------------------------------------------------------------------------

    def action_help(self) -> None:
        """What the keys do."""
        self.push_screen(Help())

    def action_filter(self) -> None:
        """Ask for words."""
        field = self.query_one("#filter", Input)
        field.remove_class("empty")
        field.focus()

    def action_all(self) -> None:
        """No filter."""
        field = self.query_one("#filter", Input)
        field.value = ""
        field.add_class("empty")
        self._board.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        self._words = event.value
        self._show_followers()

    def on_input_submitted(self) -> None:
        """Back to the table, the filter stays."""
        self.query_one("#filter", Input).set_class(not self._words, "empty")
        self._board.focus()

    def action_order(self, verb: str) -> None:
        """Ask, then do."""
        follower = self.chosen()
        if follower is None:
            self.notify("there is no follower here", severity="warning")
            return
        asked = order(self.settings, follower, verb)
        if isinstance(asked, str):
            self.notify(asked, severity="warning", timeout=ERROR_SHOWN_S, markup=False)
            return
        self.push_screen(Confirm(asked.question, asked.button), lambda yes: self._carry_out(asked) if yes else None)

    def _carry_out(self, asked: Order) -> None:
        def work() -> None:
            try:
                done = self.Done(carry_out(self.settings, asked.verb), failed=False)
            except StrettoError as error:
                done = self.Done(str(error), failed=True)
            self.post_message(done)

        threading.Thread(target=work, name=asked.verb, daemon=True).start()

    def on_top_done(self, message: Done) -> None:
        """Tell, and look whether it shows."""
        if self._taken_down:
            return
        self.notify(
            message.said,
            severity="error" if message.failed else "information",
            timeout=ERROR_SHOWN_S if message.failed else None,
            markup=False,
        )
        self.looks.hurry()


def _key(follower: FollowerView) -> Key:
    return follower.name, follower.source
