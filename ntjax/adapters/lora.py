"""LoRA (Hu et al. 2021): y = W x + b + (alpha / rank) B A dropout(x).

As in PEFT: A starts uniform in ±1/√inputs (Kaiming with a = √5), B at zero, so that the model is
unchanged; dropout acts on the branch's input.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ntjax.adapters.base import AdapterConfig, Binding
from ntjax.adapters.dropout import Dropout, drop
from ntjax.errors import UserError
from ntjax.models.config import ROOT, TransformerConfig, parameter_shapes
from ntjax.models.layers import saved_for_backward
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
        rate, keys = (dropout.rate, dropout.keys) if dropout else (None, None)
        return Binding(params, make_hook(self, rate, keys), inputs)

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
            place = layer["number"] * len(PROJECTIONS) + PROJECTIONS.index(name)
            dropped = drop(x, rate, keys, place)
        inner = saved_for_backward(_product(dropped, branch["a"]))
        return linear(x) + (config.alpha / config.rank) * _product(inner, branch["b"])

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
