"""From the head's outputs to what is reported: metrics, calibrated and not, and a line per row."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ntjax.calibration.fitting import Calibration, PredictionInterval, calibrated_probabilities
from ntjax.errors import UserError
from ntjax.io.atomic import written_atomically
from ntjax.io.labels import UNKNOWN
from ntjax.io.tables import SequenceTable
from ntjax.metrics import regression as regression_metrics
from ntjax.metrics.classification import require_finite
from ntjax.metrics.reliability import reliability_curve
from ntjax.tasks.base import MultiLabel, Regression, Task


def calibrate(
    task: Task, outputs: np.ndarray, labels: np.ndarray, method: str = "auto"
) -> Calibration | None:
    """A calibration fitted on these rows; None if they are too few for one.

    Arguments:
        task: what the outputs [n, outputs] and labels [n] or [n, labels] mean.
        method: "auto", "platt", "temperature" or "isotonic".

    Raises:
        UserError: the outputs are not finite: more rows would not help.
    """
    require_finite(outputs, "calibration rows")
    try:
        return task.calibration(outputs, labels, method)
    except UserError:
        return None


def score_outputs(
    task: Task,
    outputs: np.ndarray,
    labels: np.ndarray,
    calibration: Calibration | None,
    seed: int,
    groups: np.ndarray | None = None,
) -> tuple[dict[str, Any], np.ndarray, np.ndarray | None]:
    """Metrics as in `test_metrics.json`, values and calibrated values.

    Arguments:
        task: what outputs and labels mean.
        outputs: of the head, [n, outputs].
        labels: as the task encodes them, [n] or [n, labels].
        calibration: fitted on other rows, or None.
        seed: of the bootstrap.
        groups: [n], related rows share a number and are drawn together by the bootstrap.

    Returns:
        Metrics, and for values under "interval" how many were as near as the calibration rows made
        expect; probabilities [n, classes] or [n, labels], or values [n] of a regression; the same
        calibrated, or None.
    """
    values = task.values(outputs)
    result = task.score(labels, values, seed, groups)
    calibrated, result["calibrated"] = None, None
    if isinstance(calibration, PredictionInterval):
        inside = np.abs(values - labels) <= calibration.half_width
        result["interval"] = {
            "half_width": calibration.half_width,
            "expected": calibration.coverage,
            "coverage": regression_metrics.share(inside, seed=seed, groups=groups),
        }
    elif calibration is not None:
        calibrated = calibrated_probabilities(calibration, outputs)
        result["calibrated"] = task.score(labels, calibrated, seed, groups)
    return result, values, calibrated


def reliability(
    task: Task, labels: np.ndarray, probabilities: np.ndarray | None
) -> dict[str, dict[str, list[float | None]] | None] | None:
    """The content of `reliability.json`: what happened against what was predicted.

    For each class, against all others, and for each label, on the rows where it is known: ten
    equal-width bins with rows, mean probability, and the fraction that is of the class with its
    95% Wilson interval; None in an empty bin, or if the label is known of no row.

    Arguments:
        task: not a regression.
        labels: int [n] or [n, labels].
        probabilities: [n, classes] or [n, labels]; None gives None.
    """
    if probabilities is None:
        return None
    curves = {}
    for number, name in enumerate(task.outputs):
        if isinstance(task, MultiLabel):
            known, happened = labels[:, number] != UNKNOWN, labels[:, number] == 1
        else:
            known, happened = np.ones(len(labels), bool), labels == number
        curves[name] = None
        if known.any():
            predicted = probabilities[known, number]
            curve = reliability_curve(happened[known].astype(int), predicted)
            curves[name] = {
                field: [None if np.isnan(value) else value for value in values.tolist()]
                for field, values in vars(curve).items()
            }
    return curves


def write_predictions(
    path: Path,
    task: Task,
    table: SequenceTable,
    outputs: np.ndarray,
    values: np.ndarray,
    calibrated: np.ndarray | None,
) -> None:
    """`name,label,logit,probability,calibrated_probability`, one line per row of the test set.

    Two classes: logit is positive minus negative, probabilities are the positive class's. More:
    one column of each per class, numbered from 0 in the order of the classes. Several labels: one
    column of each per label, `label` too, with the label's name. Values: `name,label,prediction`.
    """
    columns: dict[str, Any] = {"name": table.names}
    if isinstance(task, Regression):
        columns |= {"label": table.labels, "prediction": values}
    else:
        if calibrated is None:
            calibrated = np.full(outputs.shape, np.nan)  # empty cells
        columns |= _probability_columns(task, table, outputs, values, calibrated)
    data = pd.DataFrame(columns).to_csv(index=False).encode()
    with written_atomically(path, len(data)) as file:
        file.write(data)


def _probability_columns(
    task: Task,
    table: SequenceTable,
    logits: np.ndarray,
    probabilities: np.ndarray,
    calibrated: np.ndarray,
) -> dict[str, Any]:
    parts = {"logit": logits, "probability": probabilities, "calibrated_probability": calibrated}
    if isinstance(task, MultiLabel):
        cells = zip(*(text.split(",") for text in table.labels), strict=True)
        columns = {
            f"label_{name}": column for name, column in zip(task.outputs, cells, strict=True)
        }
        suffixes = task.outputs
    else:
        columns, suffixes = {"label": table.labels}, range(len(task.outputs))
    for name, values in parts.items():
        if len(task.outputs) == 2 and not isinstance(task, MultiLabel):
            columns[name] = values[:, 1] - (values[:, 0] if name == "logit" else 0)
        else:
            columns |= {f"{name}_{suffix}": values[:, k] for k, suffix in enumerate(suffixes)}
    return columns
