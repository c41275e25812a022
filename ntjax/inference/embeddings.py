"""Sequences as points: as a model sees them, and as they are before any model has read them."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from ntjax.adapters import Adapter
from ntjax.adapters.apply import forward
from ntjax.datasets.batching import TokenisedSet
from ntjax.errors import UserError
from ntjax.inference.backbones import Adapted, backbone_of, encoded
from ntjax.inference.devices import EVALUATION_TOKENS, in_batches, over_devices, token_batches
from ntjax.inference.pretrained import PretrainedModel
from ntjax.models.config import TransformerConfig
from ntjax.models.heads import mean_over_nucleotides
from ntjax.sequences.alphabet import given_sequences
from ntjax.sequences.tokenizer import Tokenizer

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Pooling = Literal["mean", "cls"] | None


def embed(
    model: Adapted | PretrainedModel,
    sequences: Sequence[str],
    layers: Sequence[int] | None = None,
    pooling: Pooling = "mean",
    *,
    adapter: Adapter | None = None,
    progress: str = "",
) -> dict[int, Any]:
    """Embed sequences at one or more layers, in one pass.

    The last layer's embeddings are those after the final layer norm, the others' are not normed.

    Arguments:
        model: a run (as its adapter made it), or a bare model.
        sequences: of A, C, G, T and N.
        layers: counted from 1; None for the last.
        pooling: "mean" over the tokens of bases (`<cls>` and padding are left out), "cls" for the
            embedding of `<cls>`, None for every token of bases.
        adapter: to run a bare model with.
        progress: name of the progress bar; "" for none.

    Returns:
        By layer float32 [sequences, dim]; with `pooling=None` a list of [tokens, dim].

    Raises:
        UserError: sequences that the model cannot read, a layer or a pooling that does not exist.
    """
    backbone = backbone_of(model, adapter)
    config = backbone.model.config
    chosen = (config.num_layers,) if layers is None else tuple(layers)
    for layer in chosen:
        if layer not in range(1, config.num_layers + 1):
            raise UserError(
                f"layer {layer} does not exist: layers of {backbone.model.name} count from 1 to "
                f"{config.num_layers}"
            )
    if pooling not in ("mean", "cls", None):
        raise UserError(f"pooling={pooling!r} is not known: give 'mean', 'cls' or None")
    _, ids = encoded(backbone.model, sequences)
    data = TokenisedSet.unlabelled(ids)
    points: list[list] = [[None] * len(ids) for _ in chosen]
    compiled = _compiled(config, backbone.model.dtype, chosen, pooling)
    batches = token_batches(data, max(ids.shape[1], EVALUATION_TOKENS // len(chosen)))
    for rows, values in in_batches(
        compiled, backbone.model.params, backbone.adapter, batches, progress
    ):
        for own, layer_values in zip(points, values, strict=True):
            for row, value in zip(rows, layer_values, strict=True):
                own[row] = value if pooling else value[1 : data.lengths[row]]
    return {
        layer: np.stack(own) if pooling else own for layer, own in zip(chosen, points, strict=True)
    }


def second_moments(model: PretrainedModel, data: TokenisedSet) -> np.ndarray:
    """Average x xᵀ over the last layer's embeddings x of all tokens: float64 [dim, dim].

    `<cls>` counts, padding does not.
    """
    config = model.config
    compiled = _compiled(config, model.dtype, (config.num_layers,), None)
    total = np.zeros((config.embed_dim, config.embed_dim))
    batches = token_batches(data, max(data.tokens.shape[1], EVALUATION_TOKENS))
    for rows, [values] in in_batches(compiled, model.params, None, batches):
        known = np.arange(values.shape[1]) < data.lengths[rows, None]
        x = values[known].astype(np.float64)
        total += x.T @ x
    return total / data.lengths.sum()


@lru_cache(maxsize=64)
def _compiled(
    config: TransformerConfig, dtype: str, layers: tuple[int, ...], pooling: Pooling
) -> Callable:
    return over_devices(partial(_pooled, config, dtype, layers, pooling), dtype)


def _pooled(
    config: TransformerConfig,
    dtype: str,
    layers: tuple[int, ...],
    pooling: Pooling,
    params: Any,
    adapter: Adapter | None,
    tokens: jax.Array,
) -> list[jax.Array]:
    """Each layer's embeddings [rows, dim], or [rows, tokens, dim] without pooling."""
    outputs = forward(
        config, dtype, params, tokens, adapter, logits=False, embeddings_layers=layers
    )
    whole = [outputs[f"embeddings_{layer}"] for layer in layers]
    if pooling == "mean":
        return [mean_over_nucleotides(embeddings, tokens) for embeddings in whole]
    return [embeddings[:, 0] for embeddings in whole] if pooling == "cls" else whole


def one_hot_kmers(tokenizer: Tokenizer, sequences: Sequence[str]) -> "csr_array":
    """The tokens at their places: float32 [sequences, places * vocabulary], sparse.

    Column `place * vocabulary + id` is 1 where the token `id` stands at `place`, counted from 0
    after `<cls>`; `<pad>` has no column set.

    Raises:
        UserError: no sequences, or other letters than ACGTN.
    """
    ids = tokenizer.encode(given_sequences(sequences))[:, 1:]
    columns = np.arange(ids.shape[1]) * tokenizer.vocabulary_size + ids
    return _counted(ids, columns, ids.shape[1] * tokenizer.vocabulary_size)


def bag_of_kmers(tokenizer: Tokenizer, sequences: Sequence[str]) -> "csr_array":
    """How often each token occurs, wherever it stands: float32 [sequences, vocabulary], sparse.

    `<cls>` and `<pad>` are not counted.

    Raises:
        UserError: no sequences, or other letters than ACGTN.
    """
    ids = tokenizer.encode(given_sequences(sequences))[:, 1:]
    return _counted(ids, ids, tokenizer.vocabulary_size)


def _counted(ids: np.ndarray, columns: np.ndarray, width: int) -> "csr_array":
    """Add one at every real token's column: int [sequences, places] -> [sequences, width]."""
    from scipy.sparse import csr_array

    real = ids != Tokenizer.pad_id
    starts = np.concatenate([[0], real.sum(axis=1).cumsum()])
    ones = np.ones(starts[-1], np.float32)
    matrix = csr_array((ones, columns[real], starts), shape=(len(ids), width))
    matrix.sum_duplicates()
    return matrix
