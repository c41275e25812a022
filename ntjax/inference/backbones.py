"""A model with the adapter it runs with, and its sequences as tokens."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from ntjax.adapters import Adapter
from ntjax.datasets.batching import stream_buckets
from ntjax.errors import UserError
from ntjax.inference.forward import Trainable
from ntjax.inference.pretrained import PretrainedModel
from ntjax.io.row_stream import RowChunk
from ntjax.models.config import check_length
from ntjax.sequences.alphabet import Ambiguous, given_sequences


class Adapted(Protocol):
    """A trained run, as far as its backbone is concerned."""

    model: PretrainedModel
    trainable: Trainable


class Backbone(NamedTuple):
    """A model and the adapter it runs with."""

    model: PretrainedModel
    adapter: Adapter | None = None


def backbone_of(model: Adapted | PretrainedModel, adapter: Adapter | None = None) -> Backbone:
    """Return the transformer of a run with the run's adapter, or a bare model with the one given.

    Raises:
        UserError: a run, and an adapter beside its own.
    """
    if isinstance(model, PretrainedModel):
        return Backbone(model, adapter)
    if adapter is not None:
        raise UserError("a run has an adapter of its own: leave adapter out, or give run.model")
    return Backbone(model.model, model.trainable.adapter)


def encoded(
    model: PretrainedModel, sequences: Sequence[str], ambiguous: Ambiguous = "refuse"
) -> tuple[list[str], np.ndarray]:
    """Return sequences in upper case, and their token ids, int32 [sequences, tokens].

    Arguments:
        model: whose tokenizer is used.
        sequences: of A, C, G, T and N.
        ambiguous: what becomes of IUPAC codes for several bases: "refuse", or "n" for N.

    Raises:
        UserError: no sequences, other letters than ACGTN, or more than the model can hold.
    """
    cleaned = given_sequences(sequences, ambiguous)
    ids = model.tokenizer.encode(cleaned)
    check_length(model.config, ids.shape[1])
    return cleaned, ids


def buckets_of(model: PretrainedModel, first: RowChunk) -> np.ndarray:
    """Choose the numbers of tokens that the rows of a stream are padded to, from its first ones."""
    lengths, longest = model.tokenizer.count_tokens(first.sequences), model.config.max_positions
    return stream_buckets(np.minimum(lengths, longest), longest)


def check_rows(model: PretrainedModel, source: str, chunk: RowChunk) -> np.ndarray:
    """Refuse rows of a file that are longer than a model can read.

    Returns:
        How many tokens each row has, [rows].

    Raises:
        UserError: names the first one.
    """
    config, tokens = model.config, model.tokenizer.count_tokens(chunk.sequences)
    for count, row in zip(tokens, chunk.rows, strict=True):
        if count > config.max_positions:
            raise UserError(
                f"{source}: row {row} has {count:,} tokens, more than the model's "
                f"{config.max_positions:,} positions: cut it to "
                f"{(config.max_positions - 1) * config.k_for_kmers:,} bp"
            )
    return tokens
