"""The head's outputs for a whole set of sequences, and what they are worth."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from ntjax.datasets.batching import TokenisedSet, evaluation_batches
from ntjax.evaluation.masked_likelihood import EvaluationSet
from ntjax.tasks.base import evaluate
from ntjax.training.step import StepConfig, Trainable, compile_masked_scores, compile_predict

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


def validation_scores(
    config: StepConfig, params: Any, data: TokenisedSet, trainable: Trainable
) -> dict[str, float | None] | None:
    """The metrics that choose a checkpoint; None if the outputs are not finite."""
    outputs = predict(compile_predict(config), params, trainable, data)
    return evaluate(outputs, data.labels, config.task) if np.isfinite(outputs).all() else None


def masked_losses(
    config: StepConfig, trainable: Trainable, rows: EvaluationSet
) -> tuple[np.ndarray, np.ndarray]:
    """Loss in nats and whether the likeliest token is right, both [rows, chosen]."""
    score = compile_masked_scores(config)
    devices = len(jax.local_devices())
    size = max(1, EVALUATION_TOKENS // rows.tokens.shape[1]) * devices
    fields, losses, correct = (rows.tokens, rows.positions, rows.targets), [], []
    for start in range(0, len(rows.tokens), size):
        arrays = [field[start : start + size] for field in fields]
        real = len(arrays[0])
        # The last batch is filled with copies, so that one program serves all.
        filled = [np.concatenate([a, np.repeat(a[:1], size - real, axis=0)]) for a in arrays]
        shaped = [a.reshape(devices, -1, *a.shape[1:]) for a in filled]
        values, hits = score({}, trainable, *shaped)
        losses.append(np.asarray(values).reshape(size, -1)[:real])
        correct.append(np.asarray(hits).reshape(size, -1)[:real])
    return np.concatenate(losses), np.concatenate(correct)
