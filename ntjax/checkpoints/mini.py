"""`mini`: a small Nucleotide Transformer that comes with the package.

Its architecture is that of NT-v2 with GELU and biases, so that it can be written for Hugging Face
transformers too. It was trained on ten bacterial genomes by `scripts/mini/train_mini.py`; `mini.md`
beside its weights says on what, how far, and how it compares with simpler models of DNA.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from ntjax.checkpoints import safetensors
from ntjax.models.config import TransformerConfig

NAME = "mini"
WEIGHTS_FILE = Path(__file__).with_name("mini.safetensors")

CONFIG = TransformerConfig(
    vocabulary_size=4107,
    k_for_kmers=6,
    max_positions=2048,
    attention_heads=6,
    embed_dim=192,
    ffn_embed_dim=768,
    num_layers=4,
    key_dim=32,
    positional_embedding=None,
    use_rotary_embedding=True,
)


def parameters() -> dict[str, Any]:
    """The weights; matrices are bfloat16 in the file, norms and biases float32."""
    return safetensors.unflatten(safetensors.read(WEIGHTS_FILE)[0])


@lru_cache
def weights_id() -> str:
    """What a run records, so that no adapter is ever put on weights it was not trained on."""
    return f"sha256-{hashlib.sha256(WEIGHTS_FILE.read_bytes()).hexdigest()}"
