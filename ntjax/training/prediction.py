"""The head's outputs for a whole set of sequences."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from ntjax.data.batching import TokenisedSet, evaluation_batches
from ntjax.training.step import Trainable

EVALUATION_TOKENS = 8192  # a device's share of an evaluation batch


def predict(
    compiled: Callable, params: Any, trainable: Trainable, data: TokenisedSet, progress: str = ""
) -> np.ndarray:
    """The head's outputs for every row, float32 [rows, outputs]."""
    devices = len(jax.local_devices())
    batches = list(evaluation_batches(data, EVALUATION_TOKENS * devices, devices))
    outputs = [
        (
            batch,
            compiled(params, trainable, batch.tokens.reshape(devices, -1, batch.tokens.shape[1])),
        )
        for batch in tqdm(batches, desc=progress, unit="batch", leave=False, disable=not progress)
    ]
    result = np.empty((len(data), outputs[0][1].shape[-1]), np.float32)
    for batch, values in outputs:
        real = batch.weights > 0
        result[batch.rows[real]] = np.asarray(values).reshape(len(real), -1)[real]
    return result
