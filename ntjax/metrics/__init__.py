"""Score predictions: metrics with bootstrap intervals, and tests between models. Arrays only.

`evaluate` is for one of several classes a row, `evaluate_multilabel` for several labels a row,
`evaluate_regression` for measured values.

>>> import numpy as np
>>> metrics = evaluate([0, 0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]], bootstrap=0)
>>> metrics["accuracy"]["value"], metrics["auroc"]["value"], metrics["n"]
(0.75, 1.0, 4)
>>> evaluate_regression([1.0, 2.0, 3.0], [1.0, 2.0, 4.0], bootstrap=0)["r2"]["value"]
0.5
"""

from ntjax.metrics.calibration_error import calibration_error
from ntjax.metrics.classification import (
    HIGHER_IS_BETTER,
    evaluate,
    expected_calibration_error,
    score,
)
from ntjax.metrics.confusion import confusion_counts, matthews_correlation
from ntjax.metrics.masked import masked_metrics
from ntjax.metrics.multilabel import UNKNOWN_LABEL
from ntjax.metrics.multilabel import evaluate as evaluate_multilabel
from ntjax.metrics.proportions import wilson_interval
from ntjax.metrics.regression import evaluate as evaluate_regression
from ntjax.metrics.reliability import ReliabilityCurve, reliability_curve
from ntjax.metrics.seeds import seed_means, standard_error

__all__ = [
    "HIGHER_IS_BETTER",
    "UNKNOWN_LABEL",
    "ReliabilityCurve",
    "calibration_error",
    "confusion_counts",
    "evaluate",
    "evaluate_multilabel",
    "evaluate_regression",
    "expected_calibration_error",
    "masked_metrics",
    "matthews_correlation",
    "reliability_curve",
    "score",
    "seed_means",
    "standard_error",
    "wilson_interval",
]
