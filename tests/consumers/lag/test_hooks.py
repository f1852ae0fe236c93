"""Hooks: what takes an alert, what does not, and what becomes of it then."""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from stretto.embedded.processes import wait_until
from stretto_consumers.lag import hooks
from stretto_consumers.lag.hooks import Hooks
from stretto_schemas.errors import SettingsError
from stretto_schemas.lag.view import Alert
from stretto_schemas.settings import LagSettings

DEADLINE_S = 20.0


def alert(number: int = 1) -> Alert:
    return Alert("status", f"near-{number}", "leader", "STALLED", "OK", 1, 1, False, 'it\'s "stuck"; $(touch no) `é`')


def lag(**given: Any) -> LagSettings:
    return LagSettings(**{"hook_timeout_s": 5.0, "hook_tries": 3, **given})


def status_of(hook: Hooks) -> dict[str, Any]:
    [only] = hook.status()
    return only


def until(hook: Hooks, **counts: int) -> dict[str, Any]:
    """Wait until the only hook has counted so many."""
    assert wait_until(lambda: all(status_of(hook)[name] == count for name, count in counts.items()), DEADLINE_S), (
        status_of(hook)
    )
    return status_of(hook)


def failures(name: str) -> float:
    return REGISTRY.get_sample_value("stretto_lag_hook_failures_total", {"hook": name}) or 0.0


class Receiver:
    """A web server that answers as it is told, in order, and 204 at last."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self.asked: list[tuple[str, str | None]] = []
        """Path and login of each request."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.asked.append((self.path, self.headers["Authorization"]))
                status = owner.answers.pop(0) if owner.answers else 204
                if status == 204:
                    owner.taken.append(body)
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, form: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?token=s3cret"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def address() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "FIRST_PAUSE_S", 0.05)


def test_an_address_that_fails_twice_gets_every_alert_once_and_in_order(address: Receiver) -> None:
    address.answers = [500, 302]
    told = Hooks(lag(hook_url=address.url))
    for number in range(1, 4):
        told.put(alert(number))
    until(told, taken=3, given_up=0, waiting=0)
    told.close()
    assert [body["follower"] for body in address.taken] == ["near-1", "near-2", "near-3"]
    assert address.taken[0]["reason"] == alert().reason


def test_what_an_address_never_takes_is_given_up_counted_and_listed_without_its_secret(address: Receiver) -> None:
    before = failures("url")
    address.answers = [503] * 3
    told = Hooks(lag(hook_url=address.url))
    told.put(alert(1))
    told.put(alert(2))
    status = until(told, taken=1, given_up=1)
    told.close()
    [failed] = status["failed"]
    assert failed["follower"] == "near-1"
    assert "503" in failed["why"]
    assert "s3cret" not in json.dumps(status)
    assert failures("url") == before + 1


def test_the_user_of_an_address_logs_in_and_is_told_nowhere(
    address: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    address.answers = [401] * 3
    told = Hooks(lag(hook_url=address.url.replace("http://", "http://me:s3cret%21@")))
    with caplog.at_level("DEBUG"):
        told.put(alert(1))
        told.put(alert(2))
        status = until(told, taken=1, given_up=1)
        told.close()
    login = "Basic " + base64.b64encode(b"me:s3cret!").decode()
    assert address.asked == [("/hook?token=s3cret", login)] * 4
    host = address.url.split("/")[2]
    assert status["failed"][0]["why"] == f"{host} answered 401"
    assert "s3cret" not in json.dumps(status) + caplog.text


@pytest.mark.parametrize(
    "url",
    ["http://:9000/s3cret", "http://me:s3cret@", "http://hooks:s3cret/x", "http://[::1/s3cret", "http://h:99999/"],
)
def test_an_address_that_is_none_is_a_setting_in_error_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match="hook_url") as refused:
        Hooks(lag(hook_url=url))
    assert "s3cret" not in str(refused.value)


def test_an_address_where_nobody_listens_is_a_failure_that_says_so() -> None:
    told = Hooks(lag(hook_url="http://127.0.0.1:9/hook", hook_tries=2))
    told.put(alert())
    [failed] = until(told, given_up=1)["failed"]
    told.close()
    assert "127.0.0.1:9 cannot be reached" in failed["why"]


def test_a_command_gets_the_alert_as_json_and_no_shell_reads_it(tmp_path: Path) -> None:
    taken = tmp_path / "taken by it"
    told = Hooks(lag(hook_command=f"tee '{taken}'"))
    told.put(alert())
    until(told, taken=1)
    told.close()
    assert json.loads(taken.read_text())["reason"] == alert().reason
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(("command", "why"), [("false", "ended with 1"), ("/no/such/hook", "cannot be run")])
def test_a_command_that_fails_is_given_up_after_its_tries(command: str, why: str) -> None:
    told = Hooks(lag(hook_command=command))
    told.put(alert())
    [failed] = until(told, given_up=1)["failed"]
    told.close()
    assert why in failed["why"]


def test_a_command_that_does_not_read_is_no_trouble() -> None:
    told = Hooks(lag(hook_command="true"))
    told.put(alert())
    until(told, taken=1)
    told.close()


def test_a_command_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    script, pids = tmp_path / "hang.sh", tmp_path / "pids"
    script.write_text(f"sleep 600 & echo $! $$ > '{pids}'; wait\n")
    told = Hooks(lag(hook_command=f"sh '{script}'", hook_tries=1, hook_timeout_s=1.0))
    told.put(alert())
    [failed] = until(told, given_up=1)["failed"]
    told.close()
    assert "did not end within 1 s" in failed["why"]
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 2
    assert wait_until(lambda: not any(_runs(pid) for pid in started), DEADLINE_S)


def test_the_end_waits_for_no_command_and_what_it_leaves_is_given_up(tmp_path: Path) -> None:
    before, began = failures("command"), tmp_path / "began"
    script = tmp_path / "hang.sh"
    script.write_text(f"touch '{began}'; exec sleep 600\n")
    told = Hooks(lag(hook_command=f"sh '{script}'", hook_timeout_s=600.0))
    for number in range(3):
        told.put(alert(number))
    assert wait_until(began.exists, DEADLINE_S)
    closing = threading.Thread(target=told.close)
    closing.start()
    closing.join(DEADLINE_S)
    assert not closing.is_alive()
    told.put(alert(3))
    status = status_of(told)
    assert (status["taken"], status["given_up"], status["waiting"]) == (0, 4, 0)
    assert failures("command") == before + 4
    assert [failed["follower"] for failed in status["failed"]] == [f"near-{number}" for number in range(4)]
    first, *others = [failed["why"] for failed in status["failed"]]
    assert first == "the monitor ended before it was taken; its last try: sh was killed at the monitor's end"
    assert set(others) == {"the monitor ended before it was taken"}


def test_an_alert_whose_last_try_is_not_answered_at_the_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "JOIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        told = Hooks(lag(hook_url=f"http://127.0.0.1:{silent.getsockname()[1]}/", hook_timeout_s=2.0, hook_tries=1))
        told.put(alert())
        connection, _ = silent.accept()
        told.close()
        connection.close()
        told._hooks[0]._thread.join(DEADLINE_S)
        status = status_of(told)
    assert (status["taken"], status["given_up"], status["waiting"]) == (0, 1, 0)
    assert status["failed"][0]["why"].endswith("its last try had no answer yet")


def test_a_hook_that_cannot_even_be_tried_gives_up_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    told = Hooks(lag(hook_command="notify with\0nul", hook_tries=2))
    told.put(alert(1))
    told.put(alert(2))
    status = until(told, given_up=2)
    told.close()
    assert {failed["why"] for failed in status["failed"]} == {"it cannot be tried: ValueError"}
    assert "Traceback" not in caplog.text


def test_more_alerts_than_may_wait_are_given_up_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hooks, "WAITING", 2)
    told = Hooks(lag(hook_command="sleep 600", hook_timeout_s=60.0))
    for number in range(6):
        told.put(alert(number))
    status = status_of(told)
    told.close()
    assert status["given_up"] in (3, 4)  # one may be on its way already
    status = status_of(told)
    assert (status["given_up"], status["waiting"]) == (6, 0), "the rest at the end"


def test_a_command_that_cannot_be_split_is_a_setting_in_error() -> None:
    with pytest.raises(SettingsError, match="hook_command"):
        Hooks(lag(hook_command="notify 'me"))


def _runs(pid: int) -> bool:
    """Whether the process is there and no zombie that init has not fetched yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
