"""Sections in processes of their own: what they do, what they say, and what becomes of errors."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from experiments.promoters.lanes import available_cores, run_in_lanes
from experiments.promoters.study import Study
from ntjax.errors import UserError


def note(name, study):
    print(f"{name} at work")
    (study.runs_folder / f"{name}.txt").write_text(",".join(map(str, available_cores())))


def fail(study):
    raise UserError("rows.csv: row 3 has no label")


def crash(study):
    raise ZeroDivisionError("one over none")


def sleep(study):
    (study.runs_folder / "asleep.txt").write_text(str(os.getpid()))
    time.sleep(600)


@pytest.fixture
def study(tmp_path):
    return Study(runs=tmp_path, progress=False)


def test_lanes_run_in_order_on_cores_of_their_own(tmp_path, study):
    first = {name: partial(note, name) for name in ("one", "two")}
    run_in_lanes(study, [first, {"three": partial(note, "three")}])
    assert (tmp_path / "lane-1.log").read_text().splitlines() == [
        "== one", "one at work", "== two", "two at work",
    ]  # fmt: skip
    cores = [
        set((tmp_path / f"{name}.txt").read_text().split(",")) for name in ("one", "two", "three")
    ]
    assert cores[0] == cores[1]
    if len(available_cores()) > 1 and hasattr(os, "sched_setaffinity"):
        assert not cores[0] & cores[2]


@pytest.mark.parametrize(
    ("section", "said"), [(fail, "rows.csv: row 3 has no label"), (crash, "one over none")]
)
def test_a_failure_is_said_and_stops_the_other_lane(tmp_path, study, section, said):
    began = time.monotonic()
    with pytest.raises(UserError, match=said) as caught:
        run_in_lanes(study, [{"bad": section}, {"long": sleep}])
    assert "lane-1.log" in str(caught.value)
    assert time.monotonic() - began < 120
    if (tmp_path / "asleep.txt").exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "asleep.txt").read_text()), 0)


def test_lanes_end_with_the_study_that_was_killed(tmp_path):
    code = (
        "from pathlib import Path; from test_lanes import *\n"
        f"run_in_lanes(Study(runs=Path({str(tmp_path)!r}), progress=False), [{{'a': sleep}}])"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    study = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path})
    asleep = tmp_path / "asleep.txt"
    for _ in range(600):
        if asleep.exists() and asleep.read_text():
            break
        assert study.poll() is None
        time.sleep(0.1)
    study.kill()
    study.wait()
    lane = int(asleep.read_text())
    for _ in range(100):
        try:
            os.kill(lane, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the lane goes on")
