"""Precision where positives have another share than among the rows a model was tested on."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntjax.metrics.proportions import Interval, share_interval


class ExpectedPrecision(NamedTuple):
    """Precision at a prior, with an interval; NaN where nothing is called.

    Attributes:
        value: the precision.
        low, high: ends of the interval, which rests on those of both rates.
        true_positive_rate: share of the positive rows that are called.
        false_positive_rate: share of the negative rows that are called.
    """

    value: float
    low: float
    high: float
    true_positive_rate: Interval
    false_positive_rate: Interval


def expected_precision(
    called: NDArray[np.bool_],
    positive: NDArray[np.bool_],
    groups: NDArray[np.int64],
    prior: float,
    confidence: float = 0.95,
) -> ExpectedPrecision:
    """Compute π·TPR / (π·TPR + (1 − π)·FPR), where π is the share of positives.

    It holds where the positives look like the positive rows and the rest like the negative ones.
    The interval puts the lower end of one rate against the upper end of the other, each of them at
    a confidence of 1 − α/2, so that both hold with 1 − α together: it is rather wide than narrow.

    >>> called = np.array([True] * 90 + [False] * 10 + [True] * 2 + [False] * 98)
    >>> positive = np.arange(200) < 100
    >>> found = expected_precision(called, positive, np.arange(200), prior=0.01)
    >>> "{:.2f} [{:.2f}, {:.2f}]".format(*found[:3])
    '0.31 [0.09, 0.80]'

    Arguments:
        called: `[n]`, rows at or above the threshold.
        positive: `[n]`.
        groups: number of each row's group, from 0, `[n]`.
        prior: share of positives where the model is used.
        confidence: coverage.
    """
    each = (1 + confidence) / 2
    tpr = share_interval(called, positive, groups, each)
    fpr = share_interval(called, ~positive, groups, each)
    return ExpectedPrecision(
        _precision(tpr.value, fpr.value, prior),
        _precision(tpr.low, fpr.high, prior),
        _precision(tpr.high, fpr.low, prior),
        tpr,
        fpr,
    )


def _precision(tpr: float, fpr: float, prior: float) -> float:
    called = prior * tpr + (1 - prior) * fpr
    return prior * tpr / called if called > 0 else np.nan
