"""The number of devices and of accumulation steps changes nothing but the speed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.compiled

SCRIPT = Path(__file__).parents[1] / "helpers" / "on_devices.py"
DEVICES = (1, 2, 8)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What `on_devices.py` computes, by number of devices; keys are `case/accumulation/leaf`."""
    folder = tmp_path_factory.mktemp("devices")
    running = {count: start(count, folder / f"{count}.npz") for count in DEVICES}
    for process in running.values():
        output, _ = process.communicate()
        assert process.returncode == 0, output.decode()
    return {count: dict(np.load(folder / f"{count}.npz")) for count in DEVICES}


def start(count, path):
    # Without optimisation: some eight programs are compiled for each number of devices.
    flags = f"--xla_force_host_platform_device_count={count} --xla_backend_optimization_level=0"
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(SCRIPT), str(path)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def runs_of(results, kind):
    """`(devices, accumulation, leaves)` of each run of a kind."""
    for count, arrays in results.items():
        cases = {key.split("/")[1] for key in arrays if key.startswith(f"{kind}/")}
        for accumulation in sorted(cases, key=int):
            prefix = f"{kind}/{accumulation}/"
            leaves = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            yield count, int(accumulation), leaves


@pytest.mark.parametrize(("kind", "runs"), [("ia3", 3), ("lora", 6), ("head", 3)])
def test_parameters_after_ten_steps(results, kind, runs):
    (_, _, reference), *others = runs_of(results, kind)
    assert len(others) == runs - 1
    for count, accumulation, leaves in others:
        assert leaves.keys() == reference.keys()
        for name, leaf in leaves.items():
            where = f"{name}: {count} devices, accumulation {accumulation}"
            np.testing.assert_allclose(leaf, reference[name], rtol=0, atol=1e-5, err_msg=where)


def test_dropout_was_on(results):
    # Otherwise the test above would say nothing of it.
    lora, head = (next(runs_of(results, kind))[2] for kind in ("lora", "head"))
    assert any("query" in name for name in lora)
    assert not any("query" in name for name in head)


def test_gradients_of_all_weights(results):
    # Parameters would not do: Adam makes a step of full size out of the rounding error of a
    # gradient that is 0, such as the key bias's.
    (_, _, reference), *others = runs_of(results, "full")
    assert [run[:2] for run in others] == [(2, 4), (8, 1)]
    norm = np.sqrt(sum(np.square(leaf).sum() for leaf in reference.values()))
    for count, accumulation, leaves in others:
        assert leaves["weight"] == 12
        for name, leaf in leaves.items():
            distance = np.linalg.norm(leaf - reference[name])
            assert distance < 1e-5 * norm, f"{name}: {count} devices, {accumulation} passes"


def test_masked_language_model_gradients(results):
    """One large batch, accumulated passes, many devices: the same masks, the same mean."""
    (_, _, reference), *others = runs_of(results, "masked")
    assert [run[:2] for run in others] == [(1, 3), (2, 2), (8, 1)]
    exact = ("tokens", "positions", "weight")
    gradients = {name: leaf for name, leaf in reference.items() if name not in (*exact, "loss")}
    norm = np.sqrt(sum(np.square(leaf).sum() for leaf in gradients.values()))
    assert norm > 0
    for count, accumulation, leaves in others:
        where = f"{count} devices, {accumulation} passes"
        for name in exact:
            np.testing.assert_array_equal(leaves[name], reference[name], err_msg=where)
        assert leaves["loss"] == pytest.approx(reference["loss"], rel=1e-5)
        for name, leaf in gradients.items():
            assert np.linalg.norm(leaves[name] - leaf) < 1e-5 * norm, f"{name}: {where}"
