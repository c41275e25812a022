"""Small models for the adapters' tests: one with learned, one with rotary positions and gates."""

from functools import partial

import jax
import numpy as np
import reference_transformer

from ntjax.adapters.apply import forward
from ntjax.models.config import TransformerConfig, parameter_shapes

# key_dim is not embed_dim / attention_heads, so that no two axes have one size.
_TINY = {
    "vocabulary_size": 11,
    "k_for_kmers": 6,
    "max_positions": 10,
    "attention_heads": 2,
    "embed_dim": 8,
    "ffn_embed_dim": 14,
    "num_layers": 3,
    "key_dim": 6,
}
MODELS = {
    "learned": TransformerConfig(**_TINY),
    "gated": TransformerConfig(
        **_TINY,
        positional_embedding=None,
        use_rotary_embedding=True,
        use_glu_in_ffn=True,
        add_bias_ffn=False,
        ffn_activation_name="swish",
    ),
}
TOKENS = np.array([[3, 5, 6, 2, 8, 4, 9], [3, 9, 10, 4, 7, 7, 10]], np.int32)


def random_parameters(model, seed=0):
    """Weights in which no bias is zero and no scale one."""
    return reference_transformer.random_parameters(parameter_shapes(model), seed)


@partial(jax.jit, static_argnums=(0, 5))
def _run(model, params, tokens, adapter, dropout, dtype):
    outputs = {"embeddings_layers": (1, 2, 3), "attention_layers": (3,)}
    return forward(model, dtype, params, tokens, adapter, dropout, **outputs)


def run(model, params, adapter=None, dropout=None, tokens=TOKENS, dtype="float32"):
    """Logits, all embeddings and the last attention map, as NumPy arrays."""
    return jax.tree.map(np.asarray, _run(model, params, tokens, adapter, dropout, dtype))
