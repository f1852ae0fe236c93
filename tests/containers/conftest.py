"""Containers for tests: only where a Docker engine with Compose answers."""

from __future__ import annotations

import functools
import subprocess

import pytest


@functools.cache
def lacking() -> str:
    """What is missing to run containers here; empty: nothing."""
    for command in (["docker", "info", "--format", "{{.ServerVersion}}"], ["docker", "compose", "version", "--short"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{command[0]} cannot be run: {error}"
        if done.returncode:
            return f"`{' '.join(command)}`: {done.stderr.strip().splitlines()[-1:] or done.returncode}"
    return ""


@pytest.fixture(autouse=True, scope="session")
def _engine() -> None:
    if lacking():
        pytest.skip(f"no Docker engine with Compose answers: {lacking()}")
