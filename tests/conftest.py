"""Fixtures lie in modules named fix_*.py."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background by a shell: Ctrl-C would be ignored in every process that the tests start, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "stretto.testing.plugin",
    "tests.fix_stack",
    "tests.fix_pipeline",
    "tests.fix_cli",
    "tests.fix_browser",
    "tests.fix_prometheus",
    "tests.fix_soak",
]
