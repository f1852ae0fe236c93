"""`stretto web`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

from stretto.embedded.processes import wait_until
from tests.fix_cli import DEADLINE_S, Cli


def test_it_needs_no_server_that_answers_and_ends_cleanly_on_sigterm(bare_cli: Cli) -> None:
    nowhere = "host=127.0.0.1 port=1 user=postgres dbname=postgres"
    with bare_cli.running(
        "web",
        STRETTO_HTTP__WEB_PORT="0",
        STRETTO_LAG__LOOK_S="600",
        STRETTO_SOURCE__DSN=nowhere,
        STRETTO_FOLLOWER__DSN=nowhere,
        STRETTO_KAFKA__BOOTSTRAP="127.0.0.1:1",
    ) as web:
        assert web.get("/livez")[::2] == (200, "ok\n")
        web.until_ready()
        _, kind, body = web.get("/view")
        assert kind == "application/json"
        found = [problem["found"] for problem in json.loads(body)["problems"]]
        assert len(found) == 3
        assert all(problem["fix"] for problem in json.loads(body)["problems"]), found
        assert wait_until(lambda: "the page is on http://127.0.0.1:" in web.log, DEADLINE_S)
        assert web.stop(signal.SIGTERM) == 0
        assert web.log.rstrip().endswith("web: stopped")
        assert "Traceback" not in web.log


def test_without_any_settings_it_says_what_is_missing(bare_cli: Cli) -> None:
    with bare_cli.running("web", STRETTO_HTTP__WEB_PORT="0") as web:
        web.until_ready()
        found = " ".join(problem["found"] for problem in json.loads(web.get("/view")[2])["problems"])
        assert "no Kafka broker is named" in found
        assert web.stop(signal.SIGINT) == 0


def test_a_port_that_is_taken_is_an_error_with_the_setting(bare_cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = bare_cli("web", STRETTO_HTTP__WEB_PORT=str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "cannot listen on 127.0.0.1:" in done.stderr
    assert "fix: set `web_port` in section [http] to another port, or to 0 for any free one" in done.stderr


def test_without_the_extra_it_names_the_command_that_installs_it(bare_cli: Cli) -> None:
    without = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv = ['stretto', 'web']; from stretto.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", without],
        env=dict(os.environ),
        cwd=bare_cli.folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: the page needs a package that is not installed: uvicorn\n  fix: pip install 'stretto[lag]'\n"
    )
