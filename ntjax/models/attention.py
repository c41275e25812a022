"""Attention: a form that returns its weights, and one that never holds them all.

`attention_context` computes what `attend` computes, without the weights. It keeps queries, keys
and values for the way back and computes the weights again there, as FlashAttention does (Dao et
al. 2022, algorithm 4): no array of [batch, heads, tokens, tokens] outlives a layer.

On a CPU memory is what attention waits for. There it works on a few heads at a time, whose scores
stay in the cache, and leaves to the matrix products what would otherwise be passes over a block:

    scores + padding mask         [q, 1] · [k, bias]           bias 0, or the least float at <pad>
    context and its divisor       exp(scores - m) · [v, 1]     m: each query's maximum
    scores - m, on the way back   [q, 1, -m] · [k, bias, 1]
    gradient of the weights       [g, -g·o] · [v, 1]           g: gradient of the context o

Which of these forms is compiled is decided by the platform a program is lowered for, so that a host
without an accelerator compiles the accelerator's.

NVIDIA GPUs have a third form, cuDNN's fused kernel, which holds no scores either. cuDNN must be
present when the program is traced, so `attention_on` chooses it when a program is built. Rows
shorter than `CUDNN_TOKENS` take the plain form there too.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp

from ntjax.models.layers import saved_for_backward

LEAST = jnp.finfo(jnp.float32).min
# Scores in a block: 4 MiB in float32. Four times fewer or more were not faster.
_BLOCK = 1 << 20

Heads = jax.Array  # [batch, tokens, heads, key_dim]
Attention = Literal["plain", "cudnn"]

# What cuDNN's kernel takes on every GPU it knows: head sizes of a multiple of 8 up to 128, from
# NVIDIA's compute capability 8 (Ampere) on.
_CUDNN_MULTIPLE, _CUDNN_WIDEST, _CUDNN_CAPABILITY = 8, 128, 8

# Of rows of 17 tokens cuDNN's kernel, whose tiles are longer, was the slower form on an H200. Where
# it becomes the faster one has not been measured (`scripts/benchmarks/on_gpu.py --only attention`).
CUDNN_TOKENS = 32


def precision_of(dtype: jnp.dtype) -> jax.lax.Precision | None:
    """True float32 products for float32, the platform's default for smaller types."""
    return jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None


def attend(query: Heads, key: Heads, value: Heads, mask: jax.Array) -> tuple[Heads, jax.Array]:
    """Scaled dot-product attention with a float32 softmax.

    Arguments:
        query, key, value: [batch, tokens, heads, key_dim].
        mask: bool, broadcastable to [batch, heads, tokens, tokens].

    Returns:
        Context [batch, tokens, heads, key_dim] and float32 weights [batch, heads, tokens, tokens].
    """
    precision = precision_of(query.dtype)
    scores = jnp.einsum(
        "bthd,bshd->bhts", query, key, precision=precision, preferred_element_type=jnp.float32
    )
    scores = scores * query.shape[-1] ** -0.5
    scores = jnp.where(mask, scores, LEAST)
    weights = jax.nn.softmax(scores, axis=-1)
    context = jnp.einsum("bhts,bshd->bthd", weights.astype(value.dtype), value, precision=precision)
    return context, weights


def attention_on(device: jax.Device, dtype: str, key_dim: int) -> Attention:
    """Choose the attention of a program that is built for a device.

    Arguments:
        device: one of those that will run the program.
        dtype: type of the computation; cuDNN has no float32.
        key_dim: dimensions of a head.
    """
    capability = str(getattr(device, "compute_capability", "")).partition(".")[0]
    nvidia = device.platform in ("gpu", "cuda") and capability.isdigit()
    fits = dtype == "bfloat16" and _padded_size(key_dim) <= _CUDNN_WIDEST
    return "cudnn" if nvidia and int(capability) >= _CUDNN_CAPABILITY and fits else "plain"


def cudnn_context(
    query: Heads,
    key: Heads,
    value: Heads,
    mask: jax.Array,
    implementation: Literal["cudnn", "xla"] = "cudnn",
) -> Heads:
    """Compute the context of `attend` by cuDNN's fused kernel.

    Padding must follow the real tokens of a row, as the tokenizer writes it: the kernel is told
    the number of real tokens. Head sizes are padded to a multiple of 8 with zeros, which change no
    score; the scale stays that of the true size.

    Arguments:
        query, key, value: bfloat16 [batch, tokens, heads, key_dim].
        mask: bool [batch, 1, 1, tokens], True at real tokens.
        implementation: "xla" computes the same anywhere, to check what cuDNN is asked for.

    Returns:
        [batch, tokens, heads, key_dim].
    """
    tokens, key_dim, real = query.shape[1], query.shape[-1], mask[:, 0, 0, :]
    # The kernel need not write the gradients of padding. This makes them 0, whatever stands there.
    key, value = (jnp.where(real[..., None, None], heads, 0) for heads in (key, value))
    # Tokens to an even number, which JAX asks of cuDNN where gradients are taken.
    widths = [(0, 0), (0, tokens % 2), (0, 0), (0, _padded_size(key_dim) - key_dim)]
    # A row without any token, such as an empty slot of a batch, looks at its first padding.
    lengths = jnp.maximum(real.sum(axis=-1, dtype=jnp.int32), 1)
    context = jax.nn.dot_product_attention(
        *(jnp.pad(heads, widths) for heads in (query, key, value)),
        scale=key_dim**-0.5,
        # All queries. As a constant, which JAX would put here, it lacks the axis of a population.
        query_seq_lengths=lengths * 0 + tokens + tokens % 2,
        key_value_seq_lengths=lengths,
        implementation=implementation,
    )
    return context[:, :tokens, :, :key_dim]


def _padded_size(key_dim: int) -> int:
    return -(-key_dim // _CUDNN_MULTIPLE) * _CUDNN_MULTIPLE


@jax.custom_vjp
def attention_context(query: Heads, key: Heads, value: Heads, mask: jax.Array) -> Heads:
    """The context of `attend`; its gradient is that of reverse mode only.

    Arguments:
        query, key, value: [batch, tokens, heads, key_dim].
        mask: bool [batch, 1, 1, tokens], True at keys that may be looked at; or, which is slower,
            anything broadcastable to [batch, heads, tokens, tokens].

    Returns:
        [batch, tokens, heads, key_dim].
    """
    return _forward(query, key, value, mask)[0]


def _forward(query: Heads, key: Heads, value: Heads, mask: jax.Array) -> tuple[Heads, tuple]:
    context, sums = _for_platform(mask, _forward_in_blocks, _forward_at_once)(
        query, key, value, mask
    )
    context, sums = jax.tree.map(saved_for_backward, (context, sums))
    return context.astype(query.dtype), (query, key, value, mask, context, sums)


def _backward(kept: tuple, gradient: Heads) -> tuple:
    mask = kept[3]
    return (*_for_platform(mask, _backward_in_blocks, _backward_at_once)(*kept, gradient), None)


attention_context.defvjp(_forward, _backward)


def _for_platform(mask: jax.Array, in_blocks: Callable, at_once: Callable) -> Callable:
    if mask.ndim == 4 and mask.shape[1:3] == (1, 1):
        return partial(jax.lax.platform_dependent, cpu=in_blocks, default=at_once)
    return at_once


def _forward_at_once(query: Heads, key: Heads, value: Heads, mask: jax.Array) -> tuple:
    unused = jnp.zeros((*query.shape[:3], 1))
    return attend(query, key, value, mask)[0].astype(jnp.float32), (unused, unused)


def _backward_at_once(
    query: Heads,
    key: Heads,
    value: Heads,
    mask: jax.Array,
    context: Heads,
    sums: tuple,
    gradient: Heads,
) -> tuple[Heads, Heads, Heads]:
    del context, sums
    return jax.vjp(lambda q, k, v: attend(q, k, v, mask)[0], query, key, value)[1](gradient)


def _forward_in_blocks(query: Heads, key: Heads, value: Heads, mask: jax.Array) -> tuple:
    """Context; and maximum and sum of every query's exponentials, [batch, tokens, heads, 1].

    All are float32: where one key has nearly all the weight, the gradient of the scores is a small
    difference of g·v and g·o, which a rounded context o would drown.
    """
    key_dim, ones = query.shape[-1], _ones_beside(query)

    def block(query: jax.Array, key: jax.Array, value: jax.Array) -> tuple:
        scores = _product(query, key, 2, 2)
        maximum = scores.max(axis=2, keepdims=True)
        return _product(jnp.exp(scores - maximum), value, 2, 1), maximum

    results = _in_blocks(
        block,
        _rows(query.astype(jnp.float32) * key_dim**-0.5, ones),
        _rows(key, _bias(mask, key)),
        _rows(value, ones),
    )
    summed, maximum = (_heads(rows, query) for rows in results)
    context, divisor = summed[..., :key_dim], summed[..., key_dim:]
    return context / divisor, (maximum, divisor)


def _backward_in_blocks(
    query: Heads,
    key: Heads,
    value: Heads,
    mask: jax.Array,
    context: Heads,
    sums: tuple,
    gradient: Heads,
) -> tuple[Heads, Heads, Heads]:
    """Gradients of query, key and value."""
    (maximum, divisor), key_dim = sums, query.shape[-1]
    scaled, gradient = query.astype(jnp.float32) * key_dim**-0.5, gradient / divisor
    shared = (gradient * context).sum(axis=-1, keepdims=True)
    # A query that may look nowhere weighs all keys alike, whatever its scores.
    alive = maximum > LEAST / 2
    scaled = jnp.where(alive, scaled, 0.0)
    of_weights = jnp.where(alive, jnp.concatenate([gradient, -shared], axis=-1), 0.0)
    ones = _ones_beside(query)

    def block(
        query: jax.Array,
        key: jax.Array,
        of_weights: jax.Array,
        value: jax.Array,
        query_columns: jax.Array,
        gradient_columns: jax.Array,
    ) -> tuple:
        exponentials = jnp.exp(_product(query, key, 2, 2))
        of_scores = exponentials * _product(of_weights, value, 2, 2)
        return (
            _product(of_scores, key[..., :key_dim], 2, 1),
            _product(query_columns, of_scores, 2, 1),
            _product(gradient_columns, exponentials, 2, 1),
        )

    of_query, of_key, of_value = _in_blocks(
        block,
        _rows(scaled, ones, -maximum),
        _rows(key, _bias(mask, key), ones),
        _rows(of_weights),
        _rows(value, ones),
        _columns(scaled),
        _columns(gradient),
    )
    return (
        (_heads(of_query, query) * key_dim**-0.5).astype(query.dtype),
        _heads(of_key.transpose(0, 2, 1), query).astype(query.dtype),
        _heads(of_value.transpose(0, 2, 1), query).astype(query.dtype),
    )


def _ones_beside(heads: Heads) -> jax.Array:
    return jnp.ones((*heads.shape[:3], 1))


def _bias(mask: jax.Array, key: Heads) -> jax.Array:
    bias = jnp.where(mask[:, 0, 0, :, None, None], 0.0, LEAST)
    return jnp.broadcast_to(bias, (*key.shape[:3], 1))


def _rows(*parts: Heads) -> jax.Array:
    """Parts beside each other, [batch * heads, tokens, dimensions] in float32."""
    heads = jnp.concatenate([part.astype(jnp.float32) for part in parts], axis=-1)
    return heads.transpose(0, 2, 1, 3).reshape(-1, heads.shape[1], heads.shape[3])


def _columns(heads: Heads) -> jax.Array:
    """[batch * heads, dimensions, tokens]."""
    return heads.transpose(0, 2, 3, 1).reshape(-1, heads.shape[3], heads.shape[1])


def _heads(rows: jax.Array, like: Heads) -> Heads:
    """The inverse of `_rows`."""
    batch, _, heads, _ = like.shape
    return rows.reshape(batch, heads, *rows.shape[1:]).transpose(0, 2, 1, 3)


def _product(first: jax.Array, second: jax.Array, first_axis: int, second_axis: int) -> jax.Array:
    """Sum over an axis of each, for every head."""
    dimensions = (((first_axis,), (second_axis,)), ((0,), (0,)))
    return jax.lax.dot_general(first, second, dimensions, precision=jax.lax.Precision.HIGHEST)


def _in_blocks(function: Callable, *arrays: jax.Array) -> tuple[jax.Array, ...]:
    """`function` of arrays [heads, ...], a few heads at a time; queries first, keys second."""
    heads, scores = len(arrays[0]), arrays[0].shape[1] * arrays[1].shape[1]
    most = max(1, _BLOCK // scores)
    size = max(number for number in range(1, heads + 1) if heads % number == 0 and number <= most)
    if size == heads:
        return function(*arrays)
    blocks = tuple(array.reshape(-1, size, *array.shape[1:]) for array in arrays)
    results = jax.lax.map(lambda block: function(*block), blocks)
    return tuple(result.reshape(heads, *result.shape[2:]) for result in results)
