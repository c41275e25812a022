"""Sections in processes of their own: what they do, what they say, and what becomes of errors."""

import os
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from experiments.promoters.lanes import available_cores, run_in_lanes
from experiments.promoters.study import Study
from ntjax.errors import UserError

pytestmark = pytest.mark.study


def note(name, study, after=None):
    print(f"{name} at work")
    if after:
        wait_for(study.runs_folder / f"{after}.txt")
    (study.runs_folder / f"{name}.txt").write_text(",".join(map(str, available_cores())))


def wait_for(path):
    for _ in range(600):
        if path.exists() and path.read_text():
            return
        time.sleep(0.1)
    raise TimeoutError(path)


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


def test_groups_run_in_order_on_cores_of_their_own(tmp_path, study):
    """The last of the first group waits for the second, which waits for the first to begin."""
    first = {"one": partial(note, "one"), "two": partial(note, "two", after="three")}
    run_in_lanes(study, [first, {"three": partial(note, "three", after="one")}], 2)
    logs = [(tmp_path / f"lane-{number}.log").read_text() for number in (1, 2)]
    assert sorted(logs) == ["one at work\ntwo at work\n", "three at work\n"]
    cores = [
        set((tmp_path / f"{name}.txt").read_text().split(",")) for name in ("one", "two", "three")
    ]
    assert cores[0] == cores[1]
    if len(available_cores()) > 1 and hasattr(os, "sched_setaffinity"):
        assert not cores[0] & cores[2]


def test_the_lane_that_is_done_takes_the_next_group(tmp_path, study):
    """The long one ends when all others have: they ran in the other lane."""
    groups = [{"long": partial(note, "long", after="c")}]
    groups += [{name: partial(note, name)} for name in "abc"]
    run_in_lanes(study, groups, 2)
    logs = [(tmp_path / f"lane-{number}.log").read_text() for number in (1, 2)]
    assert sorted(logs) == ["a at work\nb at work\nc at work\n", "long at work\n"]


@pytest.mark.parametrize(
    ("section", "said"), [(fail, "rows.csv: row 3 has no label"), (crash, "one over none")]
)
def test_a_failure_is_said_and_stops_the_other_lane(tmp_path, study, section, said):
    began = time.monotonic()
    with pytest.raises(UserError, match=said) as caught:
        run_in_lanes(study, [{"bad": section}, {"long": sleep}], 2)
    assert re.search(r"lane-[12]\.log", str(caught.value))
    assert time.monotonic() - began < 120
    if (tmp_path / "asleep.txt").exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "asleep.txt").read_text()), 0)


def test_a_failure_of_the_last_lane_is_said(study):
    """All others are done: nobody is left to be stopped, and the study does not go on."""
    with pytest.raises(UserError, match=r"row 3 has no label"):
        run_in_lanes(study, [{"bad": fail}], 1)


def test_lanes_end_with_the_study_that_was_killed(tmp_path):
    code = (
        "from pathlib import Path; from test_lanes import *\n"
        f"run_in_lanes(Study(runs=Path({str(tmp_path)!r}), progress=False), [{{'a': sleep}}], 1)"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    study = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path})
    asleep = tmp_path / "asleep.txt"
    wait_for(asleep)
    assert study.poll() is None
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
