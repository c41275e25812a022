"""scripts/benchmarks/benchmark.py, from end to end on a small model; no times are asserted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.compiled

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "benchmark.py"


def run(*arguments):
    command = [sys.executable, str(SCRIPT), "--device", "tiny", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_small_benchmark(tmp_path):
    for package in ("torch", "transformers", "peft"):
        pytest.importorskip(package, reason=f"{package} is not installed (extra 'interop')")
    out = tmp_path / "small"
    finished = run("--only", "ia3", "--rounds", 2, "--starts", 1, "--steps", 1, "--out", out)
    assert finished.returncode == 0, finished.stderr
    record = json.loads(out.with_suffix(".json").read_text())
    cases = [result["case"] for result in record["results"]]
    assert [case["mode"] for case in cases] == ["train", "inference"]
    assert {case["adapter"] for case in cases} == {"ia3"}
    for result in record["results"]:
        assert all(len(result["step_seconds"][name]) == 2 for name in ("ntjax", "PEFT"))
        assert all(len(result["start_seconds"][name]) == 1 for name in ("ntjax", "PEFT"))
        assert all(0.05 < gigabytes < 20 for gigabytes in result["peak_gb"].values())
    table = out.with_suffix(".md").read_text().splitlines()
    rows = [line for line in table if line.startswith("| 4 x 9")]
    assert len(rows) == 2
    assert {line.count("|") for line in table if line.startswith("|")} == {13}


def test_a_row_that_does_not_exist():
    finished = run("--only", "nonsense")
    assert finished.returncode == 1
    assert "no such row" in finished.stderr
    assert "Traceback" not in finished.stderr
