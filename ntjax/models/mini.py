"""`mini`: a small Nucleotide Transformer that comes with the package.

Its architecture is that of NT-v2 with GELU and biases. Until it has been pre-trained its weights
are random numbers from a fixed seed: it runs everywhere and offline, and knows no biology.
"""

from typing import Any

import jax

from ntjax.models.config import TransformerConfig
from ntjax.models.forward import random_parameters

NAME = "mini"
NOTICE = "'mini' is not pre-trained yet: its weights are random numbers from a fixed seed"
_SEED = 20230824
# Recorded with every adapter, so that none is ever put on weights it was not trained on.
WEIGHTS = f"random-{_SEED}"

CONFIG = TransformerConfig(
    vocabulary_size=4107,
    k_for_kmers=6,
    max_positions=2048,
    attention_heads=8,
    embed_dim=256,
    ffn_embed_dim=1024,
    num_layers=6,
    key_dim=32,
    positional_embedding=None,
    use_rotary_embedding=True,
)


def parameters() -> dict[str, Any]:
    """The weights, float32."""
    return random_parameters(CONFIG, jax.random.key(_SEED))
