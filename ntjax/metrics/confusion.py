"""Calls against labels: confusion matrices, and what is computed from them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntjax.metrics.ranking import mean_of_defined, ratio


def predicted_classes(probabilities: ArrayLike) -> NDArray[np.int64]:
    """The most probable class `[n]` of probabilities `[n, classes]`; a tie goes to the lowest."""
    return np.argmax(np.asarray(probabilities), axis=1)


def confusion_counts(
    labels: ArrayLike, predicted: ArrayLike, classes: int = 2
) -> NDArray[np.int64]:
    """Confusion matrix `[classes, classes]`: rows are true labels, columns predictions.

    >>> confusion_counts([0, 0, 1, 1, 1], [0, 1, 1, 1, 0]).tolist()
    [[1, 1], [1, 2]]

    For two classes that is `[[TN, FP], [FN, TP]]`. `labels` and `predicted` are integers `[n]`.
    """
    cells = np.asarray(labels, np.int64) * classes + np.asarray(predicted, np.int64)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def confusion_rates(confusion: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """Sensitivity, specificity, precision, npv and f1 of confusion matrices.

    Per class, with that class as the positive one: sensitivity TP/(TP+FN), specificity
    TN/(TN+FP), precision TP/(TP+FP), npv TN/(TN+FN), f1 2TP/(2TP+FP+FN). Two classes: the
    value of class 1. More: the mean over the classes for which the ratio has a denominator.

    Arguments:
        confusion: counts `[..., classes, classes]`, true labels along the rows.

    Returns:
        Arrays `[...]` by name; NaN where undefined.
    """
    confusion = np.asarray(confusion, np.float64)
    true_positive = np.diagonal(confusion, axis1=-2, axis2=-1)
    actual, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    total = actual.sum(axis=-1, keepdims=True)
    true_negative = total - actual - predicted + true_positive
    per_class = {
        "sensitivity": ratio(true_positive, actual),
        "specificity": ratio(true_negative, total - actual),
        "precision": ratio(true_positive, predicted),
        "npv": ratio(true_negative, total - predicted),
        "f1": ratio(2 * true_positive, actual + predicted),
    }
    return {name: _over_classes(values) for name, values in per_class.items()}


def matthews_correlation(confusion: ArrayLike) -> NDArray[np.float64]:
    """Matthews correlation coefficient `[...]` of confusion matrices `[..., classes, classes]`.

    >>> round(float(matthews_correlation([[40, 10], [20, 30]])), 3)
    0.408

    (c·s - Σ p_k t_k) / sqrt((s² - Σ p_k²)(s² - Σ t_k²)) with c correct rows of s, class k
    predicted p_k times and true t_k times (Gorodkin 2004, R_K); for two classes it is Matthews'
    (TP·TN - FP·FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)). 0 where the denominator is 0.
    """
    confusion = np.asarray(confusion, np.float64)
    correct = np.trace(confusion, axis1=-2, axis2=-1)
    actual, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    total = actual.sum(axis=-1)
    covariance = correct * total - (actual * predicted).sum(axis=-1)
    spread_predicted = total**2 - (predicted**2).sum(axis=-1)
    spread_actual = total**2 - (actual**2).sum(axis=-1)
    # The root of the product, not a product of roots: equal spreads give R = 1 exactly.
    return np.nan_to_num(ratio(covariance, np.sqrt(spread_predicted * spread_actual)))


def _over_classes(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """One number `[...]` of the per-class values `[..., classes]`: class 1 of two, else a mean."""
    return values[..., 1] if values.shape[-1] == 2 else mean_of_defined(values)
