"""Probabilities under another prior: what was learned where half the rows are promoters, used in a
genome where one place in thousands is one.

If the classes look the same in both places and only their shares differ, Bayes' rule gives the new
probabilities from the old ones: the odds are multiplied by the ratio of the prior odds (Elkan 2001,
"The foundations of cost-sensitive learning", theorem 2). It mends calibrated probabilities only:
calibrate first, at the prior of the calibration rows, then shift.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax

from ntjax.errors import UserError
from ntjax.metrics.classification import require_finite

# A step smaller than this ends the estimation; the mean of a million rows has a larger error.
_SMALLEST_STEP = 1e-9
_MOST_ROUNDS = 10_000
_SUM_TOLERANCE = 1e-6


def at_prior(
    probabilities: ArrayLike, fitted_prior: ArrayLike, new_prior: ArrayLike
) -> NDArray[np.float64]:
    """Probabilities where the classes have other shares than where the model was calibrated.

    What is certain, a probability of exactly 0 or 1, stays so: where logits are at hand
    `logits_at_prior` loses nothing.

    >>> at_prior([0.5, 0.99], fitted_prior=0.5, new_prior=0.01).round(3).tolist()
    [0.01, 0.5]

    Arguments:
        probabilities: of class 1 of two `[n]`, or of every class `[n, classes]`.
        fitted_prior: share of class 1 of two, or of every class `[classes]`, among the rows that
            the probabilities were calibrated on.
        new_prior: the same where they are to be used.

    Returns:
        As `probabilities`.

    Raises:
        UserError: priors that are not between 0 and 1 or do not sum to 1, or probabilities that
            are not finite.
        ValueError: shapes that do not fit, or probabilities outside [0, 1].
    """
    probabilities = _checked(probabilities)
    ratios = _log_ratios(fitted_prior, new_prior, _classes(probabilities))
    with np.errstate(divide="ignore"):  # the logarithm of 0 does what it should
        if probabilities.ndim == 1:
            odds = np.log(probabilities) - np.log1p(-probabilities)
            return expit(odds + (ratios[1] - ratios[0]))
        return softmax(np.log(probabilities) + ratios, axis=1)


def log_odds_at_prior(
    log_odds: ArrayLike, fitted_prior: float, new_prior: float
) -> NDArray[np.float64]:
    """The same for calibrated log-odds `[n]` of class 1 of two.

    Raises:
        UserError: as `at_prior`.
    """
    odds = np.asarray(log_odds, np.float64)
    both = np.stack([np.zeros_like(odds), odds], axis=1)
    return np.diff(logits_at_prior(both, fitted_prior, new_prior), axis=1)[:, 0]


def logits_at_prior(
    logits: ArrayLike, fitted_prior: ArrayLike, new_prior: ArrayLike
) -> NDArray[np.float64]:
    """The same for logits, which know more of the extremes than probabilities.

    Arguments:
        logits: `[n, classes]`, calibrated.
        fitted_prior: as of `at_prior`.
        new_prior: likewise.

    Returns:
        Logits `[n, classes]`, whose softmax are the probabilities at the new prior.

    Raises:
        UserError: as `at_prior`, of the priors.
        ValueError: shapes that do not fit.
    """
    logits = np.asarray(logits, np.float64)
    if logits.ndim != 2:
        raise ValueError(f"logits must be [n, classes], not {logits.shape}")
    return logits + _log_ratios(fitted_prior, new_prior, logits.shape[1])


def estimate_prior(probabilities: ArrayLike, fitted_prior: ArrayLike) -> float | NDArray:
    """Shares of the classes among rows without labels, by expectation-maximisation.

    The prior under which the mean of the shifted probabilities is that prior again: the maximum
    of the likelihood of the rows (Saerens et al. 2002, "Adjusting the outputs of a classifier to
    new a priori probabilities", equation 2.9). A share may come out as 0.

    Arguments:
        probabilities: as of `at_prior`, of the unlabelled rows, calibrated at `fitted_prior`.
        fitted_prior: as of `at_prior`.

    Returns:
        The share of class 1 if `fitted_prior` is a single number, else those of all `[classes]`.

    Raises:
        UserError: no rows, else as `at_prior`.
        ValueError: as `at_prior`.
    """
    probabilities = _checked(probabilities)
    if not len(probabilities):
        raise UserError("there are no rows to estimate a prior from")
    fitted = _class_priors(fitted_prior, _classes(probabilities), "fitted")
    if probabilities.ndim == 1:
        probabilities = np.stack([1 - probabilities, probabilities], axis=1)
    prior = fitted
    for _ in range(_MOST_ROUNDS):
        weighted = probabilities * (prior / fitted)
        before, prior = prior, (weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(prior - before).max() < _SMALLEST_STEP:
            break
    return float(prior[1]) if np.ndim(fitted_prior) == 0 else prior


def _checked(probabilities: ArrayLike) -> NDArray[np.float64]:
    probabilities = np.asarray(probabilities, np.float64)
    if probabilities.ndim not in (1, 2):
        raise ValueError(f"probabilities must be [n] or [n, classes], not {probabilities.shape}")
    require_finite(probabilities)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("probabilities must be in [0, 1]")
    return probabilities


def _classes(probabilities: NDArray[np.float64]) -> int:
    return 2 if probabilities.ndim == 1 else probabilities.shape[1]


def _log_ratios(fitted: ArrayLike, new: ArrayLike, classes: int) -> NDArray[np.float64]:
    """Log of the new over the fitted prior, `[classes]`."""
    return np.log(_class_priors(new, classes, "new")) - np.log(
        _class_priors(fitted, classes, "fitted")
    )


def _class_priors(prior: ArrayLike, classes: int, name: str) -> NDArray[np.float64]:
    """Shares `[classes]`, of two classes also from that of class 1 alone."""
    shares = np.asarray(prior, np.float64)
    if not ((shares > 0) & (shares < 1)).all():
        raise UserError(
            f"the {name} prior is {shares}: a share of the rows lies between 0 and 1, and a class "
            "of which there are none, or nothing else, needs no classifier"
        )
    if shares.ndim == 0 and classes == 2:
        return np.array([1 - shares, shares])
    if shares.shape != (classes,):
        raise ValueError(f"the {name} prior is {shares.shape} but there are {classes} classes")
    if abs(shares.sum() - 1) > _SUM_TOLERANCE:
        raise UserError(f"the {name} priors sum to {shares.sum():.6g}: divide them by it")
    return shares
