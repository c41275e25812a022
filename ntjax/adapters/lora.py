"""LoRA (Hu et al. 2021): y = W x + b + (alpha / rank) B A dropout(x).

As in PEFT: A starts uniform in ±1/√inputs (Kaiming with a = √5), B at zero, so that the model is
unchanged; dropout acts on the branch's input.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.extend.random import threefry2x32_p

from ntjax.adapters.base import AdapterConfig, Binding, Dropout
from ntjax.errors import UserError
from ntjax.models.config import ROOT, TransformerConfig, parameter_shapes
from ntjax.models.transformer import recomputed

PROJECTIONS = ("query", "key", "value", "mha_output", "fc1", "fc2")


@dataclass(frozen=True)
class LoRA(AdapterConfig):
    """Rank, scale (alpha / rank) and the linear layers that get a branch.

    Dropout is a number of the training step, traced so that members of a sweep can differ in it:
    it takes no part in comparisons, and nothing is compiled again for another rate.

    Raises:
        UserError: a rank, alpha, dropout or target that no LoRA can have.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = field(default=0.1, compare=False)
    targets: tuple[str, ...] = ("query", "value")
    kind: str = field(default="lora", init=False, repr=False)
    learning_rate: ClassVar[float] = 5e-4
    learning_rate_for_mini: ClassVar[float] = 2e-3
    batch_size: ClassVar[int] = 16

    def __post_init__(self) -> None:
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
        if not 0 <= self.dropout < 1:
            raise UserError(f"LoRA dropout {self.dropout:g} must be at least 0 and below 1")

    def init(
        self, model: TransformerConfig, params: dict[str, Any], key: jax.Array
    ) -> dict[str, dict[str, jax.Array]]:
        """Per target `a` [layers, inputs, rank], uniform, and `b` [layers, rank, outputs], 0."""
        del params
        shapes = parameter_shapes(model)
        branches = {}
        for name in self.targets:
            layers, inputs, outputs = shapes[f"{ROOT}/layers/{name}"]["w"]
            # The key depends on the name alone: adding a target changes no other's start.
            draw = jax.random.fold_in(key, PROJECTIONS.index(name))
            bound = inputs**-0.5
            a = jax.random.uniform(draw, (layers, inputs, self.rank), minval=-bound, maxval=bound)
            branches[name] = {"a": a, "b": jnp.zeros((layers, self.rank, outputs))}
        return branches

    def bind(
        self, parameters: Any, params: dict[str, Any], dropout: Dropout | None = None
    ) -> Binding:
        """Add the branches to their linear layers."""
        layers = jax.tree.leaves(parameters)[0].shape[0]
        inputs = {"number": jnp.arange(layers), "parameters": parameters}
        return Binding(params, make_hook(self, *(dropout or (None, None))), inputs)

    def merge(self, parameters: Any, params: dict[str, Any]) -> dict[str, Any]:
        """Add (alpha / rank) A B to the weights."""
        merged = dict(params)
        for name, branch in parameters.items():
            module = f"{ROOT}/layers/{name}"
            update = jnp.einsum("lir,lro->lio", branch["a"], branch["b"], precision="highest")
            w = params[module]["w"] + (self.alpha / self.rank) * update
            merged[module] = params[module] | {"w": w}
        return merged

    def decays(self, path: tuple[str, ...]) -> bool:
        """Both factors decay: they are matrices."""
        return path[-1] in ("a", "b")

    def check(self, model: TransformerConfig) -> None:
        """Refuse a rank that no weights of the model have.

        Raises:
            UserError: names the highest.
        """
        shapes = parameter_shapes(model)
        most, name = min(
            (min(shapes[f"{ROOT}/layers/{name}"]["w"][1:]), name) for name in self.targets
        )
        if self.rank > most:
            raise UserError(
                f"LoRA rank {self.rank:,} is above {most:,}, the rank that the weights of {name} "
                "can have: choose a lower one, or --adapter full"
            )


def make_hook(config: LoRA, rate: jax.Array | float | None, keys: jax.Array | None) -> Callable:
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
        dropped = x
        if rate is not None:
            assert keys is not None
            dropped = _drop(x, rate, keys, layer["number"], name)
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


def _sixteen_bits(keys: jax.Array, place: jax.Array, shape: tuple[int, ...]) -> jax.Array:
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
