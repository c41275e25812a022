"""The interface of all heads: a frozen configuration that knows how to init and to apply.

A new head is one new file with a subclass of `HeadConfig`, and its line in the registry of
`ntjax.models.heads`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ntjax.errors import UserError
from ntjax.models.transformer import PAD_ID

Parameters = dict[str, Any]


@dataclass(frozen=True)
class HeadConfig(ABC):
    """What all heads have: outputs (classes or labels; 1 for a regression).

    Attributes:
        kind: the head's name, as in `--head`.
        outputs: how many there are.
        in_coordinates: whether it is trained in coordinates in which embeddings are white.
        first_tokens: how many of a row's first tokens it reads; None for all of them.
    """

    kind: ClassVar[str]
    in_coordinates: ClassVar[bool] = False
    first_tokens: ClassVar[int | None] = None
    outputs: int = 2

    def unreadable(self, bases: int, tokens: int) -> str:
        """Say why the head has no weights for a sequence; "" where it has.

        Arguments:
            bases: its length in bp.
            tokens: the number of its tokens, `<cls>` included.
        """
        del bases, tokens
        return ""

    def check_readable(self, sequences: Sequence[str], ids: np.ndarray) -> None:
        """Refuse sequences that the head has no weights for.

        Arguments:
            sequences: of A, C, G, T and N.
            ids: their tokens, [sequences, tokens].

        Raises:
            UserError: names the first one.
        """
        counts = (ids != PAD_ID).sum(axis=1)
        for row, (sequence, count) in enumerate(zip(sequences, counts, strict=True), 1):
            if problem := self.unreadable(len(sequence), int(count)):
                raise UserError(f"sequence {row} {problem}")

    @abstractmethod
    def init(self, embed_dim: int, key: jax.Array) -> Parameters:
        """Draw the parameters of layers, each with w [rows, columns] and b [columns], float32."""

    @abstractmethod
    def apply(self, head: Parameters, embeddings: jax.Array, tokens: jax.Array) -> jax.Array:
        """Compute outputs [batch, outputs] in float32.

        Arguments:
            head: the parameters.
            embeddings: of the last layer, [batch, tokens, dim], or of the first tokens alone.
            tokens: ids of the whole rows, [batch, tokens].
        """

    def folded(self, head: Parameters) -> Parameters:
        """Return the parameters without the coordinates they were trained in; same outputs."""
        return head

    def to_dict(self) -> dict[str, Any]:
        """Return the head's name and its numbers, ready for JSON."""
        numbers = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"pooling": self.kind, **numbers}


def dense(key: jax.Array, rows: int, columns: int) -> Parameters:
    """Draw a linear layer: w [rows, columns] of variance about 1 / rows, b [columns] 0."""
    w = jax.random.truncated_normal(key, -2.0, 2.0, (rows, columns)) * rows**-0.5
    return {"w": w, "b": jnp.zeros(columns)}


def linear(layer: Parameters, x: jax.Array) -> jax.Array:
    """Apply a linear layer, in float32: the head is small, and its output is what is reported."""
    return jnp.dot(x, layer["w"], precision="highest") + layer["b"]


def in_coordinates(head: Parameters, embeddings: jax.Array) -> jax.Array:
    """Turn embeddings [batch, tokens, dim] into the coordinates that a head is trained in.

    The directions of a transformer's embeddings differ a thousandfold in variance, and gradient
    descent on what reads them hardly moves along most of them. In coordinates in which all have
    about the same it does. The matrix [dim, dim] is not trained, and is folded into the weights at
    the end.
    """
    x = embeddings.astype(jnp.float32)
    if "coordinates" not in head:
        return x
    return jnp.dot(x, jax.lax.stop_gradient(head["coordinates"]), precision="highest")


def is_token(tokens: jax.Array) -> jax.Array:
    """Tell tokens from padding: bool [batch, tokens]."""
    return tokens != PAD_ID
