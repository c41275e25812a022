"""Sequences as points: as a model sees them, and as they are before any model has read them."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np
from scipy.sparse import csr_array

from ntjax.adapters import Adapter
from ntjax.adapters.apply import forward
from ntjax.errors import UserError
from ntjax.inference.backbones import backbone_of, encoded, in_batches, over_devices
from ntjax.inference.predict import EVALUATION_TOKENS
from ntjax.inference.pretrained import PretrainedModel
from ntjax.models.config import TransformerConfig
from ntjax.models.heads import mean_over_nucleotides
from ntjax.runs.run import Run
from ntjax.sequences.alphabet import given_sequences
from ntjax.sequences.tokenizer import Tokenizer


def mean_embeddings(
    model: Run | PretrainedModel,
    sequences: Sequence[str],
    last_layers: int = 1,
    adapter: Adapter | None = None,
    *,
    progress: str = "",
) -> np.ndarray:
    """One point per sequence: the mean over its nucleotide tokens and over the last layers.

    `<cls>` and `<pad>` are left out. The last layer's embeddings are those after the final layer
    norm, the others' are not normed.

    Arguments:
        model: a run (as its adapter made it), or a bare model.
        sequences: of A, C, G, T and N.
        last_layers: how many layers to average, 1 for the last alone.
        adapter: to run a bare model with.
        progress: name of the progress bar; "" for none.

    Returns:
        float32 [sequences, dim].

    Raises:
        UserError: sequences that the model cannot read, or more layers than it has.
    """
    backbone = backbone_of(model, adapter)
    config, dtype = backbone.model.config, backbone.model.dtype
    if not 1 <= last_layers <= config.num_layers:
        raise UserError(
            f"last_layers={last_layers}: {backbone.model.name} has 1 to {config.num_layers} layers"
        )
    _, ids = encoded(backbone.model, sequences)
    points = np.empty((len(ids), config.embed_dim), np.float32)
    for rows, values in in_batches(
        _compiled(config, dtype, last_layers),
        backbone.model.params,
        backbone.adapter,
        ids,
        max(ids.shape[1], EVALUATION_TOKENS // last_layers),
        progress,
    ):
        points[rows] = values
    return points


@lru_cache(maxsize=64)
def _compiled(config: TransformerConfig, dtype: str, last_layers: int) -> Callable:
    return over_devices(partial(_mean, config, dtype, last_layers), dtype)


def _mean(
    config: TransformerConfig,
    dtype: str,
    last_layers: int,
    params: Any,
    adapter: Adapter | None,
    tokens: jax.Array,
) -> jax.Array:
    layers = tuple(range(config.num_layers - last_layers + 1, config.num_layers + 1))
    outputs = forward(
        config, dtype, params, tokens, adapter, logits=False, embeddings_layers=layers
    )
    means = [mean_over_nucleotides(outputs[f"embeddings_{layer}"], tokens) for layer in layers]
    return sum(means) / len(means)


def one_hot_kmers(tokenizer: Tokenizer, sequences: Sequence[str]) -> csr_array:
    """The tokens at their places: float32 [sequences, places * vocabulary], sparse.

    Column `place * vocabulary + id` is 1 where the token `id` stands at `place`, counted from 0
    after `<cls>`; `<pad>` has no column set.

    Raises:
        UserError: no sequences, or other letters than ACGTN.
    """
    ids = tokenizer.encode(given_sequences(sequences))[:, 1:]
    columns = np.arange(ids.shape[1]) * tokenizer.vocabulary_size + ids
    return _counted(ids, columns, ids.shape[1] * tokenizer.vocabulary_size)


def bag_of_kmers(tokenizer: Tokenizer, sequences: Sequence[str]) -> csr_array:
    """How often each token occurs, wherever it stands: float32 [sequences, vocabulary], sparse.

    `<cls>` and `<pad>` are not counted.

    Raises:
        UserError: no sequences, or other letters than ACGTN.
    """
    ids = tokenizer.encode(given_sequences(sequences))[:, 1:]
    return _counted(ids, ids, tokenizer.vocabulary_size)


def _counted(ids: np.ndarray, columns: np.ndarray, width: int) -> csr_array:
    """Add one at every real token's column: int [sequences, places] -> [sequences, width]."""
    real = ids != Tokenizer.pad_id
    starts = np.concatenate([[0], real.sum(axis=1).cumsum()])
    ones = np.ones(starts[-1], np.float32)
    matrix = csr_array((ones, columns[real], starts), shape=(len(ids), width))
    matrix.sum_duplicates()
    return matrix
