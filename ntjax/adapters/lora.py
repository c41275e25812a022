"""LoRA (Hu et al. 2021): y = W x + b + (alpha / rank) B A dropout(x).

As in PEFT: A starts uniform in ±1/√inputs (Kaiming with a = √5), B at zero, so that the model is
unchanged; dropout acts on the branch's input.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.random import threefry2x32_p

from ntjax.errors import UserError
from ntjax.models.config import ROOT, TransformerConfig, parameter_shapes
from ntjax.models.transformer import recomputed

PROJECTIONS = ("query", "key", "value", "mha_output", "fc1", "fc2")


@dataclass(frozen=True)
class LoRAConfig:
    """Rank, scale (alpha / rank) and the linear layers that get a branch.

    Dropout is not part of it: it is a number of the training step, so that members of a sweep
    can have different ones.
    """

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("query", "value")
    kind: str = field(default="lora", init=False)

    def __post_init__(self):
        object.__setattr__(self, "targets", tuple(self.targets))
        unknown = [name for name in self.targets if name not in PROJECTIONS]
        if unknown or not self.targets:
            raise UserError(
                f"LoRA target {', '.join(unknown) or '(none)'} is not a linear layer of the model; "
                f"choose from {', '.join(PROJECTIONS)}"
            )
        if not isinstance(self.rank, int) or self.rank < 1 or not self.alpha > 0:
            raise UserError(
                f"LoRA rank {self.rank} and alpha {self.alpha:g} must be above 0, the rank a whole "
                "number"
            )


def check_rank(config: LoRAConfig, model: TransformerConfig) -> None:
    """Refuse a rank that no weights of the model have.

    Raises:
        UserError: names the highest.
    """
    shapes = parameter_shapes(model)
    most, name = min(
        (min(shapes[f"{ROOT}/layers/{name}"]["w"][1:]), name) for name in config.targets
    )
    if config.rank > most:
        raise UserError(
            f"LoRA rank {config.rank:,} is above {most:,}, the rank that the weights of {name} can "
            "have: choose a lower one, or --adapter full"
        )


def init(
    config: LoRAConfig, model: TransformerConfig, key: jax.Array
) -> dict[str, dict[str, jax.Array]]:
    """Per target `a` [layers, inputs, rank] (uniform) and `b` [layers, rank, outputs] (zero)."""
    shapes = parameter_shapes(model)
    adapter = {}
    for name in config.targets:
        layers, inputs, outputs = shapes[f"{ROOT}/layers/{name}"]["w"]
        # The key depends on the name alone: adding a target changes no other's start.
        draw = jax.random.fold_in(key, PROJECTIONS.index(name))
        bound = inputs**-0.5
        a = jax.random.uniform(draw, (layers, inputs, config.rank), minval=-bound, maxval=bound)
        adapter[name] = {"a": a, "b": jnp.zeros((layers, config.rank, outputs))}
    return adapter


def make_hook(
    config: LoRAConfig, rate: jax.Array | float | None, keys: jax.Array | None
) -> Callable:
    """The hook around every linear layer.

    Arguments:
        rate: probability to drop an input of the branch; None to drop nothing.
        keys: one random key per example [batch], so that the draw does not depend on how the
            batch is spread over devices or accumulation steps.
    """

    def hook(layer: dict[str, Any], name: str, linear: Callable, x: jax.Array) -> jax.Array:
        if name not in config.targets:
            return linear(x)
        branch = layer["parameters"][name]
        dropped = x if rate is None else _drop(x, rate, keys, layer["number"], name)
        low_rank = _product(_product(dropped, branch["a"]), branch["b"])
        return linear(x) + (config.alpha / config.rank) * low_rank

    return hook


@recomputed
def _product(x: jax.Array, matrix: jax.Array) -> jax.Array:
    """In the type of x; true float32 for a float32 model, like the model's own products.

    As one matrix of rows: the gradient of `matrix` is then a plain product too, where XLA would
    transpose `x` for it. What is kept is `x` as it came, which other branches keep as well.
    """
    precision = "highest" if x.dtype == jnp.float32 else None
    rows = jnp.dot(x.reshape(-1, x.shape[-1]), matrix.astype(x.dtype), precision=precision)
    return rows.reshape(*x.shape[:-1], -1)


def _drop(
    x: jax.Array, rate: jax.Array | float, keys: jax.Array, layer: jax.Array, name: str
) -> jax.Array:
    """Inputs [batch, tokens, dim] with each number set to 0 with probability `rate`.

    The rate is taken to the nearest 1/65536: 16 random bits decide.
    """
    place = layer * len(PROJECTIONS) + PROJECTIONS.index(name)
    draws = _sixteen_bits(keys, place, x.shape[1:])
    kept = draws >= jnp.round(rate * 2.0**16).astype(jnp.uint32)
    return jnp.where(kept, x / (1.0 - rate), 0.0).astype(x.dtype)


def _sixteen_bits(keys: jax.Array, place: jax.Array, shape: tuple[int, int]) -> jax.Array:
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


def merge(
    config: LoRAConfig, adapter: dict[str, dict[str, jax.Array]], params: dict[str, Any]
) -> dict[str, Any]:
    """Add (alpha / rank) A B to the weights."""
    merged = dict(params)
    for name, branch in adapter.items():
        module = f"{ROOT}/layers/{name}"
        update = jnp.einsum("lir,lro->lio", branch["a"], branch["b"], precision="highest")
        w = params[module]["w"] + (config.alpha / config.rank) * update
        merged[module] = params[module] | {"w": w}
    return merged
