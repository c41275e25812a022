"""Any trained run or bare model, its sequences as tokens, computed batch by batch."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from ntjax.adapters import Adapter
from ntjax.datasets.batching import TokenisedSet, evaluation_batches
from ntjax.errors import UserError
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.pretrained import PretrainedModel
from ntjax.models.config import check_length
from ntjax.runs.run import Run
from ntjax.sequences.alphabet import given_sequences
from ntjax.training.step import DEVICES, without_widened_weights


class Backbone(NamedTuple):
    """A model and the adapter it runs with."""

    model: PretrainedModel
    adapter: Adapter | None


def backbone_of(model: Run | PretrainedModel, adapter: Adapter | None = None) -> Backbone:
    """The transformer of a run with the run's adapter, or a bare model with the one given.

    Raises:
        UserError: a run, and an adapter beside its own.
    """
    if not isinstance(model, Run):
        return Backbone(model, adapter)
    if adapter is not None:
        raise UserError("a run has an adapter of its own: leave adapter out, or give run.model")
    return Backbone(model.model, model.trainable.adapter)


def encoded(model: PretrainedModel, sequences: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Sequences in upper case, and their token ids, int32 [sequences, tokens].

    Raises:
        UserError: no sequences, other letters than ACGTN, or more than the model can hold.
    """
    cleaned = given_sequences(sequences)
    ids = model.tokenizer.encode(cleaned)
    check_length(model.config, ids.shape[1])
    return cleaned, ids


def over_devices(function: Callable, dtype: str) -> Callable:
    """`function(params, trained, tokens [rows, tokens])`, compiled for all local devices.

    The rows of the result, [devices, rows, ...], are spread over them as the tokens' are. To be
    kept by the caller: a new one is compiled again.
    """
    mapped = jax.pmap(function, axis_name=DEVICES, in_axes=(None, None, 0))
    return without_widened_weights(mapped, dtype)


def in_batches(
    compiled: Callable,
    params: Any,
    trained: Any,
    ids: np.ndarray,
    tokens_per_batch: int,
    progress: str = "",
) -> Iterator[tuple[np.ndarray, Any]]:
    """Compute all rows, one batch at a time; each length of rows is compiled once.

    Arguments:
        compiled: from `over_devices`.
        params: weights of the backbone.
        trained: second argument of the function: adapter, head and what goes with them.
        ids: int32 [rows, tokens].
        tokens_per_batch: a device's share.
        progress: what the progress bar is called; "" for none.

    Yields:
        Row numbers [batch] and what the function gives for them, NumPy arrays [batch, ...]; an axis
        of tokens may be shorter than that of `ids`, where nothing but padding is left out.
    """
    devices = len(jax.local_devices())
    params, trained = jax.device_put((params, trained), replicated_sharding())
    data = TokenisedSet.create(ids, np.zeros(len(ids), np.int32))
    batches = list(evaluation_batches(data, tokens_per_batch * devices, devices))
    for batch in tqdm(batches, desc=progress, unit="batch", leave=False, disable=not progress):
        shared = batch.tokens.reshape(devices, -1, batch.tokens.shape[1])
        real = batch.weights > 0
        values = compiled(params, trained, shared)
        yield batch.rows[real], jax.tree.map(partial(_rows, real), values)


def _rows(real: np.ndarray, values: jax.Array) -> np.ndarray:
    """[devices, rows, ...] -> the real ones of [devices * rows, ...]."""
    values = np.asarray(values)
    return values.reshape(-1, *values.shape[2:])[real]
