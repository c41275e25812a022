"""Only adapter and head are trained, stored and paid for."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from tiers import first_by_default
from tiny import (
    MODEL,
    batch_of,
    hyperparameters,
    named,
    parameters,
    problem,
    step_config,
    trainable,
)

from ntjax.inference.devices import replicated_sharding
from ntjax.inference.forward import head_outputs
from ntjax.models.config import parameter_shapes
from ntjax.training.members import new_member
from ntjax.training.optimizers import OptimizerConfig
from ntjax.training.step import compile_train_step

DECAYING = OptimizerConfig(200, weight_decay=0.1)


class TestFrozen:
    @pytest.mark.parametrize("kind", first_by_default(["ia3", "lora"]))
    def test_weights_keep_every_bit(self, kind):
        params, config = parameters(), step_config(optimizer=DECAYING)
        before, start = named(params), trainable(kind, params)
        step, member = compile_train_step(config), new_member(config.optimizer, start)
        hyper = jax.device_put(hyperparameters(0.05), replicated_sharding())
        for number in range(4):
            batch = batch_of(problem(), number)
            member, _ = step(params, member, hyper, np.int32(number), batch)
        after = named(params)
        assert before.keys() == after.keys()
        assert all(before[name].tobytes() == after[name].tobytes() for name in before)
        first, last = named(start), named(member.trainable)
        assert all((first[name] != last[name]).any() for name in first), "nothing was trained"


HEAD = {
    ".head['dense']['b']": (16,),
    ".head['dense']['w']": (16, 16),
    ".head['output']['b']": (2,),
    ".head['output']['w']": (16, 2),
}
TRAINED = {
    "head": HEAD,
    "ia3": HEAD
    | {
        ".adapter.parameters['l_k']": (2, 16),
        ".adapter.parameters['l_v']": (2, 16),
        ".adapter.parameters['l_ff']": (2, 32),
    },
    "lora": HEAD
    | {
        ".adapter.parameters['query']['a']": (2, 16, 4),
        ".adapter.parameters['query']['b']": (2, 4, 16),
        ".adapter.parameters['value']['a']": (2, 16, 4),
        ".adapter.parameters['value']['b']": (2, 4, 16),
    },
    "full": HEAD
    | {
        f".adapter.parameters['{module}']['{name}']": shape
        for module, weights in parameter_shapes(MODEL).items()
        if "/lm_" not in module
        for name, shape in weights.items()
    },
}


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize("optimizer", [OptimizerConfig(9, gradient_clip=0.0), DECAYING])
def test_the_state_holds_trained_parameters_only(kind, optimizer):
    member = new_member(optimizer, trainable(kind, parameters()))
    place = 1 if optimizer.gradient_clip else 0
    moments = {
        f".optimizer[{place}].{moment}{leaf}": shape
        for moment in ("mu", "nu")
        for leaf, shape in TRAINED[kind].items()
    }
    expected = {f".trainable{leaf}": shape for leaf, shape in TRAINED[kind].items()}
    expected |= moments | {f".optimizer[{place}].count": ()}
    assert {name: leaf.shape for name, leaf in named(member).items()} == expected


@pytest.fixture(scope="module")
def operations():
    """Floating-point operations of a step over a wider model, by adapter."""
    wide = replace(MODEL, embed_dim=128, ffn_embed_dim=512, key_dim=64)
    config, params = step_config(model=wide), parameters(wide)

    def count(kind):
        member = new_member(config.optimizer, trainable(kind, params, model=wide))
        arguments = (params, member, hyperparameters(), np.int32(0), batch_of(problem(), 0))
        program = compile_train_step(config).lower(*arguments).compile()
        return program.cost_analysis()["flops"]

    return {kind: count(kind) for kind in TRAINED}


@pytest.mark.compiled
class TestCost:
    # A matrix product costs one pass forward, one for the gradient of its input and one for
    # that of its weights.
    @pytest.mark.parametrize("kind", ["ia3", "lora"])
    def test_no_gradients_of_frozen_weights(self, operations, kind):
        assert 0.55 < operations[kind] / operations["full"] < 0.78

    def test_the_head_alone_needs_no_way_back(self, operations):
        assert operations["head"] / operations["full"] < 0.45


DEVICES_PROGRAM = """
import jax, numpy as np
from tiny import batch_of, hyperparameters, parameters, step_config, trainable, problem
from ntjax.training.members import new_member
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.forward import head_outputs
from ntjax.training.step import compile_train_step

params, config = parameters(), step_config()
member = new_member(config.optimizer, trainable("ia3", params))
hyper = jax.device_put(hyperparameters(), replicated_sharding())
step = compile_train_step(config)
assert jax.local_device_count() == 2
assert all(len(leaf.sharding.device_set) == 2 for leaf in jax.tree.leaves((params, member)))
assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves((params, member)))
places = [leaf.sharding for leaf in jax.tree.leaves(member)]
with jax.transfer_guard_device_to_device("disallow"):
    for number in range(3):
        before = member
        member, _ = step(params, member, hyper, np.int32(number), batch_of(problem(), number))
        assert [leaf.sharding for leaf in jax.tree.leaves(member)] == places
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before)), "not overwritten"
    elsewhere = jax.device_put(params, jax.devices()[0])
    try:
        step(elsewhere, member, hyper, np.int32(3), batch_of(problem(), 3))
    except Exception as error:
        print(error)
"""


@pytest.mark.compiled
def test_nothing_is_copied_between_devices_at_a_step():
    """On two devices; the guard is shown to work on weights that lie on one of them."""
    flags = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", DEVICES_PROGRAM],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        cwd=Path(__file__).parents[1] / "helpers",
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "Disallowed device-to-device transfer" in finished.stdout


@pytest.mark.compiled
def test_a_shape_is_compiled_once(caplog):
    params, config, data = parameters(), step_config(), problem(lengths=(7, 10))
    step, member = (
        compile_train_step(config),
        new_member(config.optimizer, trainable("head", params)),
    )
    hyper = jax.device_put(hyperparameters(), replicated_sharding())
    batches = [batch_of(data, number) for number in range(14)]
    assert {batch.tokens.shape[-1] for batch in batches} == {7, 10}
    with jax.log_compiles():
        for number, batch in enumerate(batches):
            member, _ = step(params, member, hyper, np.int32(number), batch)
    compiled = [line for line in caplog.messages if "Finished XLA compilation" in line]
    assert len(compiled) == 2


@pytest.mark.parametrize("kind", ["ia3", "lora", "head"])
def test_bfloat16_layers_keep_no_float32_activation_for_the_way_back(kind):
    config, params = step_config(dtype="bfloat16").forward, parameters()
    tokens = batch_of(problem(), 0).tokens[0, 0]

    def loss(state):
        return head_outputs(config, params, state, tokens).sum()

    traced = jax.make_jaxpr(jax.grad(loss))(trainable(kind, params)).jaxpr
    scan = next(equation for equation in traced.eqns if equation.primitive.name == "scan")
    kept = [output.aval for output in scan.outvars[scan.params["num_carry"] :]]
    wide = [
        array for array in kept if array.dtype == np.float32 and tokens.shape == array.shape[1:3]
    ]
    # Attention's own: the context and each query's maximum and sum (`models/attention.py`).
    assert {array.shape[3:] for array in wide} <= {(2, 8), (2, 1)}
    assert len(wide) <= 3
