"""From the head's outputs to what is reported: metrics, calibrated and not, and a line per row."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ntjax.calibration import Calibration, PredictionInterval, calibrated_probabilities
from ntjax.errors import UserError
from ntjax.metrics import regression as regression_metrics
from ntjax.metrics.classification import require_finite
from ntjax.metrics.reliability import reliability_curve
from ntjax.tasks import Task

if TYPE_CHECKING:
    from ntjax.io.tables import SequenceTable


def calibrate(
    task: Task,
    outputs: np.ndarray,
    labels: np.ndarray,
    method: str = "auto",
    groups: np.ndarray | None = None,
) -> Calibration | None:
    """Fit a calibration to these rows; the identity if it does not help, None if they are too few.

    Arguments:
        task: what the outputs [n, outputs] and labels [n] or [n, labels] mean.
        method: "auto", "platt", "temperature" or "isotonic".
        groups: [n], related rows share a number, and are fitted to, or judged by, together.

    Raises:
        UserError: the outputs are not finite: more rows would not help.
    """
    require_finite(outputs, "calibration rows")
    try:
        return task.calibration(outputs, labels, method, groups)
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
        seed: of what the metrics draw at random.
        groups: [n], related rows share a number and count as one in the intervals.

    Returns:
        Metrics, with the method of calibration ("identity" where none helped: calibrated values
        are then the same), and for values under "interval" how many were as near as the
        calibration rows made expect; probabilities [n, classes] or [n, labels], or values [n] of
        a regression; the same calibrated, or None.
    """
    values = task.values(outputs)
    called = task.calls(outputs)
    result = task.score(labels, values, seed, groups, called)
    calibrated, result["calibrated"] = None, None
    if isinstance(calibration, PredictionInterval):
        inside = np.abs(values - labels) <= calibration.half_width
        result["interval"] = {
            "half_width": calibration.half_width,
            "expected": calibration.coverage,
            "coverage": regression_metrics.share(inside, groups=groups),
        }
    elif calibration is not None:
        calibrated = calibrated_probabilities(calibration, outputs)
        result["calibration"] = {"method": calibration.method}
        result["calibrated"] = task.score(labels, calibrated, seed, groups, called)
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
        known, happened = task.occurrences(labels, number)
        curves[name] = None
        if known.any():
            predicted = probabilities[known, number]
            curve = reliability_curve(happened[known].astype(int), predicted)
            curves[name] = {
                field: [None if np.isnan(value) else value for value in values.tolist()]
                for field, values in vars(curve).items()
            }
    return curves


def class_shares(task: Task, labels: np.ndarray) -> tuple[float, ...] | None:
    """Share of each class, or of each label where it is known; None of a regression."""
    if not task.has_probabilities:
        return None
    found = (task.occurrences(labels, number) for number in range(len(task.outputs)))
    return tuple(float(happened[known].mean()) if known.any() else 0.0 for known, happened in found)


def prediction_columns(
    task: Task,
    table: "SequenceTable",
    outputs: np.ndarray,
    values: np.ndarray,
    calibrated: np.ndarray | None,
) -> dict[str, Any]:
    """Return the columns of `predictions.csv`, a row for each row of the test set.

    `name`, the labels as they were given, what the task's `value_columns` are, and `row`: the
    row's number in its file, since names may repeat.
    """
    return {
        "name": table.names,
        **task.label_columns(table.labels or ()),
        **task.value_columns(outputs, values, calibrated),
        "row": table.rows,
    }
