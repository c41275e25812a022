"""The project's own rules: style, the README's commands, the licence."""

import json
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


@pytest.mark.parametrize("module", ["finetune", "pretrain"])
def test_options_in_the_readme_exist(module):
    options = subprocess.run(
        [sys.executable, "-m", f"ntjax.{module}", "--help"], capture_output=True, text=True
    ).stdout
    commands = re.findall(rf"python -m ntjax\.{module}((?: [^`\n]*)?)", _readme())
    flags = {flag for command in commands for flag in re.findall(r"--[a-z0-9-]+", command)}
    assert len(flags) > 5
    assert not [flag for flag in sorted(flags) if flag not in options]


@pytest.mark.parametrize(
    "results",
    [
        "ntjax/checkpoints/mini.md",
        "experiments/promoters/full/summary.md",
        "scripts/benchmarks/benchmark_genomes.md",
        "scripts/benchmarks/benchmark.md",
        "scripts/benchmarks/benchmark_population.md",
        "scripts/tpu/compile_for_tpu.md",
        "scripts/benchmarks/real_size.md",
    ],
)
def test_tables_in_the_readme_come_from_committed_results(results):
    # Of several tables the first, with what stands in the sections after it left to the file.
    first = re.split(r"\n## (?:v5e:8x8|Pairs of models)", (ROOT / results).read_text())[0]
    rows = [line for line in first.splitlines() if line.startswith("| ")]
    assert len(rows) > 2
    assert not [row for row in rows if row not in _readme()]


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


def _readme() -> str:
    return (ROOT / "README.md").read_text()


def test_the_pre_training_table_in_the_readme_is_that_of_its_results():
    results = json.loads((ROOT / "experiments/promoters/pretraining/pretraining.json").read_text())[
        "results"
    ]
    for method in results["genomic"]["methods"]:
        cells = [
            "{value:.3f} ({low:.3f} to {high:.3f})".format(
                **results[task]["methods"][method]["auroc"]
            )
            for task in ("ecoli_promoters", "genomic")
        ]
        assert f"| {method} | {' | '.join(cells)} |" in _readme()
