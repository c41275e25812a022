"""Classification heads on the last layer's embeddings.

The default is the head of the *E. coli* promoter report: dense, tanh, dense on the `<cls>`
position. `mean` puts the same two layers on the mean over the nucleotide tokens.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ntjax.models.transformer import PAD_ID

POOLINGS = ("cls", "mean")


@dataclass(frozen=True)
class HeadConfig:
    """Pooling ('cls' or 'mean') and number of outputs (classes; 1 for a regression)."""

    pooling: str = "cls"
    outputs: int = 2


def init(config: HeadConfig, embed_dim: int, key: jax.Array) -> dict[str, dict[str, jax.Array]]:
    """`dense` (w [dim, dim], b [dim]) and `output` (w [dim, outputs], b [outputs]), float32."""
    keys = jax.random.split(key)
    return {
        "dense": _dense(keys[0], embed_dim, embed_dim),
        "output": _dense(keys[1], embed_dim, config.outputs),
    }


def _dense(key: jax.Array, rows: int, columns: int) -> dict[str, jax.Array]:
    w = jax.random.truncated_normal(key, -2.0, 2.0, (rows, columns)) * rows**-0.5
    return {"w": w, "b": jnp.zeros(columns)}


def apply(
    config: HeadConfig,
    head: dict[str, dict[str, jax.Array]],
    embeddings: jax.Array,
    tokens: jax.Array,
) -> jax.Array:
    """Logits [batch, outputs] from embeddings [batch, tokens, dim] and ids [batch, tokens].

    Computed in float32: the head is small, and its output is what is reported.
    """
    pooled = (
        embeddings[:, 0] if config.pooling == "cls" else mean_over_nucleotides(embeddings, tokens)
    )
    hidden = jnp.tanh(_linear(head["dense"], pooled))
    return _linear(head["output"], hidden)


def mean_over_nucleotides(embeddings: jax.Array, tokens: jax.Array) -> jax.Array:
    """[batch, dim] from [batch, tokens, dim] and ids [batch, tokens]: no `<cls>`, no `<pad>`."""
    nucleotides = (tokens != PAD_ID).at[:, 0].set(False)[..., None]  # position 0 is <cls>
    return (embeddings * nucleotides).sum(axis=1) / nucleotides.sum(axis=1)


def _linear(layer: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    return jnp.dot(x, layer["w"], precision="highest") + layer["b"]
