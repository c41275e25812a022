"""The study gives the same numbers twice, and those of an unbroken run after it was killed."""

import json
import os
import subprocess
import sys
import time

import pytest

from ntjax.runs.folder import RESULT_FILE

pytestmark = [
    pytest.mark.study,
    pytest.mark.skipif(
        "NTJAX_DATA_DIR" not in os.environ,
        reason="NTJAX_DATA_DIR is not set: no promoters and no genome here",
    ),
]


def started(folder):
    command = [sys.executable, "-m", "experiments.promoters", "--sections", "calibration"]
    options = ["--share", "0.01", "--runs", str(folder / "runs"), "--out", str(folder / "out")]
    return subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finished(process):
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 0, said
    return said


def test_a_killed_study_goes_on_and_repeats_an_unbroken_one(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finished(started(whole))

    process = started(broken)
    deadline = time.monotonic() + 300
    while not (done := list(broken.glob(f"runs/*/*/{RESULT_FILE}"))):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.communicate()
    first = {path: path.stat().st_mtime_ns for path in done}
    assert not (broken / "out/calibration.json").exists()

    said = finished(started(broken))
    assert {path: path.stat().st_mtime_ns for path in done} == first, "a finished run was repeated"
    assert "page: " in said
    results = [
        json.loads((f / "out/calibration.json").read_text())["result"] for f in (whole, broken)
    ]
    assert results[0] == results[1]
    pages = [(f / "out/report.md").read_text() for f in (whole, broken)]
    assert pages[0] == pages[1]
    assert "Can the probabilities be believed?" in pages[0]
