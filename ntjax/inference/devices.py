"""Where weights, members and batches lie: on all local devices, one or many members at a time.

A population of one has the arrays of a single member; of more, every array of the member has a
leading axis `[members, ...]`.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntjax.datasets.batching import Batch
from ntjax.sequences.tokenizer import Tokenizer
from ntjax.training.optimizers import make_optimizer
from ntjax.training.step import DEVICES, DeviceBatch, Member, StepConfig, Trainable


def replicated_sharding() -> jax.sharding.NamedSharding:
    """One copy on each local device.

    A pmapped function that is handed arrays on one device copies them to the others at every
    call; with this placement it finds them there.
    """
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (DEVICES,))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())


def new_member(config: StepConfig, trainable: Trainable) -> Member:
    """A member before its first step, on all local devices."""
    # Copied: the step overwrites its state, and `trainable` stays the caller's.
    trainable = jax.device_put(jax.tree.map(jnp.array, trainable), replicated_sharding())
    optimizer = make_optimizer(config.optimizer).init(trainable)
    return Member(trainable, jax.device_put(optimizer, replicated_sharding()))


def stack(trees: Sequence[Any]) -> Any:
    """One tree of a population, leaves `[members, ...]`; that of a single member is its own."""
    if len(trees) == 1:
        return jax.device_put(trees[0], replicated_sharding())
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
    return jax.device_put(stacked, replicated_sharding())


def take(population: Any, number: int, members: int) -> Any:
    """A copy of one member's tree: the next step overwrites the population's own arrays."""
    if members == 1:
        return jax.tree.map(jnp.copy, population)
    return _taken(population, np.int32(number))


@jax.jit
def _taken(population: Any, number: jax.Array) -> Any:
    return jax.tree.map(lambda leaf: leaf[number], population)


def replaced(population: Any, source: Any, number: int, members: int) -> Any:
    """`population` with one member's tree taken, as a copy, from the population `source`."""
    if members == 1:
        return jax.tree.map(jnp.copy, source)
    return _replaced(population, source, np.int32(number))


@jax.jit
def _replaced(population: Any, source: Any, number: jax.Array) -> Any:
    return jax.tree.map(lambda leaf, new: leaf.at[number].set(new[number]), population, source)


def spread(batch: Batch, accumulation: int) -> DeviceBatch:
    """[rows] -> [devices, accumulation, rows / both]; the batch's size must be a multiple."""
    slots = np.arange(len(batch.rows), dtype=np.int32)
    whole = DeviceBatch(batch.tokens, batch.labels, batch.weights, slots, batch.positions)
    devices = len(jax.local_devices())
    rows = len(batch.rows) // (devices * accumulation)
    return jax.tree.map(
        lambda array: array.reshape(devices, accumulation, rows, *array.shape[1:]), whole
    )


def spread_population(batches: Sequence[Batch], accumulation: int) -> DeviceBatch:
    """Every member's batch: [devices, members, accumulation, rows / both]; of one as `spread`.

    Shorter batches are padded to the longest, so that one program serves all members.
    """
    parts = [spread(batch, accumulation) for batch in batches]
    if len(parts) == 1:
        return parts[0]
    longest = max(part.tokens.shape[-1] for part in parts)
    parts = [part._replace(tokens=_padded(part.tokens, longest)) for part in parts]
    return jax.tree.map(lambda *arrays: np.stack(arrays, axis=1), *parts)


def _padded(tokens: np.ndarray, length: int) -> np.ndarray:
    missing = length - tokens.shape[-1]
    widths = [(0, 0)] * (tokens.ndim - 1) + [(0, missing)]
    return np.pad(tokens, widths, constant_values=Tokenizer.pad_id) if missing else tokens
