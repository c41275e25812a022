"""What the official model computes on the small checkpoints of tests/golden."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parents[1] / "golden"
GOLDEN_NAMES = ("v1", "v1_token_dropout", "v2", "v2_3mer", "rotary_gelu")


@dataclass(frozen=True)
class Golden:
    """Inputs of a reference checkpoint and what the official model computes from them.

    Attributes:
        folder: holds `jax_model/`.
        sequences: DNA.
        fixed_length: tokens every sequence is padded to.
        masked: [row, column] of the tokens replaced by `<mask>`.
        expected: tokens, logits, `embeddings_i`, `attention_i`.
    """

    folder: Path
    sequences: list[str]
    fixed_length: int
    masked: list[list[int]]
    expected: dict[str, np.ndarray]

    @property
    def real(self):
        """Bool [batch, tokens]: not `<pad>`."""
        return self.expected["tokens"] != 1
