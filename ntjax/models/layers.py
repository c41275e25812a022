"""The stack of layers: scanned, so that the time to compile does not grow with depth.

A head that reads the first token alone needs of the last layer that token's output alone, from the
keys and values of all tokens: `with_last` applies another form of the layer there. What it keeps of
the others for the way back are the arrays marked `saved_for_backward`, and cuDNN's results.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

_STACK = "layers"  # the stacked weights in the tree of parameters

_SAVED = "saved"
_CUDNN = "dot_product_attention"  # part of the names of the operations by which JAX calls cuDNN

# layer(carry, number, inputs) -> (carry, None): layer `number`, counted from 1, as Haiku modules.
Layer = Callable[[Any, jax.Array, Any], tuple[Any, None]]


def saved_for_backward(x: jax.Array) -> jax.Array:
    """Mark an array that is dear to compute and needed on the way back."""
    return checkpoint_name(x, _SAVED)


def _is_saved(primitive: Any, *_: Any, **parameters: Any) -> bool:
    """Say of an operation whether its result is saved: a policy of `jax.checkpoint`."""
    return parameters.get("name") == _SAVED or _CUDNN in primitive.name


def scanned(count: int, layer: Layer, carry: Any, per_layer: Any) -> Any:
    """Apply `count` layers one after the other.

    Arguments:
        count: layers.
        layer: one of them.
        carry: what enters the first.
        per_layer: pytree of what each is handed, every leaf [layers, ...].

    Returns:
        What leaves the last.
    """
    stack = hk.layer_stack(count, with_per_layer_inputs=True, name=_STACK)
    return stack(layer)(carry, jnp.arange(1, count + 1), per_layer)[0]


def with_last(count: int, layer: Layer, last: Layer, carry: Any, per_layer: Any) -> Any:
    """Do as `scanned`, but apply `last` in place of the last layer; only with weights at hand.

    The other layers are not scanned over a shorter stack, which would be a copy of nearly all
    weights: each takes its own from the whole stack, and takes them again on the way back. Made for
    weights that are not trained: their gradient would be summed over whole stacks.

    Raises:
        ValueError: there are no weights yet.
    """
    weights = hk.lift(lambda: {}, name=_STACK)()  # those that are at hand: nothing is drawn
    if not weights:
        raise ValueError("weights are drawn with all tokens of the last layer")
    numbers = jnp.arange(1, count + 1)

    @partial(jax.checkpoint, prevent_cse=False, policy=_is_saved)
    def one(carry: Any, inputs: Any) -> tuple[Any, None]:
        number, given = inputs
        own = jax.tree.map(
            lambda stack: jax.lax.dynamic_index_in_dim(stack, number - 1, keepdims=False), weights
        )
        return hk.transform(layer).apply(own, None, carry, number, given)

    shorter = jax.tree.map(lambda leaf: leaf[:-1], (numbers, per_layer))
    carry, _ = jax.lax.scan(one, carry, shorter)
    own, number, given = jax.tree.map(lambda leaf: leaf[-1], (weights, numbers, per_layer))
    return hk.transform(last).apply(own, None, carry, number, given)[0]
