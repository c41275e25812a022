"""The mean of a metric over splits of the same rows, with its interval."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ntjax.metrics.significance import corrected_resampled_t

RANGES: dict[str, tuple[float, float]] = {
    "mcc": (-1, 1),
    "pearson": (-1, 1),
    "spearman": (-1, 1),
    "r2": (-np.inf, 1),
    "rmse": (0, np.inf),
    "mae": (0, np.inf),
}
"""What a metric can be; those that are not here are between 0 and 1."""


def mean_of_splits(values: Sequence[float | None]) -> dict[str, Any]:
    """Average a metric over splits, without an interval.

    Arguments:
        values: of each split; None where the metric is not defined.

    Returns:
        `value`, `sd` between splits and `of_folds`, the values; `low` and `high` are None. Of a
        metric that is not defined in every split `value` and `sd` are, too, and `interval` is the
        reason.
    """
    found: dict[str, Any] = {"value": None, "low": None, "high": None, "sd": None}
    found["of_folds"] = list(values)
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        missing = [str(split) for split, value in enumerate(values) if value is None]
        return found | {"interval": f"it is not defined in fold {', '.join(missing)}"}
    return found | {"value": float(np.mean(known)), "sd": float(np.std(known, ddof=1))}


def mean_over_splits(
    values: Sequence[float | None], metric: str, train_rows: int, test_rows: int
) -> dict[str, Any]:
    """Average a metric over splits.

    The interval is Student's with the variance of Nadeau & Bengio (2003), for training rows
    overlap. It ends where the metric does.

    >>> found = mean_over_splits([0.90, 0.95, 1.0, 0.99], "auroc", 75, 25)
    >>> "{value:.2f} [{low:.2f}, {high:.2f}]".format(**found)
    '0.96 [0.85, 1.00]'

    Arguments:
        values: of each split; None where the metric is not defined.
        metric: its name.
        train_rows: rows that a split trains on.
        test_rows: rows that it is scored on.

    Returns:
        As `mean_of_splits`, with `low` and `high` (95%). They are None, and `interval` is the
        reason, of a metric that is not defined in every split, or is the same in all of them.
    """
    found = mean_of_splits(values)
    if found["value"] is None:
        return found
    if len(set(values)) == 1:
        return found | {"interval": "it is the same in every fold, which shows no spread"}
    known = np.array(values, np.float64)
    result = corrected_resampled_t(known, np.zeros(len(known)), train_rows, test_rows)
    lowest, highest = RANGES.get(metric, (0, 1))
    return found | {"low": max(result.low, lowest), "high": min(result.high, highest)}
