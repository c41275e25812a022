"""Dropout of what adapters and backbone compute, with a key for each example."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.random import threefry2x32_p

from ntjax.models.layers import saved_for_backward


class Dropout(NamedTuple):
    """What is dropped in a training step. Rates are traced: members of a population may differ.

    Attributes:
        rate: of the adapter's own dropout; None to drop nothing.
        keys: one random key per example [batch], so that the draw does not depend on how the
            batch is spread over devices or accumulation steps.
        backbone: of what attention and feed-forward add to the residual stream; None likewise.
    """

    rate: jax.Array | float | None
    keys: jax.Array
    backbone: jax.Array | float | None = None


def drop(
    x: jax.Array, rate: jax.Array | float, keys: jax.Array, place: jax.Array | int
) -> jax.Array:
    """Set each number of [batch, tokens, dim] to 0 with probability `rate`, and scale the others.

    Arguments:
        x: what is dropped.
        rate: taken to the nearest 1/65536: 16 random bits decide.
        keys: one random key per example [batch].
        place: number of the place in the model; places draw independently.
    """
    draws = _sixteen_bits(keys, place, x.shape[1:])
    kept = saved_for_backward(draws >= jnp.round(rate * 2.0**16).astype(jnp.uint32))
    return jnp.where(kept, x / (1.0 - rate), 0.0).astype(x.dtype)


def _sixteen_bits(keys: jax.Array, place: jax.Array | int, shape: tuple[int, ...]) -> jax.Array:
    """Random whole numbers below 65536, uint32 [batch, *shape]; an example's depend on its key.

    Threefry (Salmon et al. 2011), the generator of `jax.random`, turns a key and a counter of two
    words into two random words. `jax.random.bernoulli` keeps 32 of their 64 bits for each draw,
    and a TPU program has the twenty rounds written out wherever a mask is needed: here the words
    are cut into four draws, and the place in the model is half of the counter.
    """
    tokens, dim = shape
    quarter = -(-dim // 4)
    first, second = jnp.moveaxis(jax.random.key_data(keys)[..., :2], -1, 0)[..., None, None]
    token = jax.lax.broadcasted_iota(jnp.uint32, (1, tokens, quarter), 1)
    counter = token * quarter + jax.lax.broadcasted_iota(jnp.uint32, (1, tokens, quarter), 2)
    # One counter for one number of the input, however many tokens of padding follow.
    place = jnp.asarray(place, jnp.uint32)
    words = threefry2x32_p.bind(*jnp.broadcast_arrays(first, second, place, counter))
    halves = [half for word in words for half in (word & 0xFFFF, word >> 16)]
    return jnp.concatenate(halves, axis=-1)[..., :dim]
