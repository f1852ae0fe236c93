"""Hooks: each alert goes to a command, to an address, or to both, in order and in the background.

A command gets the alert as JSON on its standard input and takes it by ending with 0; an address gets it by POST and takes
it with a status below 300. What does not take it in all its tries, or not before the end, is given up, counted and listed.
"""

from __future__ import annotations

import base64
import http.client
import logging
import os
import queue
import shlex
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit, urlunsplit

import msgspec

from stretto_connectors.prometheus import counter
from stretto_schemas import metrics
from stretto_schemas.errors import SettingsError
from stretto_schemas.lag.view import Alert
from stretto_schemas.settings import LagSettings

log = logging.getLogger(__name__)

FAILURES = counter(metrics.HOOK_FAILURES)

WAITING = 1_000
"""Alerts that wait for a hook at most; of more the newest are given up."""
LISTED = 20
"""Alerts given up that /status lists."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
JOIN_S = 5.0
ENDED = "the monitor ended before it was taken"

_encode = msgspec.json.Encoder().encode


class HookFailed(Exception):
    """A try that failed; the text says why."""


class Hooks:
    """Both hooks of the settings. `put` returns at once; `close` waits for nothing but the try that runs."""

    def __init__(self, lag: LagSettings) -> None:
        """Raises SettingsError for a command that cannot be split, or an address that is none."""
        for name in ("command", "url"):
            FAILURES.labels(name)  # shown as 0 from the start
        self._hooks: list[_Hook] = []
        if lag.hook_command:
            command = split(lag.hook_command)
            self._hooks.append(_Hook("command", lag, lambda alert, stop: run(command, alert, lag.hook_timeout_s, stop)))
        if url := lag.hook_url.get_secret_value():
            there = address(url)
            self._hooks.append(_Hook("url", lag, lambda alert, _: post(there, alert, lag.hook_timeout_s)))

    def put(self, alert: Alert) -> None:
        """Hand it to every hook."""
        for hook in self._hooks:
            hook.put(alert)

    def status(self) -> list[dict[str, object]]:
        """For /status: what waits and what was given up."""
        return [hook.status() for hook in self._hooks]

    def close(self) -> None:
        """End; what waits is given up."""
        for hook in self._hooks:
            hook.stop()
        for hook in self._hooks:
            hook.join()


class _Hook:
    """One hook and its thread."""

    def __init__(self, name: str, lag: LagSettings, take: Callable[[Alert, threading.Event], None]) -> None:
        self._name = name
        self._tries = lag.hook_tries
        self._take = take
        self._waiting: queue.Queue[Alert | None] = queue.Queue(WAITING)
        self._failed: deque[dict[str, object]] = deque(maxlen=LISTED)
        self._taken = self._given_up = 0
        self._under_way: Alert | None = None
        self._left = False
        """The end did not wait for the try that ran."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"hook-{name}", daemon=True)
        self._thread.start()

    def put(self, alert: Alert) -> None:
        if self._stop.is_set():
            self._give_up(alert, ENDED)
            return
        try:
            self._waiting.put_nowait(alert)
        except queue.Full:
            self._give_up(alert, f"{WAITING} alerts wait for it already")

    def status(self) -> dict[str, object]:
        return {
            "hook": self._name,
            "taken": self._taken,
            "given_up": self._given_up,
            "waiting": self._waiting.qsize(),
            "failed": list(self._failed),
        }

    def stop(self) -> None:
        self._stop.set()
        with suppress(queue.Full):
            self._waiting.put_nowait(None)

    def join(self) -> None:
        """Wait for the try that runs, for some seconds; give up what is left."""
        self._thread.join(JOIN_S)
        self._left = self._thread.is_alive()
        if self._under_way is not None:
            self._give_up(self._under_way, f"{ENDED}; its last try had no answer yet")
        with suppress(queue.Empty):
            while True:
                alert = self._waiting.get_nowait()
                if alert is not None:
                    self._give_up(alert, ENDED)

    def _run(self) -> None:
        while not self._stop.is_set():
            alert = self._under_way = self._waiting.get()
            if alert is None:
                return
            try:
                why = self._deliver(alert)
            except Exception as error:  # noqa: BLE001 - the last resort: a thread that ends takes no alert ever after
                why = f"it cannot be tried: {type(error).__name__}"
            if self._left:
                return
            self._under_way = None
            if why:
                self._give_up(alert, why)
            else:
                self._taken += 1

    def _deliver(self, alert: Alert) -> str:
        """Try until it is taken; why it was not, or nothing."""
        pause_s = FIRST_PAUSE_S
        for tried in range(1, self._tries + 1):
            if self._stop.is_set():
                return ENDED
            try:
                self._take(alert, self._stop)
            except HookFailed as error:
                why = str(error)
                log.info("hook %s, try %d of %d: %s", self._name, tried, self._tries, why)
            else:
                return ""
            if tried < self._tries and self._stop.wait(pause_s):
                return f"{ENDED}; its last try: {why}"
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return why

    def _give_up(self, alert: Alert, why: str) -> None:
        self._given_up += 1
        FAILURES.labels(self._name).inc()
        about = {"follower": alert.follower, "source": alert.source, "kind": alert.kind, "status": alert.status}
        self._failed.append({**about, "at_us": alert.at_us, "why": why})
        log.warning("hook %s did not take an alert (%s, %s): %s", self._name, alert.follower, alert.status, why)


def split(command: str) -> list[str]:
    """A command's words, as a shell splits them. Raises SettingsError."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SettingsError(
            f"hook_command in section [lag] cannot be split: {error}", expected="words as a shell has them"
        ) from None
    if not words:
        raise SettingsError("hook_command in section [lag] holds no word", fix="name a program, or leave it empty")
    return words


def run(command: list[str], alert: Alert, timeout_s: float, stop: threading.Event) -> None:
    """Run a command with the alert on its standard input. Raises HookFailed.

    It gets a process group of its own, all of which is killed when the time is up or `stop` is set: what it started, too.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise HookFailed(f"{command[0]} cannot be run: {error.strerror or error}") from None
    given: bytes | None = _encode(alert)
    left_s, turn_s = timeout_s, 0.25
    while True:
        try:
            process.communicate(given, timeout=min(left_s, turn_s))
            break
        except subprocess.TimeoutExpired:
            given = None  # communicate goes on with what it was given first
            left_s -= turn_s
            if stop.is_set():
                _kill(process)
                raise HookFailed(f"{command[0]} was killed at the monitor's end") from None
            if left_s <= 0:
                _kill(process)
                raise HookFailed(f"{command[0]} did not end within {timeout_s:g} s") from None
    if process.returncode:
        raise HookFailed(f"{command[0]} ended with {process.returncode}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


@dataclass(frozen=True, slots=True)
class Address:
    """Where alerts are sent. Only `host` may be told: user, path and query hold secrets."""

    host: str
    """With the port, where one is given."""
    url: str
    """Without the user."""
    headers: dict[str, str]


def address(url: str) -> Address:
    """An address apart from its user, who goes into a header. Raises SettingsError."""
    try:
        parts = urlsplit(url)
        name, port = parts.hostname or "", parts.port
    except ValueError:  # its text repeats the address
        name, port = "", None
    if not name:
        raise SettingsError(
            "hook_url in section [lag] is no address", expected="https://host:port/path, with a port from 1 to 65535"
        )
    user, _, place = parts.netloc.rpartition("@")
    headers = {"Content-Type": "application/json", "User-Agent": "stretto"}
    if user:
        user = user if ":" in user else f"{user}:"  # a password is empty at least
        headers["Authorization"] = f"Basic {base64.b64encode(unquote_to_bytes(user)).decode()}"
    host = f"[{name}]" if ":" in name else name
    return Address(f"{host}:{port}" if port is not None else host, urlunsplit(parts._replace(netloc=place)), headers)


def post(to: Address, alert: Alert, timeout_s: float) -> None:
    """Send the alert. Raises HookFailed; what it says names no more of the address than the host."""
    request = urllib.request.Request(to.url, _encode(alert), to.headers, method="POST")  # noqa: S310 - http or https
    try:
        with _opener.open(request, timeout=timeout_s) as answer:
            answer.read(1024)
    except urllib.error.HTTPError as error:
        with error:
            raise HookFailed(f"{to.host} answered {error.code}") from None
    except urllib.error.URLError as error:
        raise HookFailed(f"{to.host} cannot be reached: {error.reason}") from None
    except OSError as error:
        raise HookFailed(f"{to.host}: {error.strerror or error}") from None
    except (http.client.HTTPException, ValueError) as error:  # their texts may repeat the address
        raise HookFailed(f"{to.host}: {type(error).__name__}") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A POST that is sent elsewhere would become a GET there, and be taken for taken."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)
