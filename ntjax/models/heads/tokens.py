"""A head on all tokens side by side: each position has weights of its own.

For sequences of one length that are aligned, such as windows around a start site.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ntjax.models.heads.base import (
    HeadConfig,
    Parameters,
    dense,
    in_coordinates,
    is_token,
    linear,
)

MOST_TOKENS = 64
LARGEST_BOTTLENECK = 64


@dataclass(frozen=True)
class Tokens(HeadConfig):
    """Reads every token at its position; padding counts as 0.

    Attributes:
        tokens: most tokens of a sequence, `<cls>` included.
        bottleneck: width of a hidden layer (tanh) between tokens and outputs; 0 for none. A
            hidden layer as wide as the embeddings would have tokens · dim² numbers.
        bases: length of the rows it was made for, in bp; 0 where it is not known.
    """

    kind: ClassVar[str] = "tokens"
    in_coordinates: ClassVar[bool] = True
    tokens: int = MOST_TOKENS
    bottleneck: int = 0
    bases: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.tokens <= MOST_TOKENS or not 0 <= self.bottleneck <= LARGEST_BOTTLENECK:
            raise ValueError(
                f"a head on {self.tokens} tokens with a bottleneck of {self.bottleneck}: it can "
                f"have 1 to {MOST_TOKENS} tokens and a bottleneck of 0 to {LARGEST_BOTTLENECK}"
            )

    def unreadable(self, bases: int, tokens: int) -> str:
        """Say why a sequence is not like the rows it was made for; "" where it is."""
        if self.bases and bases != self.bases:
            return (
                f"has {bases} bp, and this run's head reads each position of rows of {self.bases} "
                "bp: cut sequences as the training rows were, or train with --head mean"
            )
        if tokens > self.tokens:
            return (
                f"has {tokens} tokens, and this run's head reads {self.tokens} at most, as its "
                "training rows had (an N makes more tokens): train with --head mean"
            )
        return ""

    def init(self, embed_dim: int, key: jax.Array) -> Parameters:
        """Draw `output`, and with a bottleneck `dense` before it."""
        keys, width = jax.random.split(key), self.tokens * embed_dim
        if not self.bottleneck:
            return {"output": dense(keys[1], width, self.outputs)}
        return {
            "dense": dense(keys[0], width, self.bottleneck),
            "output": dense(keys[1], self.bottleneck, self.outputs),
        }

    def apply(self, head: Parameters, embeddings: jax.Array, tokens: jax.Array) -> jax.Array:
        """Compute outputs [batch, outputs] from embeddings [batch, tokens, dim]."""
        rows, length, dim = embeddings.shape
        if length > self.tokens:
            raise ValueError(f"the head reads {self.tokens} tokens, not {length}")
        x = in_coordinates(head, embeddings)
        known = jnp.where(is_token(tokens)[..., None], x, 0)
        x = jnp.pad(known, ((0, 0), (0, self.tokens - length), (0, 0)))
        x = x.reshape(rows, self.tokens * dim)
        if self.bottleneck:
            x = jnp.tanh(linear(head["dense"], x))
        return linear(head["output"], x)

    def folded(self, head: Parameters) -> Parameters:
        """Return the parameters without the coordinates they were trained in; same outputs."""
        if "coordinates" not in head:
            return head
        matrix, first = head["coordinates"], "dense" if self.bottleneck else "output"
        w = head[first]["w"].reshape(self.tokens, len(matrix), -1)
        turned = jnp.einsum("ij,tjk->tik", matrix, w, precision="highest")
        folded = {name: layer for name, layer in head.items() if name != "coordinates"}
        return folded | {first: head[first] | {"w": turned.reshape(head[first]["w"].shape)}}
