"""The training step as a TPU would run it, compiled without one."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from ahead_of_time import abstract_arguments, collectives, instructions, products
from compiled_for_tpu import ADAPTERS, HOST, LARGE, POD, ROWS, SMALL, TOKENS
from tiny import step_config

from ntjax.models.config import parameter_shapes

pytestmark = pytest.mark.tpu

SCRIPT = Path(__file__).parents[1] / "helpers" / "compiled_for_tpu.py"


def compiled(path, *arguments):
    """What `compiled_for_tpu.py` writes, in a process of its own: libtpu does not come back out."""
    process = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), str(path), *arguments],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    if not path.exists():
        pytest.skip(process.stdout.strip())
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Programs of the small model, by `adapter/layers/topology`."""
    return compiled(tmp_path_factory.mktemp("tpu") / "small.json")


def trained_numbers(kind, layers):
    """Numbers of the small model that are trained, counted by hand."""
    embed, inner, ffn = SMALL.embed_dim, 8 * 48, 640
    head = embed * embed + embed + embed * 2 + 2
    adapter = {"ia3": inner + inner + ffn, "lora": 2 * 8 * (embed + inner)}
    return head + layers * adapter[kind]


CASES = [("ia3", 2), ("ia3", 6), ("lora", 2), ("lora", 6)]


@pytest.mark.parametrize(("kind", "layers"), CASES)
class TestAHost:
    def test_one_message_sums_gradients_loss_and_rows(self, programs, kind, layers):
        program = programs[f"{kind}/{layers}/{HOST}"]
        assert program["devices"] == 4
        sent = 4 * (trained_numbers(kind, layers) + 2)
        assert program["collectives"] == [["all-reduce", 1, sent]]

    def test_the_state_is_overwritten_in_place(self, programs, kind, layers):
        program = programs[f"{kind}/{layers}/{HOST}"]
        # Parameters and two moments; three metrics are all that is new.
        assert program["alias"] >= 3 * 4 * trained_numbers(kind, layers)
        assert program["output"] - program["alias"] < 4096

    def test_products_of_the_model_take_bfloat16(self, programs, kind, layers):
        program = programs[f"{kind}/{layers}/{HOST}"]
        operands = [
            (dtype, tuple(size for size in shape if size > 1))
            for factors, source in program["products"]
            if "nucleotide_transformer" in source
            for dtype, shape in factors
        ]
        weights = {
            shapes["w"][1:]
            for module, shapes in parameter_shapes(SMALL).items()
            if "/layers/" in module and "w" in shapes
        }
        assert weights <= {shape for dtype, shape in operands if dtype == "bf16"}
        # Softmax is float32, and so is what comes back through it.
        scores = (ROWS, SMALL.attention_heads, TOKENS, TOKENS)
        assert {shape for dtype, shape in operands if dtype != "bf16"} <= {scores}


@pytest.mark.parametrize("kind", ["ia3", "lora"])
class TestDepth:
    def test_more_layers_are_no_more_to_compile(self, programs, kind):
        few, many = (programs[f"{kind}/{layers}/{HOST}"]["instructions"] for layers in (2, 6))
        assert few > 1000
        assert many <= 1.1 * few

    def test_a_layer_costs_its_weights_and_its_saved_input(self, programs, kind):
        few, many = (programs[f"{kind}/{layers}/{HOST}"] for layers in (2, 6))
        # Were a layer's attention maps kept for the way back, they alone would be six times this.
        saved = 2 * ROWS * TOKENS * SMALL.embed_dim
        assert many["temporary"] - few["temporary"] <= 4 * saved
        weights = 2 * sum(
            math.prod(shapes["w"][1:])
            for module, shapes in parameter_shapes(SMALL).items()
            if "/layers/" in module and "w" in shapes
        )
        more = many["arguments"] - few["arguments"]
        assert 4 * weights <= more <= 1.2 * 4 * weights


def test_64_chips_send_what_four_do(programs):
    host, pod = programs[f"ia3/2/{HOST}"], programs[f"ia3/2/{POD}"]
    assert pod["devices"] == 64
    assert pod["collectives"] == host["collectives"]
    assert pod["temporary"] <= 1.1 * host["temporary"]


def test_500m_fits_in_a_v5e(tmp_path):
    program = compiled(tmp_path / "large.json", "500M")["ia3"]
    assert [kind for kind, _, _ in program["collectives"]] == ["all-reduce"]
    weights = sum(
        math.prod(shape)
        for module, shapes in parameter_shapes(LARGE).items()
        if "/lm_" not in module
        for shape in shapes.values()
    )
    assert 2 * weights < program["arguments"] < 2.2 * weights
    assert program["needed"] < 4e9


# Without libtpu


@pytest.mark.parametrize("kind", ADAPTERS)
def test_arguments_are_those_of_a_run(kind):
    config = step_config(model=SMALL, dtype="bfloat16")
    weights, member, hyper, step, batch = abstract_arguments(config, ADAPTERS[kind], 4, ROWS, 96)
    assert jax.tree.map(lambda leaf: leaf.shape, weights) == parameter_shapes(SMALL)
    types = {str(leaf.dtype) for leaf in jax.tree.leaves(weights)}
    assert types == {"bfloat16", "float32"}
    leaves = jax.tree.leaves(member.trainable)
    assert sum(leaf.size for leaf in leaves) == trained_numbers(kind, SMALL.num_layers)
    assert batch.tokens.shape == (4, 1, ROWS, 96)
    assert step.shape == hyper.dropout.shape == hyper.key.shape == ()


PROGRAM = """\
HloModule jit_step, entry_computation_layout={(f32[8,2]{1,0})->f32[8,2]{1,0}}

%body (p: bf16[2,3]) -> bf16[2,4] {
  %p = bf16[2,3]{1,0:T(8,128)(2,1)} parameter(0)
  %w.1 = bf16[3,4]{1,0} constant({...})
  ROOT %out = bf16[2,4]{1,0} convolution(%p, %w.1), dim_labels=bf_io->bf, metadata={op_name="a/b"}
}

ENTRY %main (x: f32[8,2]) -> f32[8,2] {
  %x = f32[8,2]{1,0} parameter(0)
  %sum = (f32[8,2]{1,0:T(8,128)}, /*index=1*/f32[]{:T(128)}) all-reduce(%x, %y), channel_id=1
  %got = f32[8,2]{1,0} get-tuple-element(%all-reduce.2), index=0
  %start = (bf16[4]{0}, bf16[16]{0}) all-gather-start(%z), channel_id=2
  %done = bf16[16]{0} all-gather-done(%start)
  ROOT %more = f32[8,2]{1,0} all-reduce(%got), channel_id=3
}
"""


def test_messages_are_read_from_a_program():
    assert collectives(PROGRAM) == [("all-gather", 1, 32), ("all-reduce", 2, 64 + 4 + 64)]
    assert collectives(re.sub(r".*all-.*\n", "", PROGRAM)) == []


def test_products_and_instructions_are_read_from_a_program():
    assert products(PROGRAM) == [((("bf16", (2, 3)), ("bf16", (3, 4))), "a/b")]
    assert instructions(PROGRAM) == 9
