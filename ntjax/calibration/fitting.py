"""Choose and fit a calibration of class probabilities.

Platt scaling for two classes and temperature scaling for more, unless another is asked for.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntjax.calibration.scaling import (
    MINIMUM_ISOTONIC_ROWS,
    IdentityScaling,
    IsotonicScaling,
    PlattScaling,
    TemperatureScaling,
)
from ntjax.errors import UserError

if TYPE_CHECKING:
    from ntjax.calibration.labelwise import LabelwiseCalibration

ClassCalibration = PlattScaling | TemperatureScaling | IsotonicScaling | IdentityScaling


def method_for(rows: int, classes: int, method: str = "auto") -> str:
    """The method that is used.

    For "auto", and for isotonic scaling with too few rows, that is Platt scaling for two classes
    and temperature scaling for more.
    """
    if method == "auto" or (method == "isotonic" and rows < MINIMUM_ISOTONIC_ROWS):
        return "platt" if classes == 2 else "temperature"
    return method


def fit_calibration(logits: ArrayLike, labels: ArrayLike, method: str = "auto") -> ClassCalibration:
    """Fit the method of `method_for`.

    Calibration never turns the model's ranking round: where the best slope of Platt scaling is
    negative, which says that the model knows nothing of these rows, the slope is 0 and every
    probability the base rate.

    >>> generator = np.random.default_rng(0)
    >>> truth = generator.normal(size=(2000, 3))
    >>> labels = (truth + generator.gumbel(size=truth.shape)).argmax(axis=1)
    >>> calibration = fit_calibration(4 * truth, labels)  # four times too sure
    >>> round(calibration.temperature)
    4

    Arguments:
        logits: `[n, classes]`, of rows used neither for training nor for testing.
        labels: integers `[n]`.
        method: "auto", "platt", "temperature" or "isotonic".

    Raises:
        UserError: fewer than `MINIMUM_ROWS` rows, one class only, logits not finite, or Platt
            scaling for more than two classes.
    """
    logits = np.asarray(logits, np.float64)
    match method_for(len(logits), logits.shape[-1], method):
        case "temperature":
            return TemperatureScaling.fit(logits, labels)
        case "isotonic":
            return IsotonicScaling.fit(logits, labels)
    if logits.ndim != 2 or logits.shape[1] != 2:
        raise UserError(
            "Platt scaling is for two classes: use --calibration temperature or isotonic"
        )
    fitted = PlattScaling.fit(logits[:, 1] - logits[:, 0], labels)
    # Equal logits tell nothing: the fit gives slope 0 and the (smoothed) base rate.
    return fitted if fitted.slope > 0 else PlattScaling.fit(np.zeros(len(logits)), labels)


def calibrated_probabilities(
    calibration: "ClassCalibration | LabelwiseCalibration", logits: ArrayLike
) -> NDArray[np.float64]:
    """Calibrated probabilities `[n, classes]` of logits `[n, classes]`, whichever the method."""
    logits = np.asarray(logits, np.float64)
    if not isinstance(calibration, PlattScaling):
        return calibration.apply(logits)
    if logits.ndim != 2 or logits.shape[1] != 2:
        raise ValueError(f"Platt scaling takes logits [n, 2], not {logits.shape}")
    positive = calibration.apply(logits[:, 1] - logits[:, 0])
    return np.stack([1 - positive, positive], axis=1)
