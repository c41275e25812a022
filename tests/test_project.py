"""The project's own rules: style, the README's commands, the licence."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("command", [["check", "."], ["format", "--check", "."]])
def test_ruff_is_clean(command):
    result = subprocess.run(
        [sys.executable, "-m", "ruff", *command], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_each_room_imports_only_rooms_below_it():
    # The contracts are in pyproject.toml.
    lint = "from importlinter.cli import lint_imports_command as lint; lint(['--no-cache'])"
    result = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 kept, 0 broken" in result.stdout


@pytest.mark.slow
def test_types(tmp_path):
    # The rooms are named in pyproject.toml.
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_ci_runs_the_command_of_the_readme():
    *_, first, slower = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "pytest" in first
    assert first in (ROOT / "README.md").read_text().splitlines()
    # What the default run leaves out is the second.
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    [left_out] = re.findall(r"-m 'not \((.*)\)'", settings["addopts"])
    assert slower.endswith(f"-m pytest -m '{left_out}'")
    tiers = {marker.partition(":")[0] for marker in settings["markers"]} - {"official"}
    assert tiers == set(left_out.split(" or "))


def test_no_paths_of_one_machine():
    tracked = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.toml"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    pattern = re.compile(r"(?<![\w.])/(?:work|root|home|farm)/[a-z]")
    found = [
        name
        for name in tracked
        if name != "tests/test_project.py" and pattern.search((ROOT / name).read_text())
    ]
    assert not found
