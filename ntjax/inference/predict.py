"""The head's outputs for a whole set of sequences, and the losses of masked tokens."""

from typing import Any

import jax
import numpy as np

from ntjax.datasets.batching import TokenisedSet
from ntjax.datasets.masked_windows import EvaluationSet
from ntjax.inference.devices import EVALUATION_TOKENS, RowBatch, in_batches, token_batches
from ntjax.inference.forward import (
    ForwardConfig,
    Trainable,
    compile_masked_scores,
    compile_predict,
)


def predict(
    config: ForwardConfig,
    params: Any,
    trainable: Trainable,
    data: TokenisedSet,
    progress: str = "",
    buckets: np.ndarray | None = None,
) -> np.ndarray:
    """Return the head's outputs for every row, float32 [rows, outputs].

    Arguments:
        config: what is compiled.
        params: of the backbone.
        trainable: adapter and head.
        data: the rows.
        progress: name of the progress bar; "" for none.
        buckets: as of `evaluation_batches`.
    """
    assert config.head is not None
    result = np.empty((len(data), config.head.outputs), np.float32)
    batches = token_batches(data, EVALUATION_TOKENS, buckets)
    compiled = compile_predict(config)
    for rows, values in in_batches(compiled, params, trainable, batches, progress):
        result[rows] = values
    return result


def masked_losses(
    config: ForwardConfig, trainable: Trainable, rows: EvaluationSet
) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss in nats and whether the likeliest token is right, both [rows, chosen]."""
    devices = len(jax.local_devices())
    size = max(1, EVALUATION_TOKENS // rows.tokens.shape[1]) * devices
    batches = []
    for start in range(0, len(rows.tokens), size):
        numbers = np.arange(start, min(start + size, len(rows.tokens)))
        # The last batch is filled with copies, so that one program serves all.
        slots = np.concatenate([numbers, np.repeat(numbers[:1], size - len(numbers))])
        arrays = (rows.tokens[slots], rows.positions[slots], rows.targets[slots])
        batches.append(RowBatch(numbers, arrays))
    parts = in_batches(compile_masked_scores(config), {}, trainable, batches)
    losses, correct = zip(*(values for _, values in parts), strict=True)
    return np.concatenate(losses), np.concatenate(correct)
