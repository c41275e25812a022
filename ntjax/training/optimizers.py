"""AdamW with warm-up and decay, as an optax chain whose learning rate is traced."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ntjax.errors import UserError

SCHEDULES = ("linear", "cosine", "inverse-sqrt")


@dataclass(frozen=True)
class OptimizerConfig:
    """Everything about the optimiser but the peak learning rate, which members may differ in.

    `gradient_clip` bounds the global norm of the gradient; 0 switches it off. `warmup_from` is the
    share of the peak at which the warm-up begins, at least 1/(warm-up steps + 1).
    """

    steps: int
    schedule: str = "linear"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    gradient_clip: float = 1.0
    warmup_from: float = 0.0

    def __post_init__(self):
        if self.schedule not in SCHEDULES:
            raise UserError(f"unknown schedule '{self.schedule}'; known: {', '.join(SCHEDULES)}")
        if self.steps < 1 or not 0 <= self.warmup_steps < self.steps:
            raise UserError(
                f"steps ({self.steps}) must be above 0 and more than the warm-up steps "
                f"({self.warmup_steps})"
            )


def schedule_factor(config: OptimizerConfig, step: jax.Array) -> jax.Array:
    """The share of the peak learning rate at `step` (from 0).

    After a linear warm-up, (step + 1)/(warm-up + 1) unless `warmup_from` is larger, so that no
    update is lost: linear or half-cosine decay that reaches 0 after the last step, or
    √(warm-up / step), the Nucleotide Transformer's pre-training schedule.
    """
    warmup, steps = config.warmup_steps, config.steps
    match config.schedule:
        case "linear":
            decay = optax.linear_schedule(1.0, 0.0, steps - warmup)
        case "cosine":
            decay = optax.cosine_decay_schedule(1.0, steps - warmup)
        case _:
            begin = max(warmup, 1)

            def decay(count: jax.Array) -> jax.Array:
                return jnp.sqrt(begin / jnp.maximum(count + warmup, begin))

    if warmup:
        begin_with = max(config.warmup_from, 1 / (warmup + 1))
        rise = optax.linear_schedule(begin_with, 1.0, warmup)
        decay = optax.join_schedules([rise, decay], [warmup])
    return decay(step)


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """Clipping, Adam and decoupled weight decay; the update is still to be scaled by -rate."""
    parts = [optax.scale_by_adam()]
    if config.gradient_clip:
        parts.insert(0, optax.clip_by_global_norm(config.gradient_clip))
    if config.weight_decay:
        parts.append(optax.add_decayed_weights(config.weight_decay, mask=decayed))
    return optax.chain(*parts)


def decayed(trainable: Any) -> Any:
    """Tell which leaves of a `Trainable` decay: of the adapter as it says, of the head matrices.

    IA³ vectors start at one, so that decay would pull the model away from its own weights.
    """

    config = trainable.adapter.config

    def of_adapter(path: tuple, leaf: jax.Array) -> bool:
        del leaf
        return config.decays(tuple(str(getattr(key, "key", "")) for key in path))

    def of_head(path: tuple, leaf: jax.Array) -> bool:
        del leaf
        return getattr(path[-1], "key", "") == "w"

    by_path = jax.tree_util.tree_map_with_path
    return trainable._replace(
        adapter=by_path(of_adapter, trainable.adapter), head=by_path(of_head, trainable.head)
    )
