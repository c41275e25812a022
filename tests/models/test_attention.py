"""Attention without its weights, against NumPy in float64, the plain form and differences."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from ntjax.models.attention import attend, attention_context
from ntjax.models.transformer import recomputed

pytestmark = pytest.mark.usefixtures("quick_compilation")

# [batch, tokens, heads, key_dim]; 513 tokens are the last two heads of three in blocks of their own
SHAPES = [(3, 17, 4, 8), (2, 33, 3, 20), (1, 513, 6, 64), (2, 65, 2, 75), (1, 1100, 2, 8)]


def draw(shape, seed=0, dtype=np.float32):
    """Query, key, value and a gradient of the context; scores of some size."""
    random = np.random.default_rng(seed)
    return tuple(jnp.asarray(random.normal(size=shape) * 1.5, dtype) for _ in range(4))


def padding(shape, seed=1):
    """True at real tokens: rows of several lengths, and holes."""
    random = np.random.default_rng(seed)
    batch, tokens = shape[:2]
    real = np.arange(tokens) < random.integers(tokens // 2, tokens + 1, (batch, 1))
    real &= random.random((batch, tokens)) < 0.9
    real[:, 0] = True
    return real[:, None, None, :]


def reference(query, key, value, mask, gradient):
    """Context and gradients in float64, from the definition."""
    query, key, value, gradient = (
        np.asarray(x, np.float64).swapaxes(1, 2) for x in (query, key, value, gradient)
    )
    scale = query.shape[-1] ** -0.5
    scores = np.where(mask, query @ key.swapaxes(2, 3) * scale, -1e300)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    of_weights = gradient @ value.swapaxes(2, 3)
    of_scores = weights * (of_weights - (weights * of_weights).sum(-1, keepdims=True)) * mask
    results = (
        weights @ value,
        of_scores @ key * scale,
        of_scores.swapaxes(2, 3) @ query * scale,
        weights.swapaxes(2, 3) @ gradient,
    )
    return tuple(result.swapaxes(1, 2) for result in results)


@jax.jit
def with_gradients(query, key, value, mask, gradient):
    context, back = jax.vjp(lambda *heads: attention_context(*heads, mask), query, key, value)
    return context, *back(gradient)


@jax.jit
def plain_with_gradients(query, key, value, mask, gradient):
    context, back = jax.vjp(lambda *heads: attend(*heads, mask)[0], query, key, value)
    return context, *back(gradient)


def assert_near(got, expected, tolerance, plain=None):
    """Near, or at most four times as far off as the plain form on the same processor, if given.

    How far float32 is off depends on the order in which a processor sums: more on those with
    short vectors.
    """
    for name, one, other, beside in zip(
        ("context", "query", "key", "value"), got, expected, plain or expected, strict=True
    ):
        assert one.shape == other.shape
        bound = max(tolerance * np.abs(other).max(), 4 * np.abs(beside - other).max())
        np.testing.assert_allclose(one, other, rtol=0, atol=bound, err_msg=name)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_padding_masks(shape):
    *heads, gradient = draw(shape)
    mask = padding(shape)
    got = with_gradients(*heads, mask, gradient)
    plain = plain_with_gradients(*heads, mask, gradient)
    exact = reference(*heads, mask, gradient)
    assert_near(got, exact, 2e-6, plain)
    # What stands at <pad> moves nothing, and is moved by nothing.
    for of_key in got[2:]:
        assert not np.asarray(of_key)[~mask[:, 0, 0]].any()


@pytest.mark.parametrize("shape", SHAPES[:2], ids=str)
def test_full_masks(shape):
    *heads, gradient = draw(shape)
    batch, tokens = shape[:2]
    mask = np.random.default_rng(2).random((batch, 1, tokens, tokens)) < 0.6
    mask |= np.eye(tokens, dtype=bool)
    got = with_gradients(*heads, mask, gradient)
    assert_near(got, reference(*heads, mask, gradient), 2e-6)


@pytest.mark.parametrize("full", [False, True])
def test_a_row_of_padding_alone(full):
    # Weighs all keys alike, as the plain form and the published code do; and nothing is NaN.
    shape = (2, 17, 4, 8)
    *heads, gradient = draw(shape)
    mask = np.ones((2, 1, 1, 17), bool)
    mask[1] = False
    if full:
        mask = np.broadcast_to(mask, (2, 1, 17, 17))
    got = with_gradients(*heads, mask, gradient)
    assert_near(got, reference(*heads, mask, gradient), 2e-6)
    everywhere = np.broadcast_to(np.asarray(heads[2])[1].mean(0), (17, 4, 8))
    np.testing.assert_allclose(got[0][1], everywhere, atol=1e-6)


def test_large_scores():
    # Exponentials of these overflow and vanish unless each query's maximum is taken off first.
    query, key, value, gradient = draw((2, 33, 3, 20))
    got = with_gradients(query * 30, key, value, padding((2, 33)), gradient)
    expected = reference(query * 30, key, value, padding((2, 33)), gradient)
    assert np.ptp(np.asarray(got[0])) > 1
    assert_near(got, expected, 2e-5)


def test_the_gradient_is_that_of_differences():
    *heads, _ = draw((2, 9, 2, 4))
    run = partial(attention_context, mask=padding((2, 9)))
    check_grads(run, heads, order=1, modes=["rev"], atol=1e-2, rtol=1e-2)


def test_the_plain_form_is_the_same():
    *heads, gradient = draw((2, 33, 3, 20))
    mask = padding((2, 33))
    plain = plain_with_gradients(*heads, mask, gradient)
    assert_near(with_gradients(*heads, mask, gradient), plain, 1e-6)


def test_bfloat16_is_rounded_once():
    *heads, gradient = draw((2, 65, 2, 20), dtype=jnp.bfloat16)
    mask = padding((2, 65))
    got = with_gradients(*heads, mask, gradient)
    assert {x.dtype for x in got} == {jnp.dtype(jnp.bfloat16)}
    wide = [x.astype(jnp.float32) for x in got]
    assert_near(wide, reference(*heads, mask, gradient), 8e-3)


@pytest.mark.parametrize("sharpness", [3, 10, 30])
def test_bfloat16_where_one_key_has_nearly_all_the_weight(sharpness):
    # There the gradient of a score is a small difference of two large numbers, one of which is
    # made from the context.
    query, *others, gradient = draw((2, 65, 2, 20), dtype=jnp.bfloat16)
    heads = ((query * sharpness).astype(jnp.bfloat16), *others)
    mask = padding((2, 65))
    expected = reference(*heads, mask, gradient)
    blocks = with_gradients(*heads, mask, gradient)
    context, back = jax.vjp(lambda *heads: attend(*heads, mask)[0], *heads)
    for got in (blocks, (context, *back(gradient))):
        assert_near([x.astype(jnp.float32) for x in got], expected, 5e-3)


def test_members_of_a_population():
    members = [draw((2, 17, 2, 8), seed) for seed in range(3)]
    masks = np.stack([padding((2, 17), seed) for seed in range(3)])
    query, key, value, gradient = (jnp.stack(x) for x in zip(*members, strict=True))
    together = jax.vmap(with_gradients)(query, key, value, masks, gradient)
    for number, (*heads, gradient) in enumerate(members):
        alone = with_gradients(*heads, masks[number], gradient)
        assert_near([x[number] for x in together], alone, 1e-6)


@pytest.mark.parametrize("rematerialise", [False, True])
def test_inside_a_scan(rematerialise):
    *heads, _ = draw((2, 17, 2, 8))
    mask = padding((2, 17))

    def loss(attention, heads):
        def layer(query, _):
            return attention(query, heads[1], heads[2], mask), None

        body = jax.checkpoint(layer) if rematerialise else layer
        return (jax.lax.scan(body, heads[0], None, length=3)[0] ** 2).sum()

    got = jax.grad(partial(loss, attention_context))(tuple(heads))
    plain = jax.grad(partial(loss, lambda *arguments: attend(*arguments)[0]))(tuple(heads))
    for one, other in zip(got, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 * np.abs(other).max())


def bytes_kept(attention, tokens):
    """Bytes that the way back needs, beyond its arguments."""
    shape = jax.ShapeDtypeStruct((1, tokens, 2, 8), jnp.float32)
    mask = np.ones((1, 1, 1, tokens), bool)

    def residuals(*heads):
        return jax.vjp(lambda *heads: attention(*heads, mask), *heads)[1]

    return sum(leaf.size * 4 for leaf in jax.tree.leaves(jax.eval_shape(residuals, *[shape] * 3)))


def test_no_weights_are_kept():
    square = 2 * 128 * 128 * 4
    assert bytes_kept(lambda *arguments: attend(*arguments)[0], 128) > square
    assert bytes_kept(attention_context, 128) < square / 2
    assert bytes_kept(attention_context, 256) < 2.1 * bytes_kept(attention_context, 128)


def programs(platform):
    """The program of attention and its gradient, lowered on this host for a platform."""
    *heads, gradient = (jax.ShapeDtypeStruct((2, 512, 4, 8), jnp.float32),) * 4
    mask = jax.ShapeDtypeStruct((2, 1, 1, 512), bool)
    return with_gradients.trace(*heads, mask, gradient).lower(lowering_platforms=(platform,))


def test_blocks_are_for_the_cpu_wherever_it_is_compiled():
    # Eight heads of 512 x 512 scores: two blocks, in a loop.
    assert "stablehlo.while" in programs("cpu").as_text()
    assert "stablehlo.while" not in programs("tpu").as_text()


def test_recomputed_keeps_inputs_alone():
    x = jnp.linspace(-2, 2, 9)

    def swish(x):
        return x / (1 + jnp.exp(-x))

    leaves = jax.tree.leaves(jax.vjp(recomputed(swish), x)[1])
    assert [leaf.shape for leaf in leaves] == [x.shape]
    np.testing.assert_array_equal(recomputed(swish)(x), swish(x))
    np.testing.assert_allclose(
        jax.grad(lambda x: recomputed(swish)(x).sum())(x),
        jax.grad(lambda x: swish(x).sum())(x),
        rtol=1e-6,
    )
