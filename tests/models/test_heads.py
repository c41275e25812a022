import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntjax.models import heads
from ntjax.models.heads import HeadConfig

TOKENS = np.array([[3, 7, 8, 9, 1, 1], [3, 5, 1, 1, 1, 1], [3, 4, 5, 6, 7, 8]])
EMBEDDINGS = np.random.default_rng(0).normal(size=(3, 6, 8)).astype(np.float32)


def random_head(outputs):
    """Weights in which no bias is zero."""
    random = np.random.default_rng(1)
    return {
        "dense": {"w": random.normal(size=(8, 8)), "b": random.normal(size=8)},
        "output": {"w": random.normal(size=(8, outputs)), "b": random.normal(size=outputs)},
    }


@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_the_tree_is_spelled_out(outputs):
    head = heads.init(HeadConfig(outputs=outputs), 8, jax.random.key(0))
    assert jax.tree.map(lambda leaf: leaf.shape, head) == {
        "dense": {"w": (8, 8), "b": (8,)},
        "output": {"w": (8, outputs), "b": (outputs,)},
    }
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(head))
    assert all(head[name]["w"].any() for name in head)
    assert not any(head[name]["b"].any() for name in head)


def test_the_default_is_the_reports_head():
    # Dense 1280 -> 1280, tanh, dense 1280 -> 2; with LoRA's 122,880 the report's 1,765,122.
    assert HeadConfig() == HeadConfig(pooling="cls", outputs=2)
    head = jax.eval_shape(lambda key: heads.init(HeadConfig(), 1280, key), jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(head)) == 1_765_122 - 122_880


def test_two_seeds_draw_two_heads():
    first, second = (heads.init(HeadConfig(), 8, jax.random.key(seed)) for seed in (0, 1))
    assert not np.array_equal(first["dense"]["w"], second["dense"]["w"])
    assert not np.array_equal(first["dense"]["w"][:, :2], first["output"]["w"])


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_pooling_and_layers_equal_numpy(pooling, outputs):
    head = random_head(outputs)
    pooled = []
    for embeddings, tokens in zip(EMBEDDINGS.astype(float), TOKENS, strict=True):
        nucleotides = [place for place, token in enumerate(tokens) if token not in (1, 3)]
        pooled.append(embeddings[0] if pooling == "cls" else embeddings[nucleotides].mean(0))
    hidden = np.tanh(np.stack(pooled) @ head["dense"]["w"] + head["dense"]["b"])
    expected = hidden @ head["output"]["w"] + head["output"]["b"]
    got = heads.apply(
        HeadConfig(pooling, outputs),
        jax.tree.map(jnp.asarray, head),
        jnp.asarray(EMBEDDINGS),
        jnp.asarray(TOKENS),
    )
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, expected, atol=1e-5)
