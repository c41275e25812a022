"""`mini` and `mini_human`: small Nucleotide Transformers that come with the package.

Their architecture is that of NT-v2 with GELU and biases, so that they can be written for Hugging
Face transformers too. `scripts/mini/train_mini.py` trained `mini` on ten bacterial genomes, and
`mini_human` on human chromosome 20. `mini.md` and `mini_human.md` beside the weights say on what,
how far, and how they compare with simpler models of DNA.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from ntjax.checkpoints import safetensors
from ntjax.models.config import TransformerConfig

NAME, HUMAN = "mini", "mini_human"
NAMES = (NAME, HUMAN)
"""Models of `CONFIG` whose weights are in the package."""
HUMAN_UNSEEN = (990_000, 4_010_000)
"""Bases of chromosome 20 (GRCh37), [start, end), that `mini_human` never saw: the variants of 1000
Genomes at 1 to 4 Mb, with room for a window that holds one of them."""
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


def weights_file(name: str = NAME) -> Path:
    """Where the weights of one of `NAMES` lie."""
    return WEIGHTS_FILE.with_stem(name)


def parameters(name: str = NAME) -> dict[str, Any]:
    """Read the weights of one of `NAMES`.

    Matrices are bfloat16 in the file, norms and biases float32.
    """
    return safetensors.unflatten(safetensors.read(weights_file(name))[0])


@lru_cache
def weights_id(name: str = NAME) -> str:
    """Return what a run records, so that no adapter is put on weights it was not trained on."""
    return f"sha256-{hashlib.sha256(weights_file(name).read_bytes()).hexdigest()}"
