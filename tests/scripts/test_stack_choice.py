"""`scripts/test --stack`: which servers the integration tests run on is said, and what is missing for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.checkout import run_pytest

NO_ENGINE = {"DOCKER_HOST": "tcp://127.0.0.1:1"}


def collected(*options: str, **environment: str) -> tuple[int, str]:
    """Exit code and words of a run that only collects."""
    done = run_pytest("-n", "0", "--collect-only", *options, "tests/integration", timeout=120, environment=environment)
    return done.returncode, done.stdout + done.stderr


def test_without_an_engine_it_is_the_embedded_stack_and_the_header_says_why() -> None:
    code, said = collected(**NO_ENGINE)
    assert code == 0
    assert "stack: embedded for tests/integration (`docker info` failed: " in said


@pytest.mark.parametrize("options", [("--require-stack",), ("--stack", "containers")])
def test_containers_that_are_asked_for_without_an_engine_are_an_error(options: tuple[str, ...]) -> None:
    code, said = collected(*options, **NO_ENGINE)
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "no containers: `docker info` failed: " in said
    assert "start the engine, or take --stack embedded" in said


def test_an_engine_without_compose_is_named(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text(
        '#!/bin/sh\n[ "$1" = info ] && exec echo 28.2.2\n'
        "echo \"docker: 'compose' is not a docker command.\" >&2\nexit 1\n"
    )
    docker.chmod(0o755)
    code, said = collected("--require-stack", PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "`docker compose version` failed: docker: 'compose' is not a docker command." in said


def test_an_external_stack_without_its_variables_is_an_error_that_names_them() -> None:
    code, said = collected("--stack", "external", TEST_LEADER_DSN="host=db1")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "not set in the environment: TEST_FOLLOWER_DSN, STRETTO_KAFKA__BOOTSTRAP;" in said


def test_a_stack_that_is_asked_for_is_taken() -> None:
    code, said = collected("--stack", "embedded")
    assert code == 0
    assert "stack: embedded for tests/integration\n" in said
