"""Calibrate outputs on held-out rows: scaling, conformal intervals, prior shift.

Arrays in, numbers out; importing this loads neither JAX nor scikit-learn.

>>> calibration = fit_calibration([[0.0, 9.0], [9.0, 0.0]] * 50, [1, 0] * 40 + [0, 1] * 10)
>>> calibrated_probabilities(calibration, [[0.0, 9.0]]).round(1).tolist()  # 80 of 100 were right
[[0.2, 0.8]]
"""

from ntjax.calibration.acceptance import accepted_calibration, accepted_labelwise
from ntjax.calibration.conformal import PredictionInterval
from ntjax.calibration.fitting import ClassCalibration, calibrated_probabilities, fit_calibration
from ntjax.calibration.labelwise import LabelwiseCalibration
from ntjax.calibration.prior_shift import at_prior, estimate_prior, logits_at_prior
from ntjax.calibration.scaling import (
    IdentityScaling,
    IsotonicScaling,
    PlattScaling,
    TemperatureScaling,
)

__all__ = [
    "Calibration",
    "ClassCalibration",
    "IdentityScaling",
    "IsotonicScaling",
    "LabelwiseCalibration",
    "PlattScaling",
    "PredictionInterval",
    "TemperatureScaling",
    "accepted_calibration",
    "accepted_labelwise",
    "at_prior",
    "calibrated_probabilities",
    "estimate_prior",
    "fit_calibration",
    "logits_at_prior",
]

Calibration = ClassCalibration | LabelwiseCalibration | PredictionInterval
