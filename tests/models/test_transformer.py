"""Every architecture that the configuration can express, against the NumPy reference."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference_transformer import random_parameters as draw_parameters
from reference_transformer import reference_forward
from scipy.special import ndtr

from ntjax.adapters.apply import forward, random_parameters
from ntjax.models.config import TransformerConfig, parameter_shapes
from ntjax.models.transformer import _ACTIVATIONS as ACTIVATIONS
from ntjax.models.transformer import attend, rotate

pytestmark = pytest.mark.usefixtures("quick_compilation")

TINY = {
    "vocabulary_size": 11,
    "k_for_kmers": 6,
    "max_positions": 10,
    "attention_heads": 2,
    "embed_dim": 8,
    "ffn_embed_dim": 12,
    "num_layers": 2,
    "key_dim": 4,
}
ARCHITECTURES = {
    "learned and rotary together": {
        "use_rotary_embedding": True,
        "ffn_activation_name": "gelu",
    },
    "SwiGLU with biases": {
        "positional_embedding": None,
        "use_rotary_embedding": True,
        "use_glu_in_ffn": True,
        "ffn_activation_name": "swish",
    },
    "no positions, no FFN biases, wide heads": {
        "positional_embedding": None,
        "add_bias_ffn": False,
        "key_dim": 6,
        "ffn_activation_name": "gelu-no-approx",
    },
    "narrow odd heads, scaled embedding": {
        "key_dim": 3,
        "embed_scale": 0.3,
        "ffn_activation_name": "sin",
    },
    "first norm, token dropout, large epsilon": {
        "emb_layer_norm_before": True,
        "token_dropout": True,
        "masking_ratio": 0.3,
        "masking_prob": 0.7,
        "layer_norm_eps": 0.1,
        "ffn_activation_name": "relu",
    },
    "gated sine without biases, one layer": {
        "num_layers": 1,
        "add_bias_ffn": False,
        "use_glu_in_ffn": True,
        "ffn_activation_name": "silu",
    },
}
# <pad> in the middle: positions are counted over real tokens; <mask> for token dropout.
TOKENS = np.array([[3, 5, 6, 2, 8, 1, 9, 10, 2], [3, 9, 1, 4, 7, 7, 1, 1, 1]], np.int32)


@pytest.fixture(params=ARCHITECTURES)
def config(request):
    return TransformerConfig(**TINY | ARCHITECTURES[request.param])


def test_forward_equals_the_numpy_reference(config):
    layers = tuple(range(1, config.num_layers + 1))
    params = draw_parameters(parameter_shapes(config), seed=3)
    run = partial(forward, config, "float32", embeddings_layers=layers, attention_layers=layers)
    got = jax.jit(run)(params, TOKENS)
    expected = reference_forward(config, params, TOKENS)
    assert set(got) == set(expected)
    real = TOKENS != 1
    for name, value in expected.items():
        if name.startswith("attention"):
            got[name], value = (np.swapaxes(array, 1, 2) for array in (got[name], value))
        np.testing.assert_allclose(got[name][real], value[real], rtol=0, atol=1e-5, err_msg=name)


def test_random_parameters_are_the_tree_of_parameter_shapes(config):
    drawn = jax.eval_shape(partial(random_parameters, config), jax.random.key(0))
    assert jax.tree.map(lambda leaf: leaf.shape, drawn) == parameter_shapes(config)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(drawn))


@pytest.mark.compiled
def test_the_gradient_equals_a_difference_of_the_numpy_reference():
    config = TransformerConfig(**TINY)
    params, direction = (
        draw_parameters(parameter_shapes(config), seed=4),
        draw_parameters(parameter_shapes(config), seed=5),
    )

    @jax.jit
    def gradient(params):
        # Rematerialised, as in training: that changes what is kept, not what is computed.
        def loss(params):
            run = forward(config, "float32", params, TOKENS, rematerialise=True)
            return (run["logits"] ** 2).mean()

        return jax.grad(loss)(params)

    def reference_loss(step):
        moved = jax.tree.map(lambda w, d: w.astype(float) + step * d, params, direction)
        return (reference_forward(config, moved, TOKENS)["logits"] ** 2).mean()

    slope = (reference_loss(1e-5) - reference_loss(-1e-5)) / 2e-5
    products = jax.tree.map(lambda g, d: float((g * d).sum()), gradient(params), direction)
    assert sum(jax.tree.leaves(products)) == pytest.approx(slope, rel=1e-4)


def test_exact_gelu_and_its_gradient():
    gelu = jax.jit(ACTIVATIONS["gelu-no-approx"])  # as the model runs it: compiled
    x = np.linspace(-12, 12, 100_001)
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    value, slope = jax.vmap(jax.value_and_grad(gelu))(x.astype(np.float32))
    np.testing.assert_allclose(value, x * ndtr(x), rtol=0, atol=1.2e-6)
    np.testing.assert_allclose(slope, ndtr(x) + x * density, rtol=0, atol=1.2e-6)
    # In bfloat16 within its rounding, relatively, also where Φ is small.
    x = np.linspace(-3, 3, 97)
    value = gelu(jnp.asarray(x, jnp.bfloat16)).astype(jnp.float32)
    x = np.asarray(jnp.asarray(x, jnp.bfloat16), np.float64)
    np.testing.assert_allclose(value, x * ndtr(x), rtol=1.5e-2)


def test_rotary_angles_stay_exact_in_bfloat16():
    # Angles computed in bfloat16 are off by whole turns at position 511.
    heads = np.ones((1, 512, 1, 8), np.float32)
    got = np.asarray(rotate(jnp.asarray(heads, jnp.bfloat16)).astype(jnp.float32))[0, 511, 0]
    angles = 511 * 10000.0 ** (-np.arange(0, 8, 2) / 8)
    cosine, sine = np.cos(angles), np.sin(angles)
    expected = np.concatenate([cosine - sine, cosine + sine])
    np.testing.assert_allclose(got, expected, atol=0.01)


def test_attention_weights_are_float32_in_bfloat16():
    random = np.random.default_rng(5)
    query, key, value = (
        jnp.asarray(random.normal(size=(1, 300, 2, 4)), jnp.bfloat16) for _ in range(3)
    )
    context, weights = attend(query, key, value, jnp.ones((1, 1, 300, 300), bool))
    assert context.dtype == jnp.bfloat16
    assert weights.dtype == jnp.float32
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
