"""A run that is killed, at any moment and as often as one likes, ends as if it had not been."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest

SCRIPT = Path(__file__).parents[1] / "helpers" / "run_to_the_end.py"
STEPS = 60


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """`start(folder, devices=1)`: the script as a process; programs are compiled once for all."""
    cache = tmp_path_factory.mktemp("compiled")

    def run(folder, devices=1):
        settings = {
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(cache / str(devices)),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} "
            "--xla_backend_optimization_level=0",
        }
        return subprocess.Popen(
            [sys.executable, "-W", "error", str(SCRIPT), str(folder)],
            env=os.environ | settings,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def finish(process):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def wait_for_lines(process, folder, count):
    """Until the log holds `count` lines; the run must not have ended by itself."""
    path = folder / "metrics.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.001)


def newest(folder):
    """Step, arrays and numbers of the newest checkpoint, read with Orbax alone."""
    step = max(int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdigit())
    saved = folder / "checkpoints" / str(step)
    handler = ocp.PyTreeCheckpointHandler()
    names = ocp.Checkpointer(handler).metadata(saved / "state").item_metadata.tree
    as_numpy = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in names}
    arguments = ocp.args.PyTreeRestore(restore_args=as_numpy)
    arrays = ocp.Checkpointer(handler).restore(saved / "state", args=arguments)
    return step, arrays, json.loads((saved / "progress" / "metadata").read_text())


@pytest.fixture(scope="module")
def uninterrupted(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    finish(start(folder))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    return folder


def assert_same_run(folder, uninterrupted):
    """Log, best adapter and the whole last state, bit for bit."""
    name = "metrics.jsonl"
    assert (folder / name).read_bytes() == (uninterrupted / name).read_bytes()
    ours, theirs = np.load(folder / "best.npz"), np.load(uninterrupted / "best.npz")
    assert ours.files == theirs.files
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours.files)
    (step, arrays, progress), expected = newest(folder), newest(uninterrupted)
    assert (step, progress) == (STEPS, expected[2])
    assert arrays.keys() == expected[1].keys()
    assert {n for n in arrays if ".mu." in n and "query" in n}, "no optimiser state to compare"
    for name, array in arrays.items():
        assert array.tobytes() == expected[1][name].tobytes(), name


def wait_for_a_checkpoint_being_written(process, folder):
    while not any("tmp" in path.name for path in (folder / "checkpoints").iterdir()):
        assert process.poll() is None, process.stderr.read()


@pytest.mark.end_to_end
def test_killed_four_times(start, uninterrupted, tmp_path):
    # Before there is a checkpoint, between two, and twice while one is being written.
    for lines, writing in ((2, False), (9, True), (22, False), (36, True)):
        process = start(tmp_path)
        wait_for_lines(process, tmp_path, lines)
        if writing:
            wait_for_a_checkpoint_being_written(process, tmp_path)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "best.npz").exists(), "it had come to its end"
    finish(start(tmp_path))
    assert_same_run(tmp_path, uninterrupted)


@pytest.fixture(scope="module")
def terminated(start, tmp_path_factory):
    """A run's folder after SIGTERM, the step it said it stopped after."""
    folder = tmp_path_factory.mktemp("terminated")
    process = start(folder)
    wait_for_lines(process, folder, 13)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 143
    (line,) = errors.splitlines()
    assert line.startswith("stopped by SIGTERM after step ")
    assert "its state is saved" in line
    return folder, int(line.split("after step ")[1].split(";")[0])


@pytest.mark.end_to_end
def test_sigterm_saves_the_step_it_stopped_after(terminated):
    folder, stopped = terminated
    step, _, progress = newest(folder)
    assert 13 <= stopped < STEPS
    assert (step, progress["step"]) == (stopped, stopped)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == stopped
    assert not (folder / "best.npz").exists()


@pytest.mark.end_to_end
def test_resumed_after_sigterm(start, terminated, uninterrupted, tmp_path):
    shutil.copytree(terminated[0], tmp_path, dirs_exist_ok=True)
    finish(start(tmp_path))
    assert_same_run(tmp_path, uninterrupted)


@pytest.mark.compiled
def test_resumed_on_more_devices(start, terminated, uninterrupted, tmp_path):
    """The sums are then added in another order: the same but for rounding."""
    shutil.copytree(terminated[0], tmp_path, dirs_exist_ok=True)
    finish(start(tmp_path, devices=2))
    ours, theirs = np.load(tmp_path / "best.npz"), np.load(uninterrupted / "best.npz")
    assert ours.files == theirs.files
    for name in ours.files:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-4, err_msg=name)
