"""BitFit (Ben Zaken et al. 2022): train the biases and nothing else.

A number is added to every output of each linear layer that has a bias: W x + (b + d). It starts
at zero, so that the model is unchanged. Norms keep theirs.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ntjax.adapters.base import AdapterConfig, Binding
from ntjax.adapters.dropout import Dropout
from ntjax.adapters.lora import PROJECTIONS
from ntjax.models.config import ROOT, TransformerConfig, parameter_shapes


@dataclass(frozen=True)
class BitFit(AdapterConfig):
    """BitFit has nothing to choose. The rates are customary, not the paper's."""

    kind: str = field(default="bitfit", init=False, repr=False)
    learning_rate: ClassVar[float] = 1e-3
    learning_rate_for_mini: ClassVar[float] = 1e-2
    batch_size: ClassVar[int] = 16

    def init(
        self, model: TransformerConfig, params: dict[str, Any], key: jax.Array
    ) -> dict[str, jax.Array]:
        """Return zeros [layers, outputs] for each linear layer that has a bias."""
        del params, key
        shapes = {name: parameter_shapes(model)[f"{ROOT}/layers/{name}"] for name in PROJECTIONS}
        return {name: jnp.zeros(shape["b"]) for name, shape in shapes.items() if "b" in shape}

    def bind(
        self, parameters: Any, params: dict[str, Any], dropout: Dropout | None = None
    ) -> Binding:
        """Add to the outputs of every layer its own numbers."""
        del dropout
        return Binding(params, hook, parameters)

    def merge(self, parameters: Any, params: dict[str, Any]) -> dict[str, Any]:
        """Add the numbers to the biases. Exact."""
        merged = dict(params)
        for name, shift in parameters.items():
            module = f"{ROOT}/layers/{name}"
            merged[module] = params[module] | {"b": params[module]["b"] + shift}
        return merged


def hook(shifts: dict[str, jax.Array], name: str, linear: Callable, x: jax.Array) -> jax.Array:
    """Shift the outputs [batch, tokens, outputs] of a linear layer by one layer's numbers."""
    y = linear(x)
    if name not in shifts:
        return y
    return (y.astype(jnp.float32) + shifts[name].astype(jnp.float32)).astype(y.dtype)
