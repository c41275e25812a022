"""A head of a few learned queries over the tokens, each with a learned bias of the position.

Attention pooling as in Lee et al. 2019 ("Set Transformer", section 3.2), with values as they are:
what a query weighs is what it looks for (its product with a token) and where (the bias).
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

# At the start where a query looks is decided by its window, not by what stands there.
_SMALL = 0.1


@dataclass(frozen=True)
class Attention(HeadConfig):
    """Reads weighted means over the tokens, `<cls>` included, padding left out; any length.

    Attributes:
        queries: number of means.
        positions: how many positions have a bias of their own, as many as the longest training row
            has tokens; all later ones share the last.
    """

    kind: ClassVar[str] = "attention"
    in_coordinates: ClassVar[bool] = True
    queries: int = 16
    positions: int = 512

    def __post_init__(self) -> None:
        if self.queries < 1 or self.positions < 1:
            raise ValueError(
                f"a head of {self.queries} queries and {self.positions} positions: it needs at "
                "least 1 of both"
            )

    def init(self, embed_dim: int, key: jax.Array) -> Parameters:
        """Draw `query` [queries, dim] and `output`; `position` is [queries, positions].

        The queries begin with windows of their own, side by side over the positions. From one
        window for all, as wide as the row, they hardly learn to look anywhere.
        """
        keys = jax.random.split(key)
        query = jax.random.truncated_normal(keys[0], -2.0, 2.0, (self.queries, embed_dim))
        return {
            "query": _SMALL * query,
            "position": self._windows(),
            "output": dense(keys[1], self.queries * embed_dim, self.outputs),
        }

    def _windows(self) -> jax.Array:
        """Log weights of bell curves that share the positions: [queries, positions]."""
        share = self.positions / self.queries
        centres = (jnp.arange(self.queries) + 0.5) * share - 0.5
        width = max(share / 2, 0.5)
        away = (jnp.arange(self.positions) - centres[:, None]) / width
        return -0.5 * away**2

    def apply(self, head: Parameters, embeddings: jax.Array, tokens: jax.Array) -> jax.Array:
        """Compute outputs [batch, outputs] from embeddings [batch, tokens, dim]."""
        rows, length, dim = embeddings.shape
        x = in_coordinates(head, embeddings)
        scores = jnp.einsum("btd,qd->bqt", x, head["query"], precision="highest") * dim**-0.5
        places = jnp.minimum(jnp.arange(length), self.positions - 1)
        scores += head["position"][:, places]
        weights = jax.nn.softmax(scores, axis=-1, where=is_token(tokens)[:, None])
        means = jnp.einsum("bqt,btd->bqd", weights, x, precision="highest")
        return linear(head["output"], means.reshape(rows, self.queries * dim))

    def folded(self, head: Parameters) -> Parameters:
        """Return the parameters without the coordinates they were trained in; same outputs."""
        if "coordinates" not in head:
            return head
        matrix, w = head["coordinates"], head["output"]["w"]
        of_queries = w.reshape(self.queries, len(matrix), self.outputs)
        turned = jnp.einsum("ij,qjk->qik", matrix, of_queries, precision="highest")
        return {
            "query": jnp.dot(head["query"], matrix.T, precision="highest"),
            "position": head["position"],
            "output": head["output"] | {"w": turned.reshape(w.shape)},
        }
