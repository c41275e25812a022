"""scripts/benchmarks/on_gpu.py on small models; no times are asserted."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.compiled

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "on_gpu.py"


def test_sections_on_small_models(tmp_path):
    for package in ("torch", "transformers", "peft"):
        pytest.importorskip(package, reason=f"{package} is not installed (extra 'interop')")
    out = tmp_path / "tiny"
    sections = ["start", "ntjax", "peft"]
    command = [sys.executable, str(SCRIPT), "--tiny", "--only", *sections, "--out", str(out)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    record = json.loads(out.with_suffix(".json").read_text())
    assert [section["name"] for section in record["sections"]] == sections
    assert {section["ended"] for section in record["sections"]} == {"exit code 0"}
    lines = out.with_suffix(".md").read_text().splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| tiny")]
    assert [row[3] for row in rows] == ["ntjax"] * 5 + ["PEFT"] * 5
    assert all(float(row[7]) > 0 for row in rows[:5])
    assert lines[-1].startswith("- Sections that were not run: attention, population")


def test_sections_that_fail_or_take_too_long_are_written_down(tmp_path):
    on_gpu = pytest.importorskip("on_gpu")
    options = argparse.Namespace(tiny=True, out=tmp_path / "tiny")
    failed = on_gpu.run(on_gpu.Section("nonsense", 60, "no such section"), options)
    assert failed["ended"] == "exit code 1"
    assert "KeyError: 'nonsense'" in failed["failed"]
    slow = on_gpu.run(on_gpu.Section("start", 0, "no time at all"), options)
    assert slow["ended"] == "stopped after 0 s"
    assert slow["rows"] == []
