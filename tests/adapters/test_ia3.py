"""Where IA³'s vectors act, their number, and that they merge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adapted_models import MODELS, TOKENS, random_parameters, run
from reference_transformer import reference_forward

from ntjax import adapters
from ntjax.adapters import IA3, Adapter, ia3
from ntjax.checkpoints.published_sizes import SIZES
from ntjax.models.config import parameter_shapes

pytestmark = pytest.mark.usefixtures("quick_compilation")


def random_vectors(model, seed=1):
    random = np.random.default_rng(seed)
    inner = model.attention_heads * model.key_dim
    sizes = {"l_k": inner, "l_v": inner, "l_ff": model.ffn_embed_dim}
    return {
        name: random.uniform(-1, 2, (model.num_layers, size)).astype(np.float32)
        for name, size in sizes.items()
    }


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


@pytest.mark.parametrize(
    ("name", "layers", "embed", "ffn", "numbers"),
    [
        ("500M_1000G", 24, 1280, 5120, 184_320),
        ("2B5_multi_species", 32, 2560, 10_240, 491_520),
    ],
    ids=["500M", "2.5B"],
)
def test_the_tree_at_published_sizes(name, layers, embed, ffn, numbers):
    model = SIZES[name]
    key = jax.random.key(0)
    adapter = jax.eval_shape(lambda: adapters.init(IA3(), model, {}, key))
    assert jax.tree.map(lambda leaf: leaf.shape, adapter.parameters) == {
        "l_k": (layers, embed),
        "l_v": (layers, embed),
        "l_ff": (layers, ffn),
    }
    leaves = jax.tree.leaves(adapter)
    assert all(leaf.dtype == jnp.float32 for leaf in leaves)
    assert sum(leaf.size for leaf in leaves) == numbers


def test_vectors_are_as_wide_as_heads_and_as_ffn_embed_dim(model):
    # A gated unit's vector acts after the product, so it is as wide as one half of fc1.
    adapter = adapters.init(IA3(), model, {}, jax.random.key(0))
    expected = {name: vector.shape for name, vector in random_vectors(model).items()}
    assert {name: vector.shape for name, vector in adapter.parameters.items()} == expected
    assert all((vector == 1).all() for vector in adapter.parameters.values())


def test_vectors_act_where_the_paper_puts_them(model):
    params, vectors = random_parameters(model), random_vectors(model)
    got = run(model, params, Adapter(IA3(), vectors))
    expected = reference_forward(model, params, TOKENS, vectors=vectors)
    bare = reference_forward(model, params, TOKENS)
    for name, value in got.items():
        assert abs(expected[name] - bare[name]).max() > 0.01
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-5, err_msg=name)


def test_merged_equals_unmerged(model):
    params, vectors = random_parameters(model), random_vectors(model)
    adapter = Adapter(IA3(), vectors)
    merged = adapters.merge(adapter, params)
    assert jax.tree.map(lambda leaf: leaf.shape, merged) == parameter_shapes(model)
    expected = reference_forward(model, params, TOKENS, vectors=vectors)
    for name, value in run(model, merged).items():
        error = np.linalg.norm(value - expected[name]) / np.linalg.norm(expected[name])
        assert error < 1e-5, name


def test_merging_leaves_the_weights_it_was_given_alone(model):
    params = random_parameters(model)
    before = jax.tree.map(np.copy, params)
    adapters.merge(Adapter(IA3(), random_vectors(model)), params)
    jax.tree.map(np.testing.assert_array_equal, params, before)


@pytest.mark.parametrize(("factor", "expected"), [(1.003, 201), (1.006, 201)])
def test_vectors_near_one_are_not_rounded_in_bfloat16(factor, expected):
    # 200.6 and 201.2, whose nearest bfloat16 is 201. Of the rounded factors, 1 and 1.0078, the
    # products would be 200 and 202.
    x = jnp.full((1, 1, 1), 200, jnp.bfloat16)
    scaled = ia3.hook({"l_k": jnp.full(1, factor)}, "key", lambda x: x, x)
    assert scaled.dtype == jnp.bfloat16
    assert float(scaled[0, 0, 0]) == expected
