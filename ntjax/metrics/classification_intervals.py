"""The intervals of a classifier's metrics, in closed form: they hold with ten rows of a class.

Shares of rows have Wilson's interval, areas under curves that of `ranking_intervals`. What is a
function of shares has the interval that follows from theirs. Of three or more classes, each class
has its own against all others, and the mean that of `mean_interval`.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from ntjax.metrics.confusion import confusion_counts, matthews_correlation, predicted_classes
from ntjax.metrics.proportions import (
    Interval,
    mean_interval,
    share_interval,
)
from ntjax.metrics.ranking_intervals import auroc_interval, average_precision_interval

# A row of class j that is called k lowers the F1 of both: the variance of the mean is at most twice
# that of independent classes.
_EACH_ERROR_COUNTS_TWICE = np.sqrt(2)


@dataclass(frozen=True, eq=False)
class ScoredRows:
    """What intervals need of the rows.

    Attributes:
        labels: class numbers `[n]`.
        called: the most probable class `[n]`.
        probabilities: `[n, classes]`.
        squared_errors: contribution of each row to the Brier score `[n]`.
        groups: number of each row's group, from 0, `[n]`.
        confidence: coverage.
    """

    labels: NDArray[np.int64]
    called: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    squared_errors: NDArray[np.float64]
    groups: NDArray[np.int64]
    confidence: float

    @classmethod
    def of(
        cls,
        labels: NDArray[np.int64],
        probabilities: NDArray[np.float64],
        groups: NDArray[np.int64],
        confidence: float,
        called: NDArray[np.int64] | None = None,
    ) -> Self:
        """Of class numbers `[n]`, probabilities `[n, classes]` and groups `[n]`."""
        errors = squared_errors(labels, probabilities)
        called = predicted_classes(probabilities) if called is None else called
        return cls(labels, called, probabilities, errors, groups, confidence)

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes that metrics are averaged over: of two only the positive one."""
        count = self.probabilities.shape[1]
        return (1,) if count == 2 else tuple(range(count))

    def share(self, hits: NDArray[np.bool_], counted: NDArray[np.bool_]) -> Interval:
        """The share of counted rows `[n]` that are hits."""
        return share_interval(hits, counted, self.groups, self.confidence)


def classification_intervals(rows: ScoredRows) -> dict[str, Interval]:
    """Compute the interval of every metric of `ntjax.metrics.evaluate` that has one, by name."""
    positive = np.stack([rows.labels == k for k in rows.classes], axis=1)
    scores = rows.probabilities[:, list(rows.classes)]
    at = rows.groups, rows.confidence
    everything = np.ones(len(rows.labels), bool)
    return {
        "accuracy": rows.share(rows.called == rows.labels, everything),
        "mcc": mcc_interval(rows),
        **_rates(rows),
        "auroc": auroc_interval(positive, scores, *at),
        "auprc": average_precision_interval(positive, scores, *at),
        "brier": _brier(rows),
    }


def _rates(rows: ScoredRows) -> dict[str, Interval]:
    by_class = []
    for k in rows.classes:
        true, called = rows.labels == k, rows.called == k
        shared = rows.share(true & called, true | called)
        by_class.append(
            {
                "sensitivity": rows.share(called, true),
                "specificity": rows.share(~called, ~true),
                "precision": rows.share(true, called),
                "npv": rows.share(~true, ~called),
                "f1": f1_of_share(shared),
            }
        )
    return {
        name: mean_interval(
            [of_class[name] for of_class in by_class],
            _EACH_ERROR_COUNTS_TWICE if name == "f1" and len(by_class) > 1 else 1.0,
        )
        for name in by_class[0]
    }


def f1_of_share(shared: Interval) -> Interval:
    """Compute F1 = 2s / (1 + s) of the share s of rows of a class or called so that are both."""
    value, low, high = (2 * share / (1 + share) for share in shared[:3])
    return Interval(value, low, high, shared.groups)


def mcc_interval(rows: ScoredRows) -> Interval:
    """Compute Matthews' correlation with the interval that follows from the shares it is made of.

    It is a function of each class's share and sensitivity. Each is moved to the ends of its own
    interval, the others being kept, and what that changes is added in quadrature, each side by
    itself: the method of variance estimates recovery of Zou & Donner 2008 for any function.
    """
    count = rows.probabilities.shape[1]
    cells = confusion_counts(rows.labels, rows.called, count) / len(rows.labels)
    value = float(matthews_correlation(cells))
    true = [rows.labels == k for k in range(count)]
    moved = [
        _with_sensitivity(cells, k, rows.share(rows.called == k, true[k])) for k in range(count)
    ]
    below, above = _in_quadrature(value, moved)
    everything = np.ones(len(rows.labels), bool)
    shifted = [_with_share(cells, k, rows.share(true[k], everything)) for k in range(count)]
    # The shares of K classes have K - 1 degrees of freedom.
    less, more = ((count - 1) / count * square for square in _in_quadrature(value, shifted))
    low, high = value - np.sqrt(below + less), value + np.sqrt(above + more)
    return Interval(value, float(max(low, -1)), float(min(high, 1)), _fewest_of_a_class(rows))


def _with_sensitivity(cells: NDArray[np.float64], k: int, of: Interval) -> NDArray[np.float64]:
    """Cells `[2, classes, classes]` with the sensitivity of a class at either end."""
    both = np.stack([cells, cells])
    total, wrong = cells[k].sum(), np.delete(cells[k], k)
    if total == 0:
        return both
    elsewhere = np.delete(cells.sum(axis=0), k)
    spread = next(
        (w / w.sum() for w in (wrong, elsewhere) if w.sum() > 0), np.ones(len(wrong)) / len(wrong)
    )
    for end, sensitivity in enumerate((of.low, of.high)):
        both[end, k] = np.insert(spread * (1 - sensitivity), k, sensitivity) * total
    return both


def _with_share(cells: NDArray[np.float64], k: int, of: Interval) -> NDArray[np.float64]:
    """Cells `[2, classes, classes]` with the share of rows of a class at either end."""
    both = np.stack([cells, cells])
    share = cells[k].sum()
    if not 0 < share < 1:
        return both
    for end, wanted in enumerate((of.low, of.high)):
        both[end] *= (1 - wanted) / (1 - share)
        both[end, k] = cells[k] * wanted / share
    return both


def _in_quadrature(value: float, moved: list[NDArray[np.float64]]) -> tuple[float, float]:
    """Squares of what the moved cells change, downwards and upwards."""
    changes = matthews_correlation(np.stack(moved)) - value
    below = (np.minimum(changes.min(axis=1), 0) ** 2).sum()
    return float(below), float((np.maximum(changes.max(axis=1), 0) ** 2).sum())


def _brier(rows: ScoredRows) -> Interval:
    """The mean squared error, on the logarithmic scale, with Student's t of the rarest class.

    The errors of rows that are called wrongly are far larger than the others: the upper end is not
    below the mean at the most wrong calls that these rows are in keeping with.
    """
    value, count = float(rows.squared_errors.mean()), int(rows.groups.max()) + 1
    fewest = _fewest_of_a_class(rows)
    wrong = rows.called != rows.labels
    at_most = rows.share(wrong, np.ones(len(wrong), bool)).high
    largest = rows.squared_errors[wrong].mean() if wrong.any() else 1.0
    smallest = rows.squared_errors[~wrong].mean() if not wrong.all() else 0.0
    worst = float(at_most * largest + (1 - at_most) * smallest)
    if value == 0 or fewest < 2:
        return Interval(value, 0.0, max(worst, value), fewest)
    of_groups = np.bincount(rows.groups, rows.squared_errors - value)
    error = np.sqrt(count / (count - 1) * (of_groups**2).sum()) / len(rows.labels) / value
    factor = float(np.exp(student_t.ppf((1 + rows.confidence) / 2, fewest - 1) * error))
    return Interval(value, value / factor, max(value * factor, worst), fewest)


def _fewest_of_a_class(rows: ScoredRows) -> int:
    """The fewest groups that hold a row of a class, or of the others."""
    of = [rows.labels == k for k in range(rows.probabilities.shape[1])]
    return min(len(np.unique(rows.groups[mask])) for own in of for mask in (own, ~own))


def squared_errors(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return each row's part of the Brier score: (p - y)², of three or more classes their sum."""
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] - labels) ** 2
    truth = np.eye(probabilities.shape[1])[labels]
    return ((probabilities - truth) ** 2).sum(axis=1)
