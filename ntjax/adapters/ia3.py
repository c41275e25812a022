"""IA³ (Liu et al. 2022): learned rescaling of keys, values and feed-forward activations.

In the Nucleotide Transformer paper's notation

    softmax(Q (l_k ⊙ Kᵀ) / √d_k) (l_v ⊙ V)        (l_ff ⊙ γ(W₁ x)) W₂

Keys and values are scaled after their linear layer with its bias, one number per head and
dimension, before rotary positions; the feed-forward layer after the activation (after the gated
product), before fc2. Everything starts at one, so that the model is unchanged.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ntjax.adapters.base import AdapterConfig, Binding
from ntjax.adapters.dropout import Dropout
from ntjax.models.config import ROOT, TransformerConfig
from ntjax.models.transformer import recomputed


@dataclass(frozen=True)
class IA3(AdapterConfig):
    """IA³ has nothing to choose. Learning rate and batch size are the paper's."""

    kind: str = field(default="ia3", init=False, repr=False)
    learning_rate: ClassVar[float] = 3e-3
    learning_rate_for_mini: ClassVar[float] = 1e-2
    batch_size: ClassVar[int] = 8

    def init(
        self, model: TransformerConfig, params: dict[str, Any], key: jax.Array
    ) -> dict[str, jax.Array]:
        """`l_k`, `l_v` [layers, heads * key_dim] and `l_ff` [layers, ffn_embed_dim], all ones."""
        del params, key
        inner = model.attention_heads * model.key_dim
        sizes = {"l_k": inner, "l_v": inner, "l_ff": model.ffn_embed_dim}
        return {name: jnp.ones((model.num_layers, size)) for name, size in sizes.items()}

    def bind(
        self, parameters: Any, params: dict[str, Any], dropout: Dropout | None = None
    ) -> Binding:
        """Rescale in every layer by its vectors."""
        del dropout
        return Binding(params, hook, parameters)

    def merge(self, parameters: Any, params: dict[str, Any]) -> dict[str, Any]:
        """Fold the vectors into the weights: columns of key and value, rows of fc2. Exact."""
        merged = dict(params)
        for name, vector in (("key", parameters["l_k"]), ("value", parameters["l_v"])):
            module = f"{ROOT}/layers/{name}"
            linear = params[module]
            merged[module] = {"w": linear["w"] * vector[:, None, :], "b": linear["b"] * vector}
        module = f"{ROOT}/layers/fc2"
        weights = params[module]["w"] * parameters["l_ff"][:, :, None]
        return merged | {module: params[module] | {"w": weights}}


def hook(vectors: dict[str, jax.Array], name: str, linear: Callable, x: jax.Array) -> jax.Array:
    """Rescale the output of key and value and the input of fc2 [batch, tokens, ...].

    `vectors` are one layer's: `l_k`, `l_v` [heads * key_dim], `l_ff` [ffn_embed_dim]. The product
    is taken in float32: near one, where the vectors start, bfloat16 numbers are 0.4 to 0.8% apart.
    """
    if name == "key":
        return _scaled(linear(x), vectors["l_k"])
    if name == "value":
        return _scaled(linear(x), vectors["l_v"])
    if name == "fc2":
        return linear(_scaled(x, vectors["l_ff"]))
    return linear(x)


@recomputed  # what is kept for the way back is x in its own type, not its float32 copy
def _scaled(x: jax.Array, vector: jax.Array) -> jax.Array:
    return (x.astype(jnp.float32) * vector.astype(jnp.float32)).astype(x.dtype)
