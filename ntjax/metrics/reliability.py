"""What happened against what was predicted: reliability curves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntjax.errors import UserError
from ntjax.metrics.calibration_error import CALIBRATION_BINS, probability_bins
from ntjax.metrics.proportions import wilson_interval


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """What happened against what was predicted, in equal-width bins of probability.

    Attributes:
        bin_edges: `[bins + 1]`, from 0 to 1.
        count: rows in each bin `[bins]`.
        mean_predicted: mean probability of those rows `[bins]`, NaN in an empty bin.
        fraction_positive: share of them that is positive `[bins]`, NaN in an empty bin.
        low: lower end of the 95% Wilson interval of `fraction_positive` `[bins]`, NaN if empty.
        high: upper end of it.
    """

    bin_edges: NDArray[np.float64]
    count: NDArray[np.int64]
    mean_predicted: NDArray[np.float64]
    fraction_positive: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def reliability_curve(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = CALIBRATION_BINS
) -> ReliabilityCurve:
    """Reliability curve of one class, in the bins that `ece` uses.

    For the other of two classes pass `1 - labels` and `1 - probabilities`.

    Arguments:
        labels: 1 where the class is the true one, else 0, `[n]`.
        probabilities: of the class, `[n]`.
        bins: number of bins.

    Raises:
        UserError: no rows.
        ValueError: shapes that differ, labels other than 0 and 1, probabilities outside [0, 1].
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    if labels.size == 0:
        raise UserError("there are no rows to draw a reliability curve from")
    if labels.ndim != 1 or labels.shape != probabilities.shape or not np.isin(labels, (0, 1)).all():
        raise ValueError("labels must be 0 or 1, [n], and probabilities [n]")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("probabilities must be in [0, 1]")
    member = probability_bins(probabilities, bins)
    count = np.bincount(member, minlength=bins)
    rows = np.where(count > 0, count, np.nan)
    positive = np.bincount(member, weights=labels, minlength=bins)
    low, high = wilson_interval(positive, rows)
    return ReliabilityCurve(
        bin_edges=np.linspace(0, 1, bins + 1),
        count=count,
        mean_predicted=np.bincount(member, weights=probabilities, minlength=bins) / rows,
        fraction_positive=positive / rows,
        low=low,
        high=high,
    )
