"""Heads on one vector of a sequence: dense, tanh, dense.

On the `<cls>` position it is the head of the *E. coli* promoter report, and the one that
transformers' ESM has. On the mean over the tokens of bases it forgets where they stood.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ntjax.models.heads.base import HeadConfig, Parameters, dense, is_token, linear


class _Pooled(HeadConfig):
    """`dense` (w [dim, dim], b [dim]), tanh, and `output` (w [dim, outputs], b [outputs])."""

    def init(self, embed_dim: int, key: jax.Array) -> Parameters:
        """Draw `dense` and `output`."""
        keys = jax.random.split(key)
        return {
            "dense": dense(keys[0], embed_dim, embed_dim),
            "output": dense(keys[1], embed_dim, self.outputs),
        }

    def apply(self, head: Parameters, embeddings: jax.Array, tokens: jax.Array) -> jax.Array:
        """Compute outputs [batch, outputs] from embeddings [batch, tokens, dim]."""
        hidden = jnp.tanh(linear(head["dense"], self.pooled(embeddings, tokens)))
        return linear(head["output"], hidden)

    @staticmethod
    @abstractmethod
    def pooled(embeddings: jax.Array, tokens: jax.Array) -> jax.Array:
        """One vector of each sequence, [batch, dim]."""


@dataclass(frozen=True)
class Cls(_Pooled):
    """Reads the `<cls>` position."""

    kind: ClassVar[str] = "cls"
    first_tokens: ClassVar[int | None] = 1

    @staticmethod
    def pooled(embeddings: jax.Array, tokens: jax.Array) -> jax.Array:
        """One vector of each sequence, [batch, dim]."""
        del tokens
        return embeddings[:, 0]


@dataclass(frozen=True)
class Mean(_Pooled):
    """Reads the mean over the tokens of bases."""

    kind: ClassVar[str] = "mean"

    @staticmethod
    def pooled(embeddings: jax.Array, tokens: jax.Array) -> jax.Array:
        """One vector of each sequence, [batch, dim]."""
        return mean_over_nucleotides(embeddings, tokens)


def mean_over_nucleotides(embeddings: jax.Array, tokens: jax.Array) -> jax.Array:
    """[batch, dim] from [batch, tokens, dim] and ids [batch, tokens]: no `<cls>`, no `<pad>`."""
    nucleotides = is_token(tokens).at[:, 0].set(False)[..., None]  # position 0 is <cls>
    return (embeddings * nucleotides).sum(axis=1) / nucleotides.sum(axis=1)
