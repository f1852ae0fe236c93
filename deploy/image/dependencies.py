"""Print what pyproject.toml says the project needs to run, one requirement a line."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
sys.stdout.writelines(f"{requirement}\n" for requirement in project["dependencies"])
