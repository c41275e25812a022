"""Models of real size: written, converted, placed and trained without holding them twice."""

import importlib
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import joblib
import numpy as np
import pytest

import ntjax
from ntjax import adapters
from ntjax.checkpoints.official import write_pytree
from ntjax.inference.forward import ForwardConfig, Trainable, compile_predict, head_outputs
from ntjax.models.config import parameter_shapes
from ntjax.models.heads import Cls
from ntjax.tasks import Classification
from ntjax.training.members import DeviceBatch, Hyperparameters, Member
from ntjax.training.optimizers import OptimizerConfig, make_optimizer
from ntjax.training.step import StepConfig, compile_train_step

SCRIPTS = Path(__file__).parents[2] / "scripts"

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads resident memory from /proc"
)


@pytest.fixture(scope="module")
def scripts():
    """`scripts(name)`: a script as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        patch.syspath_prepend(SCRIPTS / "benchmarks")
        yield importlib.import_module


@pytest.fixture(scope="module")
def written(scripts, tmp_path_factory):
    """A small checkpoint by the command, and its configuration."""
    folder = tmp_path_factory.mktemp("written")
    sizes = {"num_layers": 3, "embed_dim": 32, "ffn_embed_dim": 64, "attention_heads": 4}
    sizes["key_dim"] = 8
    options = [text for name, n in sizes.items() for text in (f"--{name.replace('_', '-')}", n)]
    command = [sys.executable, SCRIPTS / "write_random_checkpoint.py", "500M_1000G", folder]
    subprocess.run([*map(str, command), *map(str, options)], check=True, stdout=subprocess.PIPE)
    return folder, replace(scripts("write_random_checkpoint").SIZES["500M_1000G"], **sizes)


class TestWriting:
    def test_joblib_reads_the_names_of_the_first_release(self, written):
        tree = joblib.load(written[0] / "jax_model" / "pytree_ckpt.joblib")
        blocks = {
            "mha/query": (32, 32),
            "mha/key": (32, 32),
            "mha/value": (32, 32),
            "mha/mha_output": (32, 32),
            "fc1": (32, 64),
            "fc2": (64, 32),
        }
        expected = {
            "~/embed": {"embeddings": (4105, 32)},
            "~/esm_learned_positional_embeddings/~/embed": {"embeddings": (1002, 32)},
            "~/esm_roberta_lm_head/~/lm_head_fc_1": {"w": (32, 32), "b": (32,)},
            "~/esm_roberta_lm_head/~/lm_final_fc": {"w": (32, 4105), "b": (4105,)},
        }
        norms = ["emb_layer_norm_after", "lm_head_layer_norm"]
        norms = [f"~/esm_roberta_lm_head/~/{norm}" for norm in norms]
        for layer in range(3):
            place = f"attention_layer_{layer}/~"
            norms += [f"{place}/mha_layer_norm", f"{place}/final_layer_norm"]
            expected |= {f"{place}/{k}": {"w": s, "b": s[1:]} for k, s in blocks.items()}
        expected |= {norm: {"scale": (32,), "offset": (32,)} for norm in norms}
        assert {
            module: {name: array.shape for name, array in leaves.items()}
            for module, leaves in tree.items()
        } == {f"esm_transformer/{module}": leaves for module, leaves in expected.items()}

    def test_streaming_writes_what_joblib_writes_of_whole_arrays(self, scripts, written, tmp_path):
        folder, config = written
        lazy = scripts("write_random_checkpoint").random_tensors(config, 0)
        whole = {
            module: {name: np.asarray(tensor) for name, tensor in leaves.items()}
            for module, leaves in lazy.items()
        }
        write_pytree(tmp_path / "whole", whole, config.to_hyperparams())
        for name in ("pytree_ckpt.joblib", "hyperparams.json"):
            streamed = (folder / "jax_model" / name).read_bytes()
            assert streamed == (tmp_path / "whole" / "jax_model" / name).read_bytes()
        joblib.dump(joblib.load(folder / "jax_model" / "pytree_ckpt.joblib"), tmp_path / "dumped")
        streamed = (folder / "jax_model" / "pytree_ckpt.joblib").read_bytes()
        assert (tmp_path / "dumped").stat().st_size == len(streamed)

    @pytest.mark.usefixtures("quick_compilation")
    def test_the_model_loads_and_stays_finite(self, scripts, written):
        folder, config = written
        model = ntjax.load_pretrained(folder)
        assert model.config == config
        lazy = scripts("write_random_checkpoint").random_tensors(config, 0)
        for module, leaves in model.params.items():
            for name, array in leaves.items():
                np.testing.assert_array_equal(array, np.asarray(lazy[module][name]))
        ids = np.random.default_rng(0).integers(4, 4105, (2, 40)).astype(np.int32)
        outputs = model.apply(model.params, ids, embeddings_layers=(1, 3))
        assert 0.5 < np.std(outputs["embeddings_1"]) < 3
        assert 0.5 < np.std(outputs["logits"]) < 3

    @pytest.mark.parametrize(("name", "gigabytes"), [("500M_1000G", 1.94), ("2B5_1000G", 10.19)])
    def test_sizes_are_those_of_the_published_files(self, scripts, name, gigabytes):
        config = scripts("write_random_checkpoint").SIZES[name]
        count = sum(
            math.prod(shape)
            for leaves in parameter_shapes(config).values()
            for shape in leaves.values()
        )
        assert 4 * count / 1e9 == pytest.approx(gigabytes, abs=0.01)


# Prints by how many MB the peak of resident memory grows while a checkpoint of 300 MB (layers of
# 50 MB, matrices of 17) is written, or converted and then placed. What is loaded once, code and
# all, is loaded by a small one first.
MEMORY_PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
import jax
from write_random_checkpoint import write_random_checkpoint

from ntjax.checkpoints.published_sizes import SIZES
from ntjax.inference.pretrained import _read_folder, place_parameters

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e3

def run(name, **sizes):
    folder, peaks = Path(sys.argv[2]) / name, [peak()]
    if sys.argv[1] == "write":
        write_random_checkpoint(folder, replace(SIZES["500M_1000G"], **sizes))
        return [peak() - peaks[0]]
    params = _read_folder(folder, None)[1]
    peaks.append(peak())
    place_parameters(params, dtype="bfloat16", sharding=None)
    peaks.append(peak())
    return [after - before for before, after in zip(peaks, peaks[1:])]

run("small", embed_dim=64, ffn_embed_dim=256, attention_heads=4, key_dim=16, num_layers=5)
print(*run("large", embed_dim=1024, ffn_embed_dim=4096, attention_heads=16, num_layers=5))
"""


@pytest.mark.compiled
@linux_only
def test_one_layer_at_a_time_is_held(tmp_path):
    def growth(action):
        path = os.pathsep.join([str(SCRIPTS), *sys.path])
        places = {"PYTHONPATH": path, "NTJAX_CACHE_DIR": str(tmp_path)}
        finished = subprocess.run(
            [sys.executable, "-W", "error", "-c", MEMORY_PROGRAM, action, str(tmp_path)],
            env=os.environ | places | {"JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        return map(float, finished.stdout.split())

    (writing,) = growth("write")
    converting, placing = growth("load")
    size = (tmp_path / "large" / "jax_model" / "pytree_ckpt.joblib").stat().st_size / 1e6
    assert size > 280
    # The matrix being written, the next one, and joblib's buffers of 16 MB.
    assert writing < 110
    assert converting < 60
    # The bfloat16 weights, and the largest stacked matrix once more in float32 (84 MB).
    assert placing < size / 2 + 84 + 40


@pytest.fixture(scope="module")
def wide():
    """A configuration whose weights are much larger than its activations, and its step."""
    model = replace(
        ntjax.checkpoints.mini.CONFIG, embed_dim=512, ffn_embed_dim=2048, key_dim=64, num_layers=8
    )
    return StepConfig(
        ForwardConfig(model, Cls(), "bfloat16"), OptimizerConfig(10), Classification.loss
    )


def described(config, kind="ia3"):
    """Shapes and types of a step's arguments: weights, member, the rest."""

    def leaf(name, shape):
        return jax.ShapeDtypeStruct(
            shape, config.forward.dtype if name in ("w", "embeddings") else "f4"
        )

    params = {
        module: {name: leaf(name, shape) for name, shape in leaves.items()}
        for module, leaves in parameter_shapes(config.forward.model).items()
    }
    adapter = jax.eval_shape(
        partial(adapters.init, adapters.adapter_config(kind), config.forward.model, params),
        jax.random.key(0),
    )
    head = jax.eval_shape(
        partial(config.forward.head.init, config.forward.model.embed_dim), jax.random.key(0)
    )
    trainable = Trainable(adapter, head)
    member = Member(trainable, jax.eval_shape(make_optimizer(config.optimizer).init, trainable))
    hyperparameters = Hyperparameters(
        np.float32(1), np.float32(1), np.float32(0), np.float32(0), jax.random.key(0)
    )
    ids = np.zeros((jax.local_device_count(), 1, 2, 17), np.int32)
    batch = DeviceBatch(ids, ids[..., 0], ids[..., 0].astype(np.float32), ids[..., 0])
    return params, member, hyperparameters, np.int32(0), batch


@pytest.mark.compiled
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="about what XLA does on CPUs")
@pytest.mark.usefixtures("quick_compilation")
class TestNoFloat32Copy:
    """The stacked bfloat16 weights are not converted to float32 as a whole."""

    @pytest.fixture
    def float32_bytes(self, wide):
        shapes = parameter_shapes(wide.forward.model)["nucleotide_transformer/layers/fc1"]
        return 4 * math.prod(shapes["w"])

    @pytest.mark.parametrize("kind", ["ia3", "lora"])
    def test_in_a_training_step(self, wide, kind, float32_bytes):
        lowered = compile_train_step(wide).lower(*described(wide, kind))
        assert lowered.compile().memory_analysis().temp_size_in_bytes < float32_bytes

    def test_in_a_prediction(self, wide, float32_bytes):
        params, member, _, _, batch = described(wide)
        lowered = compile_predict(wide.forward).lower(params, member.trainable, batch.tokens[:, 0])
        assert lowered.compile().memory_analysis().temp_size_in_bytes < float32_bytes

    def test_without_the_compiler_option_they_would_be(self, wide, float32_bytes):
        """Once this fails, XLA has stopped doing it and the option can go."""
        params, member, _, _, batch = described(wide)
        lowered = jax.jit(partial(head_outputs, wide.forward)).lower(
            params, member.trainable, batch.tokens[0, 0]
        )
        assert lowered.compile().memory_analysis().temp_size_in_bytes > float32_bytes


class TestMeasuring:
    @linux_only
    def test_a_process_that_takes_too_much_is_stopped(self, scripts, monkeypatch, tmp_path):
        real_size = scripts("real_size")
        monkeypatch.setattr(real_size, "LARGEST_RESIDENT", 100_000_000)
        program = "import time; full = b'x' * 200_000_000; time.sleep(60)"
        with pytest.raises(real_size.StoppedError, match=r"stopped at 0\.\d+ GiB resident"):
            real_size.watched([sys.executable, "-c", program], tmp_path)

    @linux_only
    def test_the_peak_is_seen(self, scripts, tmp_path):
        program = "import time; full = b'x' * 200_000_000; del full; time.sleep(0.2); print(7)"
        output, peak, seconds = scripts("real_size").watched(
            [sys.executable, "-c", program], tmp_path
        )
        assert output == "7\n"
        assert 200e6 < peak < 300e6
        assert 0.2 < seconds < 30

    def test_the_committed_table_comes_from_the_committed_figures(self, scripts):
        committed = SCRIPTS / "benchmarks" / "real_size.json"
        results = json.loads(committed.read_text())
        table = scripts("real_size").as_markdown(results)
        assert table == committed.with_suffix(".md").read_text()
        assert results["models"]["2B5_1000G"]["finetune"]["peak_bytes"] < 20 << 30
