"""Which browser the tests of the page run in: one that the system has."""

from __future__ import annotations

import functools
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

LACKS = f"no browser: none of {', '.join(NAMES)} is installed (Debian: apt install chromium)"


@functools.cache
def found() -> str | None:
    """The browser's program; None without any."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@functools.cache
def version() -> str:
    """What the browser calls itself; empty without any."""
    program = found()
    if program is None:
        return ""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() or f"{program}, which does not tell its version"
