"""The members of a population: their states as one tree, and their batches as one array.

Every array of a population has a leading axis `[members, ...]`, a population of one too.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntjax.datasets.batching import Batch
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.forward import Trainable
from ntjax.sequences.tokenizer import Tokenizer
from ntjax.training.optimizers import OptimizerConfig, make_optimizer


class Member(NamedTuple):
    """One member's state between steps."""

    trainable: Trainable
    optimizer: Any


class Hyperparameters(NamedTuple):
    """Traced scalars in which members may differ.

    Attributes:
        learning_rate: peak, of the adapter.
        head_learning_rate: peak, of the head.
        dropout: rate of the adapter's.
        backbone_dropout: rate of the backbone's.
        key: seeds the member's dropout.
    """

    learning_rate: jax.Array
    head_learning_rate: jax.Array
    dropout: jax.Array
    backbone_dropout: jax.Array
    key: jax.Array


class DeviceBatch(NamedTuple):
    """One device's share of a batch; leading axis: accumulation steps.

    Attributes:
        tokens: int32 [accumulation, rows, tokens].
        labels: int32 [accumulation, rows], or float32 with the labels of a row as a last axis.
        weights: float32 [accumulation, rows], 0 for slots that hold no row of their own.
        slots: int32 [accumulation, rows], place in the whole batch; names the dropout key.
        positions: int32 [accumulation, rows, chosen], the tokens a language model is to predict;
            None where a head is trained.
    """

    tokens: jax.Array
    labels: jax.Array
    weights: jax.Array
    slots: jax.Array
    positions: jax.Array | None = None


def new_member(optimizer: OptimizerConfig, trainable: Trainable) -> Member:
    """Return a member before its first step, on all local devices."""
    # Copied: the step overwrites its state, and `trainable` stays the caller's.
    trainable = jax.device_put(jax.tree.map(jnp.array, trainable), replicated_sharding())
    state = make_optimizer(optimizer).init(trainable)
    return Member(trainable, jax.device_put(state, replicated_sharding()))


def stack(trees: Sequence[Any]) -> Any:
    """Make one tree of a population, leaves `[members, ...]`."""
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
    return jax.device_put(stacked, replicated_sharding())


@jax.jit
def take(population: Any, number: int) -> Any:
    """Copy one member's tree: the next step overwrites the population's own arrays."""
    return jax.tree.map(lambda leaf: leaf[number], population)


@jax.jit
def replaced(population: Any, source: Any, number: int) -> Any:
    """Return `population` with one member's tree copied from the population `source`."""
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
    """Every member's batch: [devices, members, accumulation, rows / both].

    Shorter batches are padded to the longest, so that one program serves all members.
    """
    parts = [spread(batch, accumulation) for batch in batches]
    longest = max(part.tokens.shape[-1] for part in parts)
    parts = [part._replace(tokens=_padded(part.tokens, longest)) for part in parts]
    return jax.tree.map(lambda *arrays: np.stack(arrays, axis=1), *parts)


def _padded(tokens: np.ndarray, length: int) -> np.ndarray:
    missing = length - tokens.shape[-1]
    widths = [(0, 0)] * (tokens.ndim - 1) + [(0, missing)]
    return np.pad(tokens, widths, constant_values=Tokenizer.pad_id) if missing else tokens
