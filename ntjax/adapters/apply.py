"""The transformer as a pure function of weights, adapter and tokens."""

from functools import partial
from typing import Any

import haiku as hk
import jax

from ntjax import adapters
from ntjax.adapters import Adapter, Dropout
from ntjax.models.attention import Attention
from ntjax.models.config import TransformerConfig
from ntjax.models.transformer import NucleotideTransformer, no_hook


def forward(
    config: TransformerConfig,
    dtype: str,
    params: dict[str, Any],
    tokens: jax.Array,
    adapter: Adapter | None = None,
    dropout: Dropout | None = None,
    attention_mask: jax.Array | None = None,
    *,
    logits: bool = True,
    embeddings_layers: tuple[int, ...] = (),
    attention_layers: tuple[int, ...] = (),
    positions: jax.Array | None = None,
    first_tokens: int | None = None,
    rematerialise: bool = False,
    attention: Attention = "plain",
) -> dict[str, jax.Array]:
    """Run the backbone with an adapter; see `NucleotideTransformer.__call__` for the shapes.

    `dtype` is the type activations are computed in, whatever the weights are kept in. `attention`
    is what `attention_on` chooses; "cudnn" takes no `attention_mask`.
    """
    params, hook, per_layer = adapters.bind(adapter, params, dropout)

    def run(tokens: jax.Array) -> dict[str, jax.Array]:
        model = NucleotideTransformer(config, dtype, hook or no_hook, rematerialise, attention)
        return model(
            tokens,
            attention_mask,
            per_layer,
            logits,
            embeddings_layers,
            attention_layers,
            positions,
            first_tokens,
        )

    return hk.transform(run).apply(params, None, tokens)


@partial(jax.jit, static_argnums=0)
def random_parameters(config: TransformerConfig, key: jax.Array) -> dict[str, Any]:
    """Freshly drawn float32 weights, the tree of `parameter_shapes`."""
    tokens = jax.numpy.zeros((1, 2), dtype=jax.numpy.int32)
    model = hk.transform(lambda tokens: NucleotideTransformer(config, "float32")(tokens))
    return model.init(key, tokens)
