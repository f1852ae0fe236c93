"""The units: that systemd takes them, and that they run commands there are."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stretto.cli import app
from stretto_schemas.settings import load
from tests.pages import block

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
PROGRAM = "/opt/stretto/bin/stretto"

EXPOSURE = "20"
"""Tenths of a point on the scale of `systemd-analyze security`, where 10 points are a service that may do anything."""

Sections = dict[str, dict[str, list[str]]]


def read(unit: Path) -> Sections:
    """Section, key, values: a key may stand there more than once."""
    sections: Sections = {}
    section: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if line.startswith("["):
            assert line.strip("[]") not in sections
            section = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            section.setdefault(key, []).append(value)
    return sections


def named(unit: Path) -> str:
    """capture, follower, lag or web."""
    return unit.name.removeprefix("stretto-").removesuffix("@.service")


def test_there_is_one_for_each_process() -> None:
    assert [named(unit) for unit in UNITS] == ["capture", "follower", "lag", "web"]


@pytest.mark.parametrize("unit", UNITS, ids=named)
def test_it_has_three_sections_in_which_every_key_stands_once_but_for_lists(unit: Path) -> None:
    sections = read(unit)
    assert list(sections) == ["Unit", "Service", "Install"]
    lists = {"Environment", "LoadCredential", "SystemCallFilter"}
    assert {key for section in sections.values() for key, values in section.items() if len(values) > 1} <= lists


@pytest.mark.parametrize("unit", UNITS, ids=named)
def test_systemd_takes_it(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on the PATH")
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace(PROGRAM, str(shutil.which("true"))))
    for arguments in (["verify"], ["security", "--offline=true", f"--threshold={EXPOSURE}"]):
        done = subprocess.run(
            ["systemd-analyze", *arguments, str(copy)], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.parametrize("unit", UNITS, ids=named)
def test_it_runs_the_process_with_the_file_of_its_instance(unit: Path) -> None:
    program, *arguments = read(unit)["Service"]["ExecStart"][0].split()
    assert program == PROGRAM
    command = ["web"] if named(unit) == "web" else ["run", named(unit)]
    assert arguments == [*command, "--config", "/etc/stretto/%i.toml"]
    done = CliRunner().invoke(app, [*arguments, "--help"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("unit", UNITS, ids=named)
def test_its_variables_are_settings_and_its_credentials_are_the_files_they_name(unit: Path, tmp_path: Path) -> None:
    service = read(unit)["Service"]
    given = dict(each.split("=", 1) for each in service["Environment"])
    credentials = dict(each.split(":") for each in service["LoadCredential"])
    needed = {"capture": ["source"], "follower": ["follower"]}.get(named(unit), ["source", "follower"])
    assert list(credentials) == needed
    assert [value for key, value in given.items() if key.endswith("_FILE")] == [f"%d/{name}" for name in credentials]
    for name, path in credentials.items():
        assert path == f"/etc/stretto/%i.{name}.password"
        (tmp_path / name).write_text("x")
    settings = load(None, {key: value.replace("%d", str(tmp_path)) for key, value in given.items()})
    if named(unit) == "follower":
        assert str(settings.follower.spill_dir) == "%S/" + service["StateDirectory"][0]
    else:
        assert "StateDirectory" not in service


@pytest.mark.parametrize("unit", UNITS, ids=named)
def test_it_is_started_again_unless_that_cannot_help(unit: Path) -> None:
    """Codes 2 and 4, as docs/cli.md has them."""
    sections = read(unit)
    assert sections["Service"]["Restart"] == ["on-failure"]
    assert sections["Service"]["RestartPreventExitStatus"] == ["2 4"]
    assert sections["Unit"]["StartLimitIntervalSec"] == ["0"]


def test_all_are_confined_alike() -> None:
    confined = {unit.read_text().partition("\nDynamicUser=")[2] for unit in UNITS}
    assert len(confined) == 1
    assert all(confined)


def test_the_page_runs_the_installed_program_with_the_logins_that_its_commands_need(tmp_path: Path) -> None:
    """Variables are exported, or stand before the one command that has them; their files were installed above."""
    installed: set[str] = set()
    exported: dict[str, str] = {}
    commands: dict[str, set[str]] = {}
    for line in block("docs/deploy/systemd.md", "sh").splitlines():
        words = shlex.split(line, comments=True)
        own = dict(word.split("=", 1) for word in words if word.startswith("STRETTO_"))
        rest = [word for word in words if word not in {f"{name}={value}" for name, value in own.items()}]
        if rest == ["export"]:
            exported |= own
        elif rest[:1] == ["install"]:
            installed.add(rest[-1])
        elif rest[:1] == [PROGRAM]:
            done = CliRunner().invoke(app, [*rest[1:], "--help"])
            assert done.exit_code == 0, done.output
            given = exported | own
            assert set(given.values()) <= installed
            commands[" ".join(rest[1:])] = set(given)
            (tmp_path / "secret").write_text("x")
            load(None, {name: str(tmp_path / "secret") for name in given if name.endswith("_FILE")})
        else:
            assert "stretto" not in rest[:1]
    assert set(commands) == {"init", "follower add", "status"}
    assert "STRETTO_SOURCE__DSN_FILE" in commands["init"]
    for command in ("follower add", "status"):
        assert {"STRETTO_SOURCE__PASSWORD_FILE", "STRETTO_FOLLOWER__PASSWORD_FILE"} <= commands[command]
    assert all("STRETTO_CONFIG" in given for given in commands.values())
