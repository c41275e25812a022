"""How good a classifier is, with bootstrap intervals: the numbers of `test_metrics.json`.

Everything is a function of a few sums over rows, so a bootstrap resample is a vector of
multiplicities (how often each row was drawn) and a thousand resamples are one matrix product
and two cumulative sums. The point estimate is the same computation with every row drawn once.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from ntjax.errors import UserError
from ntjax.metrics.bootstrap import estimates
from ntjax.metrics.ranking import Ranking, mean_of_defined, ratio

HIGHER_IS_BETTER: dict[str, bool] = {
    "accuracy": True,
    "mcc": True,
    "sensitivity": True,
    "specificity": True,
    "precision": True,
    "npv": True,
    "f1": True,
    "auroc": True,
    "auprc": True,
    "brier": False,
    "ece": False,
}

CALIBRATION_BINS = 10

# Softmax in float32 misses 1 by about 1e-7 a class; a rounded CSV by about 1e-4.
_SUM_TOLERANCE = 1e-3


def evaluate(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """Every metric of a classifier, with percentile bootstrap intervals (Efron 1979).

    Two classes: class 1 is the positive one; a row is called positive when its probability is
    above 0.5 (a tie goes to class 0); `brier` is the mean of (p - y)², `ece` bins the
    probability of class 1. Three or more: sensitivity, specificity, precision, npv, f1, auroc
    and auprc are one-vs-rest values averaged over the classes for which they are defined;
    `mcc` is Gorodkin's generalisation; `brier` is the mean of Σ_k (p_k - y_k)²; `ece` bins the
    probability of the predicted class (Guo et al. 2017).

    A value that is not defined (a ratio with nothing to divide by, an AUROC with one class
    only) is None, not 0; only `mcc` is 0 there by convention. A resample on which a metric is
    undefined is left out of its interval, and where that is more than half of them, or where
    there are fewer than two rows (or groups) to draw, the interval is None.

    Resampling is not stratified by class: how many rows are positive is as much an accident of
    the sample as their scores are. An interval cannot show what no row shows: without a single
    error, accuracy is 1 in every resample. That of `ece` can lie above its value: drawing rows
    anew adds noise to every bin, and `ece` counts noise as error.

    Arguments:
        labels: integers `[n]` in 0..classes-1.
        probabilities: `[n, classes]`, each row summing to 1.
        bootstrap: number of resamples; 0 leaves the intervals None.
        seed: of the resampling.
        groups: `[n]` of any sortable kind; rows that share a value are drawn together (cluster
            bootstrap), for rows that are not independent, such as overlapping windows.
        confidence: coverage of the intervals.

    Returns:
        `{"accuracy": {"value": …, "low": …, "high": …}, …, "n": rows}`, ready for JSON.

    Raises:
        UserError: no rows, or probabilities that are not finite.
        ValueError: shapes, labels or probabilities that break the contract above.
    """
    rows = Rows.of(*_checked(labels, probabilities))
    found = estimates(
        rows.values,
        rows.count,
        resamples=bootstrap,
        seed=seed,
        groups=groups,
        confidence=confidence,
    )
    return {**found, "n": rows.count}


def score(labels: ArrayLike, probabilities: ArrayLike, name: str) -> float | None:
    """One metric of `evaluate` without its interval, to choose a checkpoint by.

    Arguments:
        labels: integers `[n]`.
        probabilities: `[n, classes]`.
        name: a key of `HIGHER_IS_BETTER`.

    Returns:
        The value; None where it is undefined, such as the AUROC of rows of one class.

    Raises:
        UserError: unknown name, no rows, or probabilities that are not finite.
    """
    if name not in HIGHER_IS_BETTER:
        raise UserError(f"unknown metric {name!r}: choose one of {', '.join(HIGHER_IS_BETTER)}")
    return Rows.of(*_checked(labels, probabilities)).point_values()[name]


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


def probability_bins(probabilities: ArrayLike, bins: int = CALIBRATION_BINS) -> NDArray[np.int64]:
    """Which of `bins` equal-width bins of [0, 1] each probability is in, `[n]`, from 0.

    A bin holds its upper edge and not its lower one, the first also 0, as in scikit-learn's
    `calibration_curve`.
    """
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], np.asarray(probabilities))


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = CALIBRATION_BINS
) -> float:
    """Expected calibration error: Σ_b (n_b/n) |mean probability in bin b - fraction true in it|.

    Equal-width bins of the probability of class 1 and the fraction of class 1 for two classes;
    of the predicted class's probability and the fraction predicted rightly for more (Guo et al.
    2017, equation 5). Empty bins count nothing.

    Arguments:
        labels: integers `[n]`.
        probabilities: `[n, classes]`.
        bins: number of bins.

    Raises:
        UserError, ValueError: as `evaluate`.
    """
    believed, happened = _beliefs(*_checked(labels, probabilities))
    # (n_b/n) |mean p - mean y| = |Σ (p - y)| / n, which needs no division by an empty bin.
    gaps = np.bincount(probability_bins(believed, bins), weights=believed - happened)
    return float(np.abs(gaps).sum() / len(believed))


@dataclass(frozen=True, eq=False)
class Rows:
    """What the metrics need of each row, so that any weighting of the rows is a few sums.

    Attributes:
        count: number of rows.
        classes: number of classes.
        contributions: sparse `[n, classes² + bins + 1]`: the row's cell of the confusion
            matrix, its p - y in its calibration bin, its squared error.
        rankings: one per one-vs-rest problem (one in all for two classes).
    """

    count: int
    classes: int
    contributions: sparse.csr_array
    rankings: tuple[Ranking, ...]

    @classmethod
    def of(cls, labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> Self:
        """Of class numbers `[n]` and probabilities `[n, classes]`."""
        n, classes = probabilities.shape
        believed, happened = _beliefs(labels, probabilities)
        cells = labels * classes + predicted_classes(probabilities)
        columns = np.stack(
            [
                cells,
                classes**2 + probability_bins(believed),
                np.full(n, classes**2 + CALIBRATION_BINS),
            ],
            axis=1,
        )
        entries = np.stack(
            [np.ones(n), believed - happened, _squared_errors(labels, probabilities)], axis=1
        )
        contributions = sparse.csr_array(
            (entries.ravel(), columns.ravel(), np.arange(0, 3 * n + 1, 3)),
            shape=(n, classes**2 + CALIBRATION_BINS + 1),
        )
        positive_classes = (1,) if classes == 2 else range(classes)
        rankings = tuple(Ranking.of(labels == k, probabilities[:, k]) for k in positive_classes)
        return cls(n, classes, contributions, rankings)

    def values(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """All metrics `[resamples]` under weights `[resamples, n]`; NaN where undefined."""
        sums = weights @ self.contributions
        cells = self.classes**2
        confusion = sums[:, :cells].reshape(-1, self.classes, self.classes)
        total = confusion.sum(axis=(1, 2))
        areas = np.array([ranking.areas(weights) for ranking in self.rankings])
        auroc, auprc = np.moveaxis(areas, 0, -1)
        return {
            "accuracy": ratio(np.trace(confusion, axis1=1, axis2=2), total),
            "mcc": matthews_correlation(confusion),
            **confusion_rates(confusion),
            "auroc": mean_of_defined(auroc),
            "auprc": mean_of_defined(auprc),
            "brier": ratio(sums[:, -1], total),
            "ece": ratio(np.abs(sums[:, cells:-1]).sum(axis=1), total),
        }

    def point_values(self) -> dict[str, float | None]:
        """All metrics with every row counted once; None where undefined."""
        values = {name: float(v[0]) for name, v in self.values(np.ones((1, self.count))).items()}
        return {name: None if np.isnan(value) else value for name, value in values.items()}


def require_finite(predictions: NDArray[np.floating], name: str = "rows") -> None:
    """Refuse predictions `[n]` or `[n, outputs]` that are not finite, of rows called `name`.

    Raises:
        UserError: counts them and names the first row.
    """
    broken = np.unique(np.argwhere(~np.isfinite(predictions))[:, 0])
    if broken.size:
        raise UserError(
            f"{broken.size} of {len(predictions)} {name} (first: row {broken[0] + 1}) have "
            "predictions that are not finite: training has diverged, use a lower learning rate"
        )


def _checked(
    labels: ArrayLike, probabilities: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    if labels.size == 0:
        raise UserError("there are no rows to evaluate: give a file with at least one labelled row")
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise ValueError(f"probabilities must be [n, classes >= 2], not {probabilities.shape}")
    if labels.shape != probabilities.shape[:1]:
        raise ValueError(f"labels are {labels.shape} but probabilities {probabilities.shape}")
    if labels.dtype.kind not in "biu":
        raise ValueError(f"labels must be integers, not {labels.dtype}")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(f"labels must be in 0..{probabilities.shape[1] - 1}")
    require_finite(probabilities)
    in_range = (probabilities >= 0).all() and (probabilities <= 1).all()
    if not in_range or np.abs(probabilities.sum(axis=1) - 1).max() > _SUM_TOLERANCE:
        raise ValueError("probabilities must be in [0, 1] and each row must sum to 1")
    return labels.astype(np.int64), probabilities


def _beliefs(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The probability that calibration judges, `[n]`, and whether what it stated was so, `[n]`."""
    if probabilities.shape[1] == 2:
        return probabilities[:, 1], labels == 1
    return probabilities.max(axis=1), labels == predicted_classes(probabilities)


def _squared_errors(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> NDArray[np.float64]:
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] - labels) ** 2
    truth = np.eye(probabilities.shape[1])[labels]
    return ((probabilities - truth) ** 2).sum(axis=1)


def _over_classes(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """One number `[...]` of the per-class values `[..., classes]`: class 1 of two, else a mean."""
    return values[..., 1] if values.shape[-1] == 2 else mean_of_defined(values)
