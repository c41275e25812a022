"""Functions that keep their inputs alone for the way back."""

from collections.abc import Callable

import jax


def recomputed(function: Callable) -> Callable:
    """The same function of arrays; its gradient computes what it needs from the inputs again.

    For what is cheap to compute and large to keep, such as an activation: in a scan over layers
    everything kept is written to memory once per layer, and on a CPU that takes longer than the
    arithmetic. Reverse mode only. `jax.checkpoint` would do the same and forbid the compiler to
    merge what is computed twice, which a scan, whose two directions are two loops, has no need of.
    """

    @jax.custom_vjp
    def wrapped(*arguments: jax.Array) -> jax.Array:
        return function(*arguments)

    def forward(*arguments: jax.Array) -> tuple[jax.Array, tuple]:
        return function(*arguments), arguments

    def backward(arguments: tuple, gradient: jax.Array) -> tuple:
        return jax.vjp(function, *arguments)[1](gradient)

    wrapped.defvjp(forward, backward)
    return wrapped
