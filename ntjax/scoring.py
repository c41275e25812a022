"""From logits to what is reported: metrics, calibrated and not, and a line per row."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from ntjax import metrics
from ntjax.calibration import (
    Calibration,
    calibrated_probabilities,
    fit_calibration,
    reliability_curve,
)
from ntjax.checkpoints.atomic import written_atomically
from ntjax.data.tables import SequenceTable
from ntjax.errors import UserError


def calibrate(logits: np.ndarray, labels: np.ndarray) -> Calibration | None:
    """A calibration fitted on logits [n, classes], or None if the rows are too few for one."""
    try:
        return fit_calibration(logits, labels)
    except UserError:
        return None


def score_logits(
    logits: np.ndarray,
    labels: np.ndarray,
    calibration: Calibration | None,
    seed: int,
    groups: np.ndarray | None = None,
) -> tuple[dict[str, Any], np.ndarray, np.ndarray | None]:
    """Metrics as in `test_metrics.json`, probabilities and calibrated probabilities [n, classes].

    Arguments:
        logits: [n, classes].
        labels: class numbers [n].
        calibration: fitted on other rows, or None.
        seed: of the bootstrap.
        groups: [n], related rows share a number and are drawn together by the bootstrap.

    Softmax is taken in float64: float32 would round confident rows to 1 and tie them.
    """
    probabilities = softmax(logits.astype(np.float64), axis=1)
    result: dict[str, Any] = metrics.evaluate(labels, probabilities, seed=seed, groups=groups)
    calibrated = None
    if calibration is not None:
        calibrated = calibrated_probabilities(calibration, logits)
        result["calibrated"] = metrics.evaluate(labels, calibrated, seed=seed, groups=groups)
    else:
        result["calibrated"] = None
    return result, probabilities, calibrated


def reliability(
    labels: np.ndarray, probabilities: np.ndarray | None, classes: Sequence[str]
) -> dict[str, dict[str, list[float | None]]] | None:
    """The content of `reliability.json`: what happened against what was predicted.

    For each class, against all others, ten equal-width bins: rows, mean probability, fraction
    that is of the class with its 95% Wilson interval; None in an empty bin.

    Arguments:
        labels: int [n].
        probabilities: [n, classes]; None gives None.
    """
    if probabilities is None:
        return None
    curves = {}
    for number, name in enumerate(classes):
        curve = reliability_curve((labels == number).astype(int), probabilities[:, number])
        curves[name] = {
            field: [None if np.isnan(value) else value for value in values.tolist()]
            for field, values in vars(curve).items()
        }
    return curves


def write_predictions(
    path: Path,
    table: SequenceTable,
    logits: np.ndarray,
    probabilities: np.ndarray,
    calibrated: np.ndarray | None,
) -> None:
    """`name,label,logit,probability,calibrated_probability`, one line per row of the test set.

    Two classes: logit is positive minus negative, probabilities are the positive class's. More:
    one column of each per class, numbered from 0 in the order of `classes`.
    """
    columns: dict[str, Any] = {"name": table.names, "label": table.labels}
    parts = {"logit": logits, "probability": probabilities, "calibrated_probability": calibrated}
    for name, values in parts.items():
        if values is None:
            values = np.full(logits.shape, np.nan)  # an empty cell
        if logits.shape[1] == 2:
            columns[name] = values[:, 1] - (values[:, 0] if name == "logit" else 0)
        else:
            columns |= {f"{name}_{k}": values[:, k] for k in range(logits.shape[1])}
    data = pd.DataFrame(columns).to_csv(index=False).encode()
    with written_atomically(path, len(data)) as file:
        file.write(data)
