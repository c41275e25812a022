"""The last layer at the first tokens alone: the same numbers, for less arithmetic and memory."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference_transformer import random_parameters, reference_forward
from tiers import first_by_default
from tiny import MODEL, batch_of, parameters, problem, step_config, trainable

from ntjax.adapters import Dropout
from ntjax.adapters.apply import forward
from ntjax.inference.forward import head_outputs
from ntjax.models.config import parameter_shapes
from ntjax.models.heads import Cls

LEARNED = {"use_rotary_embedding": False, "positional_embedding": "learned"}
TOKENS = np.array([[3, 5, 6, 2, 8, 9, 10], [3, 9, 7, 7, 1, 1, 1]], np.int32)
DEEP = replace(MODEL, num_layers=5)


@pytest.mark.parametrize(("positions", "layers"), first_by_default([({}, 3), (LEARNED, 1)]))
@pytest.mark.parametrize("first", [1, 3])
def test_embeddings_and_logits_equal_the_numpy_reference(positions, layers, first):
    config = replace(MODEL, num_layers=layers, **positions)
    params = random_parameters(parameter_shapes(config), seed=3)
    run = partial(forward, config, "float32", embeddings_layers=(1, layers), first_tokens=first)
    got = jax.jit(run)(params, TOKENS)
    want = reference_forward(config, params, TOKENS)
    for name in ("logits", f"embeddings_{layers}"):
        assert got[name].shape[1] == first
        np.testing.assert_allclose(got[name], want[name][:, :first], rtol=1e-4, atol=1e-5)
    if layers > 1:
        np.testing.assert_allclose(got["embeddings_1"], want["embeddings_1"], rtol=1e-4, atol=1e-5)


def value_and_gradients(kind, dropped, monkeypatch, first, model=DEEP, rematerialise=False):
    monkeypatch.setattr(Cls, "first_tokens", first)
    config = step_config(model, rematerialise=rematerialise).forward
    params = parameters(model)
    keys = jax.random.split(jax.random.key(3), len(TOKENS))

    def value(state):
        dropout = Dropout(0.2, keys, 0.2) if dropped else None
        return jnp.sin(head_outputs(config, params, state, TOKENS, dropout)).sum()

    return jax.jit(jax.value_and_grad(value))(trainable(kind, params, model=model))


@pytest.mark.parametrize(
    ("kind", "dropped", "rematerialise"),
    first_by_default(
        [("lora", True, False), ("ia3", False, False), ("ia3", True, True), ("head", False, False)]
    ),
)
def test_gradients_are_those_of_all_tokens(kind, dropped, rematerialise, monkeypatch):
    ours, theirs = (
        value_and_gradients(kind, dropped, monkeypatch, first, rematerialise=rematerialise)
        for first in (Cls.first_tokens, None)
    )
    for one, other in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        largest = np.abs(other).max()
        assert largest > 0
        np.testing.assert_allclose(one, other, atol=2e-5 * largest, rtol=0)


def compiled_gradient(kind, first, monkeypatch, model, tokens):
    monkeypatch.setattr(Cls, "first_tokens", first)
    config, params = step_config(model).forward, parameters(model)

    def value(state, params):
        return head_outputs(config, params, state, tokens).sum()

    return jax.jit(jax.grad(value)).lower(trainable(kind, params, model=model), params).compile()


def test_one_layer_costs_keys_and_values_alone(monkeypatch):
    """Of twelve squares of the width in a layer two are left: 4 of attention, 8 of feed-forward."""
    model = replace(MODEL, num_layers=1, embed_dim=64, key_dim=32, ffn_embed_dim=256)
    tokens = np.full((8, 64), 9, np.int32)
    ours, theirs = (
        compiled_gradient("ia3", first, monkeypatch, model, tokens).cost_analysis()["flops"]
        for first in (1, None)
    )
    assert ours < 0.3 * theirs


@pytest.mark.parametrize("kind", first_by_default(["ia3", "lora"]))
def test_no_layer_keeps_its_weights_for_the_way_back(kind, monkeypatch):
    model = replace(MODEL, num_layers=6, embed_dim=64, key_dim=32, ffn_embed_dim=256)
    tokens = np.full((1, 4), 9, np.int32)  # hardly any activations beside the weights
    compiled = compiled_gradient(kind, 1, monkeypatch, model, tokens)
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(parameters(model)))
    assert compiled.memory_analysis().temp_size_in_bytes < 0.5 * weights


def test_trained_weights_take_all_tokens():
    """Their gradient would be summed over whole stacks, once for each layer."""
    config, params = step_config().forward, parameters()
    tokens = batch_of(problem(), 0).tokens[0, 0]

    def scans(kind):
        state = trainable(kind, params)
        value = jax.make_jaxpr(partial(head_outputs, config, params))(state, tokens)
        return [e.params["length"] for e in value.eqns if e.primitive.name == "scan"]

    assert scans("full") == [MODEL.num_layers]
    assert scans("ia3") == [MODEL.num_layers - 1]
