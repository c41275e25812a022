"""How good a classifier is, with intervals: the numbers of `test_metrics.json`.

Every value is a function of a few sums over rows, so that a bootstrap resample is a vector of
multiplicities (how often each row was drawn): `ntjax.metrics.seeds` draws the rows of two methods
together. The intervals of one classifier need no resamples (`classification_intervals`).
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from ntjax.errors import UserError
from ntjax.metrics.bootstrap import Statistic, numbered_groups
from ntjax.metrics.calibration_error import (
    CALIBRATION_BINS,
    NO_INTERVAL_OF_ECE,
    beliefs,
    calibration_error,
    probability_bins,
)
from ntjax.metrics.classification_intervals import (
    ScoredRows,
    classification_intervals,
    squared_errors,
)
from ntjax.metrics.confusion import confusion_rates, matthews_correlation, predicted_classes
from ntjax.metrics.least_counts import LEAST, as_estimate
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
    called: ArrayLike | None = None,
) -> dict[str, Any]:
    """Compute every metric of a classifier, with its interval where the rows are enough for one.

    Two classes: class 1 is the positive one; a row is called positive when its probability is
    above 0.5 (a tie goes to class 0); `brier` is the mean of (p - y)², `ece` bins the
    probability of class 1. Three or more: sensitivity, specificity, precision, npv, f1, auroc
    and auprc are one-vs-rest values averaged over the classes for which they are defined;
    `mcc` is Gorodkin's generalisation; `brier` is the mean of Σ_k (p_k - y_k)²; `ece` and
    `calibration_error` bin the probability of the predicted class (Guo et al. 2017).

    A value that is not defined (a ratio with nothing to divide by, an AUROC with one class
    only) is None, not 0; only `mcc` is 0 there by convention.

    Intervals are given from the counts of `least_counts.LEAST` on, where they were found to hold
    the true value in 93% of simulated test sets or more; below, `interval` is the reason why
    there is none. How many rows are positive counts as an accident of the sample, as much as their
    scores. `ece` has no interval, and `calibration_error` a test in its place.

    >>> few = evaluate([0, 1] * 4, [[0.7, 0.3], [0.2, 0.8]] * 4)
    >>> few["accuracy"]["value"], few["accuracy"]["low"], few["accuracy"]["interval"]
    (1.0, None, 'it needs 10 rows and there are 8')
    >>> found = evaluate([0, 1] * 20, [[0.7, 0.3], [0.2, 0.8]] * 20)["accuracy"]
    >>> "{value:.3f} [{low:.3f}, {high:.3f}]".format(**found)
    '1.000 [0.912, 1.000]'

    Arguments:
        labels: integers `[n]` in 0..classes-1.
        probabilities: `[n, classes]`, each row summing to 1.
        bootstrap: redrawn sets of labels for the test of `calibration_error`; 0 leaves out the
            test and all intervals, which takes less time.
        seed: of the redrawing.
        groups: `[n]` of any sortable kind; rows that share a value count as one, for rows that
            are not independent, such as overlapping windows.
        confidence: coverage of the intervals.
        called: class numbers `[n]`, where another rule than the likeliest class calls them; it
            acts on accuracy, mcc, sensitivity, specificity, precision, npv and f1.

    Returns:
        `{"accuracy": {"value": …, "low": …, "high": …}, …, "n": rows}`, ready for JSON;
        `interval` stands beside ends that are None.

    Raises:
        UserError: no rows, or probabilities that are not finite.
        ValueError: shapes, labels or probabilities that break the contract above.
    """
    labels, probabilities = _checked(labels, probabilities)
    calls = None if called is None else np.asarray(called, np.int64)
    if bootstrap < 0 or not 0 < confidence < 1:
        raise ValueError(f"bootstrap={bootstrap} and confidence={confidence}: need >= 0, (0, 1)")
    group = numbered_groups(len(labels), groups)
    found: dict[str, Any] = {
        name: {"value": value, "low": None, "high": None}
        for name, value in Rows.of(labels, probabilities, calls).point_values().items()
    }
    stated = calibration_error(
        *beliefs(labels, probabilities), groups=group, resamples=bootstrap, seed=seed
    )
    if bootstrap:
        several, grouped = probabilities.shape[1] > 2, group.max() + 1 < len(labels)
        rows = ScoredRows.of(labels, probabilities, group, confidence, calls)
        for name, interval in classification_intervals(rows).items():
            at = interval.at(found[name]["value"])
            found[name] = as_estimate(at, LEAST[name], several=several, grouped=grouped)
        found["ece"]["interval"] = NO_INTERVAL_OF_ECE
    return {**found, "calibration_error": stated, "n": len(labels)}


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


def statistic(
    labels: ArrayLike, probabilities: ArrayLike, called: ArrayLike | None = None
) -> Statistic[str]:
    """Return every metric as a function of how often each row is drawn, for paired comparisons.

    Arguments and errors are those of `evaluate`.
    """
    calls = None if called is None else np.asarray(called, np.int64)
    return Rows.of(*_checked(labels, probabilities), calls).values


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
    believed, happened = beliefs(*_checked(labels, probabilities))
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
    def of(
        cls,
        labels: NDArray[np.int64],
        probabilities: NDArray[np.float64],
        called: NDArray[np.int64] | None = None,
    ) -> Self:
        """Of class numbers `[n]`, probabilities `[n, classes]`, and calls unless the likeliest."""
        n, classes = probabilities.shape
        believed, happened = beliefs(labels, probabilities)
        cells = labels * classes + (predicted_classes(probabilities) if called is None else called)
        columns = np.stack(
            [
                cells,
                classes**2 + probability_bins(believed),
                np.full(n, classes**2 + CALIBRATION_BINS),
            ],
            axis=1,
        )
        entries = np.stack(
            [np.ones(n), believed - happened, squared_errors(labels, probabilities)], axis=1
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
