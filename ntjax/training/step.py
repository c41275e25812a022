"""One optimiser step, written for one member of a population.

Frozen weights come first and are shared. What may differ between members (adapter, head, optimiser
state, learning rate, dropout rate, random key, batch) is an argument, so that `jax.vmap` over
those trains many members over one backbone; `jax.pmap` spreads the rows of a batch over devices.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ntjax.adapters import Adapter, Dropout
from ntjax.adapters.apply import forward
from ntjax.models import heads
from ntjax.models.config import TransformerConfig
from ntjax.models.heads import HeadConfig
from ntjax.training.optimizers import OptimizerConfig, make_optimizer, schedule_factor

DEVICES = "devices"


class Trainable(NamedTuple):
    """What is differentiated: adapter and head, float32 master weights."""

    adapter: Adapter
    head: Any


class Member(NamedTuple):
    """One member's state between steps."""

    trainable: Trainable
    optimizer: Any


class Hyperparameters(NamedTuple):
    """Traced scalars in which members may differ; `key` seeds the member's dropout."""

    learning_rate: jax.Array
    dropout: jax.Array
    key: jax.Array


class DeviceBatch(NamedTuple):
    """One device's share of a batch; leading axis: accumulation steps.

    Attributes:
        tokens: int32 [accumulation, rows, tokens].
        labels: int32 [accumulation, rows], or float32 with the labels of a row as a last axis.
        weights: float32 [accumulation, rows], 0 for slots that hold no row of their own.
        slots: int32 [accumulation, rows], place in the whole batch; names the dropout key.
        positions: int32 [accumulation, rows, chosen], the tokens a language model is to predict;
            labels and weights then have that shape too.
    """

    tokens: jax.Array
    labels: jax.Array
    weights: jax.Array
    slots: jax.Array
    positions: jax.Array | None = None


@dataclass(frozen=True)
class StepConfig:
    """What is compiled into the step."""

    model: TransformerConfig
    head: HeadConfig
    optimizer: OptimizerConfig
    dtype: str = "float32"
    rematerialise: bool = False
    use_dropout: bool = False
    task: str = "classification"


def cross_entropy(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Negative log-likelihood [...] from logits [..., classes]."""
    return optax.softmax_cross_entropy_with_integer_labels(outputs, labels)


def label_cross_entropy(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Binary cross-entropy [rows], the mean over a row's known labels.

    Arguments:
        outputs: logits [rows, labels].
        labels: float32 [rows, labels], 1, 0, or below 0 where not known.
    """
    known = labels >= 0
    losses = optax.sigmoid_binary_cross_entropy(outputs, labels)
    return jnp.where(known, losses, 0.0).sum(axis=1) / jnp.maximum(known.sum(axis=1), 1)


def squared_error(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Squared error [rows] of outputs [rows, 1] against standardised targets [rows]."""
    return (outputs[:, 0] - labels) ** 2


LOSSES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "classification": cross_entropy,
    "multilabel": label_cross_entropy,
    "regression": squared_error,
    "masked": cross_entropy,
}


def head_outputs(
    config: StepConfig,
    params: Any,
    trainable: Trainable,
    tokens: jax.Array,
    dropout: Dropout | None = None,
) -> jax.Array:
    """The head's outputs [rows, outputs] for token ids [rows, tokens]."""
    last = config.model.num_layers
    result = forward(
        config.model,
        config.dtype,
        params,
        tokens,
        trainable.adapter,
        dropout,
        logits=False,
        embeddings_layers=(last,),
        rematerialise=config.rematerialise,
    )
    return heads.apply(config.head, trainable.head, result[f"embeddings_{last}"], tokens)


def masked_logits(
    config: StepConfig,
    params: Any,
    trainable: Trainable,
    tokens: jax.Array,
    positions: jax.Array,
    dropout: Dropout | None = None,
) -> jax.Array:
    """The language model's logits [rows, chosen, vocabulary] at positions [rows, chosen]."""
    return forward(
        config.model,
        config.dtype,
        params,
        tokens,
        trainable.adapter,
        dropout,
        positions=positions,
        rematerialise=config.rematerialise,
    )["logits"]


def masked_scores(
    config: StepConfig,
    params: Any,
    trainable: Trainable,
    tokens: jax.Array,
    positions: jax.Array,
    targets: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Loss in nats and whether the likeliest token is the true one, both [rows, chosen]."""
    logits = masked_logits(config, params, trainable, tokens, positions)
    return cross_entropy(logits, targets), logits.argmax(axis=-1) == targets


def summed_gradients(
    config: StepConfig,
    params: Any,
    trainable: Trainable,
    hyperparameters: Hyperparameters,
    step: jax.Array,
    batch: DeviceBatch,
) -> tuple[jax.Array, jax.Array, Trainable]:
    """Sum of loss, of weights and of gradients over this device's rows."""
    step_key = jax.random.fold_in(hyperparameters.key, step)

    def loss(trainable: Trainable, rows: DeviceBatch) -> jax.Array:
        dropout = None
        if config.use_dropout:
            keys = jax.vmap(partial(jax.random.fold_in, step_key))(rows.slots)
            dropout = Dropout(hyperparameters.dropout, keys)
        if rows.positions is None:
            outputs = head_outputs(config, params, trainable, rows.tokens, dropout)
        else:
            outputs = masked_logits(config, params, trainable, rows.tokens, rows.positions, dropout)
        return jnp.sum(rows.weights * LOSSES[config.task](outputs, rows.labels))

    def one_pass(rows: DeviceBatch) -> tuple[jax.Array, jax.Array, Trainable]:
        value, gradients = jax.value_and_grad(loss)(trainable, rows)
        return value, rows.weights.sum(), gradients

    def accumulate(sums: Any, rows: DeviceBatch) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, sums, one_pass(rows)), None

    if len(batch.tokens) == 1:
        return one_pass(jax.tree.map(lambda array: array[0], batch))
    zeros = (jnp.zeros(()), jnp.zeros(()), jax.tree.map(jnp.zeros_like, trainable))
    return jax.lax.scan(accumulate, zeros, batch)[0]


def train_step(
    config: StepConfig,
    params: Any,
    member: Member,
    hyperparameters: Hyperparameters,
    step: jax.Array,
    batch: DeviceBatch,
) -> tuple[Member, dict[str, jax.Array]]:
    """One update of one member, inside a mapped axis `devices`.

    Losses and gradients are summed over accumulation steps and devices and divided once by the
    number of rows, so that neither changes the result.

    Returns:
        The new state; `loss` (mean over rows) and `gradient_norm` (before clipping).
    """
    sums = summed_gradients(config, params, member.trainable, hyperparameters, step, batch)
    loss, rows, gradients = jax.lax.psum(sums, DEVICES)
    gradients = jax.tree.map(lambda gradient: gradient / rows, gradients)
    updates, state = make_optimizer(config.optimizer).update(
        gradients, member.optimizer, member.trainable
    )
    rate = hyperparameters.learning_rate * schedule_factor(config.optimizer, step)
    updates = jax.tree.map(lambda update: -rate * update, updates)
    trainable = optax.apply_updates(member.trainable, updates)
    metrics = {
        "loss": loss / rows,
        "gradient_norm": optax.tree.norm(gradients),
        "learning_rate": rate,
    }
    return Member(trainable, state), metrics


# Kept, so that the same program is not compiled again for the next population, or for a score.
@lru_cache(maxsize=64)
def compile_train_step(
    config: StepConfig, members: int = 1, devices: tuple[jax.Device, ...] | None = None
) -> Callable:
    """`step(params, member, hyperparameters, step, batch)` over `devices` (default: all local).

    Frozen weights, state and metrics are replicated; the batch's leading axis is the devices'.
    The state is donated: it is overwritten in place.

    With more than one member, every leaf of `member` and `hyperparameters` and all metrics have a
    leading axis [members, ...], the batch is [devices, members, accumulation, rows, ...], and one
    program trains all over the same frozen weights.
    """
    one_step = partial(train_step, config)
    if members > 1:
        one_step = jax.vmap(one_step, in_axes=(None, 0, 0, None, 0))
    mapped = jax.pmap(
        one_step,
        axis_name=DEVICES,
        in_axes=(None, None, None, None, 0),
        out_axes=(None, None),
        donate_argnums=(1,),
        devices=devices,
    )
    # What is named is not this machine's: an accelerator's program, compiled ahead of time.
    return mapped if devices else without_widened_weights(mapped, config.dtype, (1,))


@lru_cache(maxsize=64)
def compile_predict(config: StepConfig) -> Callable:
    """`predict(params, trainable, tokens [devices, rows, tokens])` -> [devices, rows, outputs]."""
    mapped = jax.pmap(partial(head_outputs, config), axis_name=DEVICES, in_axes=(None, None, 0))
    return without_widened_weights(mapped, config.dtype)


@lru_cache(maxsize=64)
def compile_masked_scores(config: StepConfig) -> Callable:
    """`masked_scores` of arrays [devices, rows, ...]."""
    mapped = jax.pmap(
        partial(masked_scores, config), axis_name=DEVICES, in_axes=(None, None, 0, 0, 0)
    )
    return without_widened_weights(mapped, config.dtype)


def without_widened_weights(
    mapped: Callable, dtype: str, donate_argnums: tuple[int, ...] = ()
) -> Callable:
    """The same function, compiled so that a CPU keeps no float32 copy of bfloat16 weights.

    XLA computes in float32 there: it converts the stacked weights, takes a layer's slice of them
    in the scan, and then moves the conversion, which no layer changes, out of the scan. All layers
    are then held in float32 (10 GB more for a model of 2.5 billion parameters). Left in its place,
    the conversion is fused with the slice and touches one layer at a time. Float32 programs, and
    those of other devices, have no such conversion and are compiled as ever.
    """
    if dtype == "float32" or jax.default_backend() != "cpu":
        return mapped
    # Not `mapped` itself: jit would take over its attributes, and with them its own `lower`.
    return jax.jit(
        lambda *arguments: mapped(*arguments),
        donate_argnums=donate_argnums,
        compiler_options={"xla_disable_hlo_passes": "while-loop-invariant-code-motion"},
    )
