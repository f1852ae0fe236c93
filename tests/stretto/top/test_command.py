"""`stretto top` where it cannot run."""

from __future__ import annotations

import subprocess
import sys

from tests.fix_cli import Cli


def test_without_a_terminal_it_names_the_command_for_programs(bare_cli: Cli) -> None:
    done = bare_cli("top")
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    assert "stretto status -w" in done.stderr


def test_without_its_extra_it_says_what_to_install(bare_cli: Cli) -> None:
    without = (
        "import sys; sys.modules['textual'] = None; sys.argv = ['stretto', 'top']; from stretto.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", without],
        cwd=bare_cli.folder,
        env=bare_cli.environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'stretto[lag]'" in done.stderr
    assert "Traceback" not in done.stderr
