"""The last layer at the first tokens alone: the same numbers, for less arithmetic and memory."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
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


def value_and_gradients(kind, dropped, monkeypatch, first):
    monkeypatch.setattr(Cls, "first_tokens", first)
    config, params = step_config(DEEP).forward, parameters(DEEP)
    keys = jax.random.split(jax.random.key(3), len(TOKENS))

    def value(state):
        dropout = Dropout(0.2, keys, 0.2) if dropped else None
        return jnp.sin(head_outputs(config, params, state, TOKENS, dropout)).sum()

    return jax.jit(jax.value_and_grad(value))(trainable(kind, params, model=DEEP))


@pytest.mark.parametrize(
    ("kind", "dropped"), first_by_default([("lora", True), ("ia3", False), ("head", False)])
)
def test_gradients_are_those_of_all_tokens(kind, dropped, monkeypatch):
    ours, theirs = (
        value_and_gradients(kind, dropped, monkeypatch, first) for first in (Cls.first_tokens, None)
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


def scans_of(kind, dropped=False, **options):
    """The scans of a step there and back."""
    config, params = step_config(**options).forward, parameters()
    tokens = batch_of(problem(), 0).tokens[0, 0]
    keys = jax.random.split(jax.random.key(3), len(tokens))

    def value(state):
        dropout = Dropout(0.2, keys, 0.2) if dropped else None
        return head_outputs(config, params, state, tokens, dropout).sum()

    traced = jax.make_jaxpr(jax.grad(value))(trainable(kind, params))
    return [equation for equation in traced.eqns if equation.primitive.name == "scan"]


@pytest.mark.parametrize(
    ("kind", "options", "layers"),
    [
        # The gradient of weights would be summed over whole stacks, once for each layer.
        ("full", {}, MODEL.num_layers),
        ("ia3", {"rematerialise": True}, MODEL.num_layers),
        ("ia3", {}, MODEL.num_layers - 1),
    ],
)
def test_trained_weights_and_recomputed_layers_take_all_tokens(kind, options, layers):
    assert {scan.params["length"] for scan in scans_of(kind, **options)} == {layers}


def test_recomputed_layers_keep_what_enters_them_alone():
    there = scans_of("ia3", rematerialise=True)[0]
    kept = there.outvars[there.params["num_carry"] :]
    arrays = [array.aval for array in kept if array.aval.size > 1000]
    assert {array.shape[3:] for array in arrays} == {(MODEL.embed_dim,)}
    assert len(arrays) == 1


def primitives(jaxpr):
    """Names of all operations, those of inner programs too."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for inner in jaxprs_in_params(equation.params):
            yield from primitives(inner)


@pytest.mark.parametrize("kind", ["ia3", "lora"])
def test_the_way_back_repeats_no_product_and_draws_nothing(kind, monkeypatch):
    def products(first):
        monkeypatch.setattr(Cls, "first_tokens", first)
        back = scans_of(kind, dropped=True)[-1]
        names = list(primitives(back.params["jaxpr"].jaxpr))
        return names.count("dot_general"), names.count("threefry2x32")

    (ours, drawn), (theirs, _) = products(1), products(None)
    assert theirs > 6
    # LoRA's two branches multiply what they keep, of low rank, into the full width again.
    assert ours <= theirs + (2 if kind == "lora" else 0)
    assert drawn == 0


@pytest.mark.parametrize(
    "others",
    [{"attention_layers": (2,)}, {"positions": np.zeros((2, 1), int)}, {"rematerialise": True}],
)
def test_what_needs_all_tokens_is_refused(others):
    with pytest.raises(ValueError, match="first_tokens goes with neither"):
        forward(MODEL, "float32", parameters(), TOKENS, first_tokens=1, **others)
