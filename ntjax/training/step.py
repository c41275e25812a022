"""One optimiser step, written for one member of a population.

Frozen weights come first and are shared. What may differ between members (adapter, head, optimiser
state, learning rate, dropout rate, random key, batch) is an argument, so that `jax.vmap` over
those trains many members over one backbone, and the rows of a batch are spread over devices.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ntjax.adapters import Dropout
from ntjax.inference.devices import DEVICES, over_devices
from ntjax.inference.forward import ForwardConfig, Trainable, head_outputs, masked_logits
from ntjax.training.members import DeviceBatch, Hyperparameters, Member
from ntjax.training.optimizers import OptimizerConfig, make_optimizer, schedule_factor

Loss = Callable[[jax.Array, jax.Array], jax.Array]


@dataclass(frozen=True)
class StepConfig:
    """What is compiled into the step.

    Attributes:
        forward: the model's forward pass.
        optimizer: everything about the optimiser but the peak learning rate.
        loss: of outputs [rows, ...] and targets [rows, ...], such as a task's.
        use_dropout: whether the adapter drops anything, at the members' own rates.
        use_backbone_dropout: whether the backbone does, likewise.
    """

    forward: ForwardConfig
    optimizer: OptimizerConfig
    loss: Loss
    use_dropout: bool = False
    use_backbone_dropout: bool = False


def summed_gradients(
    config: StepConfig,
    params: Any,
    trainable: Trainable,
    hyperparameters: Hyperparameters,
    step: jax.Array,
    batch: DeviceBatch,
) -> tuple[jax.Array, jax.Array, Trainable]:
    """Sum loss, weights and gradients over this device's rows."""
    step_key = jax.random.fold_in(hyperparameters.key, step)

    def loss(trainable: Trainable, rows: DeviceBatch) -> jax.Array:
        dropout = _dropout(config, hyperparameters, step_key, rows.slots)
        if rows.positions is None:
            outputs = head_outputs(config.forward, params, trainable, rows.tokens, dropout)
        else:
            outputs = masked_logits(
                config.forward, params, trainable.adapter, rows.tokens, rows.positions, dropout
            )
        return jnp.sum(rows.weights * config.loss(outputs, rows.labels))

    def one_pass(rows: DeviceBatch) -> tuple[jax.Array, jax.Array, Trainable]:
        value, gradients = jax.value_and_grad(loss)(trainable, rows)
        return value, rows.weights.sum(), gradients

    def accumulate(sums: Any, rows: DeviceBatch) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, sums, one_pass(rows)), None

    if len(batch.tokens) == 1:
        return one_pass(jax.tree.map(lambda array: array[0], batch))
    zeros = (jnp.zeros(()), jnp.zeros(()), jax.tree.map(jnp.zeros_like, trainable))
    return jax.lax.scan(accumulate, zeros, batch)[0]


def _dropout(
    config: StepConfig, hyperparameters: Hyperparameters, step_key: jax.Array, slots: jax.Array
) -> Dropout | None:
    """What a step drops, with a key for each row; None if nothing."""
    if not (config.use_dropout or config.use_backbone_dropout):
        return None
    keys = jax.vmap(partial(jax.random.fold_in, step_key))(slots)
    return Dropout(
        hyperparameters.dropout if config.use_dropout else None,
        keys,
        hyperparameters.backbone_dropout if config.use_backbone_dropout else None,
    )


def train_step(
    config: StepConfig,
    params: Any,
    member: Member,
    hyperparameters: Hyperparameters,
    step: jax.Array,
    batch: DeviceBatch,
) -> tuple[Member, dict[str, jax.Array]]:
    """Update one member once, inside a mapped axis `devices`.

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
    factor = schedule_factor(config.optimizer, step)
    rate = hyperparameters.learning_rate * factor
    updates = Trainable(
        _scaled(updates.adapter, -rate),
        _scaled(updates.head, -hyperparameters.head_learning_rate * factor),
    )
    trainable = optax.apply_updates(member.trainable, updates)
    metrics = {
        "loss": loss / rows,
        "gradient_norm": optax.tree.norm(gradients),
        "learning_rate": rate,
    }
    return Member(trainable, state), metrics


def _scaled(updates: Any, rate: jax.Array) -> Any:
    return jax.tree.map(lambda update: rate * update, updates)


# Kept, so that the same program is not compiled again for the next population, or for a score.
@lru_cache(maxsize=64)
def compile_train_step(
    config: StepConfig,
    members: int | None = None,
    devices: tuple[jax.Device, ...] | None = None,
) -> Callable:
    """Compile `step(params, member, hyperparameters, step, batch)` over `devices`.

    Frozen weights, state and metrics are replicated; the batch's leading axis is the devices'.
    The state is donated: it is overwritten in place.

    Arguments:
        config: what is compiled.
        members: size of the population: every leaf of `member` and `hyperparameters` and all
            metrics have a leading axis [members, ...], the batch is [devices, members,
            accumulation, rows, ...]. None: a single member without that axis.
        devices: default: all local.
    """
    one_step = partial(train_step, config)
    if members == 1:
        one_step = _without_the_members_axis(one_step)
    elif members:
        one_step = jax.vmap(one_step, in_axes=(None, 0, 0, None, 0))
    return over_devices(
        one_step,
        config.forward.dtype,
        in_axes=(None, None, None, None, 0),
        out_axes=(None, None),
        donate_argnums=(1,),
        devices=devices,
    )


def _without_the_members_axis(one_step: Callable) -> Callable:
    """Do as `jax.vmap` does, for an axis of one: the products stay those of a single member."""

    def step(params: Any, member: Any, hyperparameters: Any, number: jax.Array, batch: Any) -> Any:
        single = jax.tree.map(lambda leaf: leaf[0], (member, hyperparameters, batch))
        result = one_step(params, *single[:2], number, single[2])
        return jax.tree.map(lambda leaf: leaf[None], result)

    return step
