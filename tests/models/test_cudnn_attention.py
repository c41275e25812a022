"""cuDNN's fused attention against the plain form, on a GPU; how it is chosen, anywhere."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiers import first_by_default

from ntjax.models.attention import attend, attention_on, cudnn_context

on_gpu = pytest.mark.skipif(
    jax.default_backend() != "gpu", reason="no GPU: cuDNN's attention cannot be run here"
)
CPU = SimpleNamespace(platform="cpu")
H100 = SimpleNamespace(platform="gpu", compute_capability="9.0")
V100 = SimpleNamespace(platform="gpu", compute_capability="7.0")
MI300 = SimpleNamespace(platform="gpu", compute_capability="gfx942")
TPU = SimpleNamespace(platform="tpu")


@pytest.mark.parametrize(
    ("device", "dtype", "key_dim", "expected"),
    [
        (H100, "bfloat16", 64, "cudnn"),
        (H100, "bfloat16", 75, "cudnn"),  # agro's, padded to 80
        (H100, "bfloat16", 128, "cudnn"),
        (H100, "bfloat16", 136, "plain"),
        (H100, "float32", 64, "plain"),
        (V100, "bfloat16", 64, "plain"),
        (MI300, "bfloat16", 64, "plain"),
        (CPU, "bfloat16", 64, "plain"),
        (TPU, "bfloat16", 64, "plain"),
    ],
)
def test_cudnn_is_chosen_where_it_can_run(device, dtype, key_dim, expected):
    assert attention_on(device, dtype, key_dim) == expected


@pytest.fixture(params=["xla", pytest.param("cudnn", marks=on_gpu)])
def context(request):
    """What cuDNN is asked for, computed by XLA anywhere and by cuDNN itself on a GPU."""
    return partial(cudnn_context, implementation=request.param)


@pytest.mark.parametrize(
    ("tokens", "key_dim"),
    first_by_default([(33, 16), (17, 64), (64, 48), (128, 128), (513, 75), (1000, 64)]),
)
def test_context_and_gradients_are_the_plain_ones(tokens, key_dim, context):
    shape, random = (3, tokens, 4, key_dim), np.random.default_rng(0)
    heads = [jnp.asarray(random.standard_normal(shape), jnp.bfloat16) for _ in range(4)]
    lengths = jnp.array([tokens, max(1, tokens // 3), 1])
    mask = (jnp.arange(tokens) < lengths[:, None])[:, None, None, :]

    def with_gradients(function, query, key, value, gradient):
        context, back = jax.vjp(lambda *heads: function(*heads, mask), query, key, value)
        return context, *back(gradient)

    got = jax.jit(partial(with_gradients, context))(*heads)
    # The plain form in float32: both forms round, each in its own places.
    exact = [x.astype(jnp.float32) for x in heads]
    expected = with_gradients(lambda *heads: attend(*heads)[0], *exact)
    for array, reference in zip(got, expected, strict=True):
        assert array.dtype == jnp.bfloat16
        array, reference = (np.asarray(x, np.float32) for x in (array, reference))
        assert np.isfinite(array).all()
        assert np.linalg.norm(array - reference) <= 3e-2 * np.linalg.norm(reference)


def test_a_row_of_padding_alone_gives_no_nan(context):
    query = jnp.ones((2, 16, 2, 64), jnp.bfloat16)
    mask = jnp.zeros((2, 1, 1, 16), bool)
    value, back = jax.vjp(lambda heads: context(heads, heads, heads, mask), query)
    assert np.isfinite(np.asarray(value, np.float32)).all()
    assert np.isfinite(np.asarray(back(value)[0], np.float32)).all()
