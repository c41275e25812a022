"""AdamW, its schedules and what it decays, against NumPy and against trees written out."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_adamw import HEAD_DECAYS, IA3_DECAYS, LORA_DECAYS, NumpyAdamW, expected_factor
from tiny import ADAPTERS, MODEL, named, parameters, trainable

from ntjax import adapters
from ntjax.adapters import Adapter, LoRA
from ntjax.adapters.apply import random_parameters
from ntjax.adapters.lora import PROJECTIONS
from ntjax.errors import UserError
from ntjax.inference.forward import Trainable
from ntjax.models.config import TransformerConfig
from ntjax.training.optimizers import (
    SCHEDULES,
    OptimizerConfig,
    decayed,
    make_optimizer,
    schedule_factor,
)


@pytest.mark.parametrize("warmup", [0, 1, 6])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedule_at_every_step(schedule, warmup):
    config = OptimizerConfig(20, schedule, warmup)
    values = jax.jit(partial(schedule_factor, config))(jnp.arange(21))
    expected = [expected_factor(schedule, step, 20, warmup) for step in range(21)]
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("linear", [0.5, 1, 0.875, 0.5, 0]),
        ("cosine", [0.5, 1, 0.9619, 0.5, 0]),
        ("inverse-sqrt", [0.5, 1, 0.7071, 0.4472, 0.3333]),
    ],
)
def test_schedule_in_numbers(schedule, factors):
    config = OptimizerConfig(9, schedule, warmup_steps=1)
    values = jax.jit(partial(schedule_factor, config))(jnp.array([0, 1, 2, 5, 9]))
    assert values.tolist() == pytest.approx(factors, abs=1e-4)


@pytest.mark.parametrize(("begin", "expected"), [(0.0, [0.25, 0.5]), (0.4, [0.4, 0.6])])
def test_the_first_update_of_a_warm_up_is_not_lost(begin, expected):
    config = OptimizerConfig(20, warmup_steps=3, warmup_from=begin)
    values = [float(schedule_factor(config, jnp.int32(step))) for step in range(2)]
    assert values == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 10, "schedule": "step"}, "unknown schedule 'step'"),
        ({"steps": 10, "warmup_steps": 10}, "more than the warm-up steps"),
        ({"steps": 10, "warmup_steps": -1}, "more than the warm-up steps"),
        ({"steps": 0}, "must be above 0"),
    ],
)
def test_refused(options, message):
    with pytest.raises(UserError, match=message):
        OptimizerConfig(**options)


@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_five_steps_of_adamw(weight_decay, clip):
    random, rate = np.random.default_rng(0), 0.05
    start = trainable("lora", parameters())
    expected = NumpyAdamW(named(start), LORA_DECAYS, weight_decay, clip)
    optimizer = make_optimizer(OptimizerConfig(5, weight_decay=weight_decay, gradient_clip=clip))
    update, state, weights = jax.jit(optimizer.update), optimizer.init(start), start
    for size in (1e-3, 0.02, 1.0, 1e3, 1e-6):  # norms below and above the bound
        gradients = jax.tree.map(
            lambda w, size=size: (size * random.standard_normal(w.shape)).astype(np.float32),
            weights,
        )
        expected.step(named(gradients), rate)
        updates, state = update(gradients, state, weights)
        weights = jax.tree.map(lambda w, u: w - rate * u, weights, updates)
    assert named(weights).keys() == expected.weights.keys()
    for name, leaf in named(weights).items():
        np.testing.assert_allclose(leaf, expected.weights[name], rtol=0, atol=2e-6, err_msg=name)


def decays_of(tree):
    mask = decayed(tree)
    leaves, _ = jax.tree_util.tree_flatten_with_path(mask)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


@pytest.mark.parametrize(
    ("kind", "expected"), [("head", HEAD_DECAYS), ("ia3", IA3_DECAYS), ("lora", LORA_DECAYS)]
)
def test_decayed_parameters(kind, expected):
    assert decays_of(trainable(kind, parameters())) == expected


def test_decayed_parameters_of_every_lora_target():
    config = LoRA(targets=PROJECTIONS)
    branches = jax.eval_shape(partial(adapters.init, config, MODEL, {}), jax.random.key(0))
    mask = decays_of(Trainable(Adapter(config, branches.parameters), {}))
    assert mask == {
        f".adapter.parameters['{target}']['{factor}']": True
        for target in ("query", "key", "value", "mha_output", "fc1", "fc2")
        for factor in ("a", "b")
    }


LAYER = "nucleotide_transformer/layers"
FULL_DECAYS = {
    "nucleotide_transformer/embed": {"embeddings": True},
    "nucleotide_transformer/positional_embedding": {"embeddings": True},
    "nucleotide_transformer/emb_layer_norm_before": {"scale": False, "offset": False},
    "nucleotide_transformer/emb_layer_norm_after": {"scale": False, "offset": False},
    f"{LAYER}/self_attention_layer_norm": {"scale": False, "offset": False},
    f"{LAYER}/query": {"w": True, "b": False},
    f"{LAYER}/key": {"w": True, "b": False},
    f"{LAYER}/value": {"w": True, "b": False},
    f"{LAYER}/mha_output": {"w": True, "b": False},
    f"{LAYER}/final_layer_norm": {"scale": False, "offset": False},
    f"{LAYER}/fc1": {"w": True, "b": False},
    f"{LAYER}/fc2": {"w": True, "b": False},
}


def test_decayed_parameters_of_the_whole_backbone():
    everything = TransformerConfig(
        **(vars(MODEL) | {"positional_embedding": "learned", "emb_layer_norm_before": True})
    )
    params = jax.eval_shape(partial(random_parameters, everything), jax.random.key(0))
    config = ADAPTERS["full"]
    weights = jax.eval_shape(
        partial(adapters.init, config, everything), params, jax.random.key(0)
    ).parameters
    assert decayed(Trainable(Adapter(config, weights), {})).adapter.parameters == FULL_DECAYS
