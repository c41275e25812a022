"""Checkpoints hold what was saved and refuse what was not; the log stays in step with them."""

import json
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import MODEL, parameters, step_config, trainable

from ntjax import adapters
from ntjax.adapters import Adapter, LoRA
from ntjax.errors import UserError
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.forward import Trainable
from ntjax.runs.adapter_file import named_leaves
from ntjax.training.members import new_member
from ntjax.training.state import Checkpoints, MetricsLog


class Pair(NamedTuple):
    weights: dict[str, jax.Array]
    count: jax.Array


def pair(value, shape=(2, 3), names=("a", "b")):
    tree = Pair({name: np.full(shape, value, np.float32) for name in names}, np.int32(value))
    return jax.device_put(tree, replicated_sharding())


def lora_member(**options):
    config = LoRA(**options)
    branches = adapters.init(config, MODEL, {}, jax.random.key(0)).parameters
    head = trainable("head", parameters()).head
    return new_member(step_config().optimizer, Trainable(Adapter(config, branches), head))


def test_names_of_leaves():
    assert list(named_leaves(pair(0))) == ["weights.a", "weights.b", "count"]
    assert {name for name in named_leaves(lora_member(targets=("fc1",))) if "mu" in name} == {
        f"optimizer.1.mu.{leaf}"
        for leaf in (
            "adapter.parameters.fc1.a",
            "adapter.parameters.fc1.b",
            "head.dense.b",
            "head.dense.w",
            "head.output.b",
            "head.output.w",
        )
    }


class TestCheckpoints:
    def test_nothing_saved(self, tmp_path):
        with Checkpoints(tmp_path / "checkpoints") as checkpoints:
            assert checkpoints.restore(pair(0)) is None

    def test_what_was_saved_comes_back(self, tmp_path):
        progress = {"step": 5, "best_value": 0.1 + 0.2, "best_step": 3, "nothing": None}
        with Checkpoints(tmp_path / "checkpoints") as checkpoints:
            checkpoints.save(5, pair(7), progress)
        with Checkpoints(tmp_path / "checkpoints") as checkpoints:
            state, read = checkpoints.restore(pair(0))
        assert isinstance(state, Pair)
        assert (state.weights["a"] == np.full((2, 3), 7)).all()
        assert (state.weights["b"] == np.full((2, 3), 7)).all()
        assert state.count == 7
        assert read == progress
        for leaf, template in zip(jax.tree.leaves(state), jax.tree.leaves(pair(0)), strict=True):
            assert (leaf.dtype, leaf.sharding) == (template.dtype, template.sharding)

    def test_float_bits_survive(self, tmp_path):
        special = np.array([0.1, -0.0, 1e-42, 3.4e38, np.pi], np.float32)
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(1, {"x": jnp.asarray(special)}, {})
            (state, _) = checkpoints.restore({"x": jnp.zeros(5)})
        assert np.asarray(state["x"]).tobytes() == special.tobytes()

    def test_only_the_newest_is_kept(self, tmp_path):
        with Checkpoints(tmp_path) as checkpoints:
            for step in (1, 2, 3):
                checkpoints.save(step, pair(step), {"step": step})
            checkpoints.save(3, pair(9), {"step": 9})  # the second of a step is not written
            state, progress = checkpoints.restore(pair(0))
        assert (int(state.count), progress) == (3, {"step": 3})
        assert [path.name for path in tmp_path.iterdir()] == ["3"]

    def test_an_unfinished_write_is_not_seen(self, tmp_path):
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(1, pair(1), {"step": 1})
        (tmp_path / "2.orbax-checkpoint-tmp").mkdir()  # what a kill leaves behind
        with Checkpoints(tmp_path) as checkpoints:
            assert checkpoints.restore(pair(0))[1] == {"step": 1}
            checkpoints.save(2, pair(2), {"step": 2})
            assert checkpoints.restore(pair(0))[1] == {"step": 2}

    @pytest.mark.parametrize(
        "template",
        [
            pytest.param(lambda: pair(0, shape=(2, 4)), id="larger"),
            pytest.param(lambda: pair(0, shape=(2, 2)), id="smaller"),
            pytest.param(lambda: pair(0, names=("a", "b", "c")), id="more leaves"),
            pytest.param(lambda: pair(0, names=("a",)), id="fewer leaves"),
            pytest.param(lambda: pair(0, names=("a", "c")), id="other names"),
        ],
    )
    def test_another_configuration_is_refused(self, tmp_path, template):
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(4, pair(1), {"step": 4})
            with pytest.raises(UserError, match="4: the checkpoint does not hold") as error:
                checkpoints.restore(template())
        assert "\n" not in str(error.value)

    def test_another_adapter_is_refused(self, tmp_path):
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(4, lora_member(), {})
            for options in ({"rank": 4}, {"targets": ("query",)}, {"targets": ("fc1", "fc2")}):
                with pytest.raises(UserError, match="made with other options"):
                    checkpoints.restore(lora_member(**options))

    def test_a_damaged_checkpoint_is_refused(self, tmp_path):
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(4, pair(1), {"step": 4})
        (tmp_path / "4" / "progress" / "metadata").write_text("{")
        with Checkpoints(tmp_path) as checkpoints, pytest.raises(UserError, match="damaged"):
            checkpoints.restore(pair(0))


class TestMetricsLog:
    @pytest.fixture
    def log(self, tmp_path):
        log = MetricsLog(tmp_path)
        log.rewind(0)
        for step in (5, 10, 15):
            log.write({"step": step, "loss": step / 7}, {"step": step, "seconds": 0.5})
        return log

    def read(self, folder, name="metrics.jsonl"):
        return [json.loads(line) for line in (folder / name).read_text().splitlines()]

    def test_a_line_each(self, log, tmp_path):
        assert self.read(tmp_path) == [{"step": s, "loss": s / 7} for s in (5, 10, 15)]
        assert self.read(tmp_path, "timing.jsonl") == [
            {"step": s, "seconds": 0.5} for s in (5, 10, 15)
        ]

    @pytest.mark.parametrize(("step", "kept"), [(0, 0), (4, 0), (5, 1), (14, 2), (15, 3), (99, 3)])
    def test_rewind_forgets_later_lines(self, log, tmp_path, step, kept):
        before = (tmp_path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
        lines = log.rewind(step)
        assert lines == [{"step": s, "loss": s / 7} for s in (5, 10, 15)[:kept]]
        assert (tmp_path / "metrics.jsonl").read_bytes() == b"".join(before[:kept])
        assert len(self.read(tmp_path, "timing.jsonl")) == kept

    @pytest.mark.parametrize("left", range(1, 40, 3))
    def test_rewind_drops_a_half_written_line(self, log, tmp_path, left):
        path = tmp_path / "metrics.jsonl"
        whole = path.read_bytes()
        path.write_bytes(whole + b'{"step": 20, "loss": 2.857142857142857}\n'[:left])
        kept = log.rewind(15)
        assert [line["step"] for line in kept] == [5, 10, 15]
        assert path.read_bytes() == whole
        log.write({"step": 20}, {"step": 20})
        assert [line["step"] for line in self.read(tmp_path)] == [5, 10, 15, 20]

    def test_no_temporary_file_is_left(self, log, tmp_path):
        log.rewind(5)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "timing.jsonl"]


FULL_DISK = """
import resource, signal, sys
import numpy as np
from ntjax.errors import UserError
from ntjax.training.state import Checkpoints
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
small, large = ({"x": np.random.default_rng(0).random(n)} for n in (10, 10**6))
with Checkpoints(sys.argv[1]) as checkpoints:
    checkpoints.save(1, small, {})
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))
    try:
        checkpoints.save(2, large, {})
    except UserError as error:
        print(error)
with Checkpoints(sys.argv[1]) as checkpoints:
    print(checkpoints.restore(small)[0]["x"].shape)
"""


@pytest.mark.end_to_end
def test_a_full_disk_is_one_line_and_leaves_the_checkpoint_before(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    message, shape = result.stdout.splitlines()
    assert message.startswith(f"{tmp_path}: the checkpoint of step 2 cannot be written (")
    assert "--resume" in message
    assert shape == "(10,)"
