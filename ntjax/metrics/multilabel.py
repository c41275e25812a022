"""How good a model of several labels a row is: each label's metrics, and their average.

A label is a classification of two classes, scored by `ntjax.metrics.classification` on the
rows where it is known. Labels are of the same rows and may be wrong together: the interval of
their average is as wide as theirs on average, which holds however they hang together.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntjax.errors import UserError
from ntjax.metrics import classification as metrics
from ntjax.metrics.bootstrap import Statistic, numbered_groups
from ntjax.metrics.classification_intervals import f1_of_share
from ntjax.metrics.least_counts import LEAST, as_estimate
from ntjax.metrics.proportions import Interval, share_interval
from ntjax.metrics.ranking import mean_of_defined, ratio

HIGHER_IS_BETTER: dict[str, bool] = {
    **metrics.HIGHER_IS_BETTER,
    "micro_f1": True,
    "subset_accuracy": True,
}

UNKNOWN_LABEL = -1
"""Says that a label of a row is not known, and counts for nothing."""


def evaluate(
    labels: ArrayLike,
    probabilities: ArrayLike,
    names: Sequence[str],
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """Compute macro averages and every label's own metrics, with their intervals.

    Each metric of `classification.evaluate` is averaged over the labels for which it is defined.
    `micro_f1` counts the cells of all labels together: 2TP/(2TP+FP+FN); `subset_accuracy` is the
    share of rows whose known labels are all called rightly. A label is called where its
    probability is above 0.5. Undefined values, groups, and where there is no interval are as of
    `ntjax.metrics.classification.evaluate`; an average has an interval if every label has.

    >>> labels = np.array([[0, 1], [1, 0]] * 20)
    >>> found = evaluate(labels, 0.2 + 0.6 * labels, ["promoter", "enhancer"])
    >>> "{value:.3f} [{low:.3f}, {high:.3f}]".format(**found["accuracy"])
    '1.000 [0.912, 1.000]'
    >>> round(found["labels"]["promoter"]["brier"]["value"], 3)
    0.04

    Arguments:
        labels: integers `[n, labels]`, 1, 0, or `UNKNOWN_LABEL`, which counts for nothing.
        probabilities: `[n, labels]`.
        names: `[labels]`.
        bootstrap: redrawn sets for the test of each label's `calibration_error`; 0 leaves out
            the test and all intervals.
        seed: of the redrawing.
        groups: `[n]`; rows that share a value count as one.
        confidence: coverage of the intervals.

    Returns:
        `{"accuracy": {"value": …, "low": …, "high": …}, …, "labels": {name: {"accuracy": …,
        "n": rows where it is known}}, "n": rows}`, ready for JSON.

    Raises:
        UserError: no rows, or probabilities that are not finite.
        ValueError: shapes, labels or probabilities that break the contract above.
    """
    labels, probabilities = _checked(labels, probabilities, names)
    group = numbered_groups(len(labels), groups)
    options = {"bootstrap": bootstrap, "seed": seed, "confidence": confidence}
    per_label = {
        name: _of_label(labels[:, k], probabilities[:, k], group, options)
        for k, name in enumerate(names)
    }
    averaged = {name: _average(per_label, name) for name in metrics.HIGHER_IS_BETTER}
    for name, found in _of_all_cells(labels, probabilities > 0.5, group, confidence).items():
        estimate = as_estimate(found, LEAST[name], grouped=group.max() + 1 < len(labels))
        if not bootstrap:
            estimate = {"value": estimate["value"], "low": None, "high": None}
        averaged[name] = estimate
    return {**averaged, "labels": per_label, "n": len(labels)}


def statistic(labels: ArrayLike, probabilities: ArrayLike, names: Sequence[str]) -> Statistic[str]:
    """Return every metric as a function of how often each row is drawn, for paired comparisons.

    Arguments and errors are those of `evaluate`. A label that is known of no row is left out of
    the averages.
    """
    labels, probabilities = _checked(labels, probabilities, names)
    known, true, called = labels != UNKNOWN_LABEL, labels == 1, probabilities > 0.5
    per_label = []
    for k in np.flatnonzero(known.any(axis=0)):
        p = probabilities[known[:, k], k]
        both = np.stack([1 - p, p], axis=1)
        per_label.append((known[:, k], metrics.Rows.of(labels[known[:, k], k], both)))
    both_ways = (true & called).sum(axis=1)
    either = (known & (true | called)).sum(axis=1) + both_ways
    right = ((true == called) | ~known).all(axis=1)

    def values(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        found = [rows.values(weights[:, at]) for at, rows in per_label]
        averaged = {
            name: mean_of_defined(np.stack([one[name] for one in found], axis=-1))
            for name in metrics.HIGHER_IS_BETTER
        }
        averaged["micro_f1"] = ratio(2 * weights @ both_ways, weights @ either)
        averaged["subset_accuracy"] = ratio(weights @ right, weights.sum(axis=1))
        return averaged

    return values


def _of_label(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    groups: NDArray[np.int64],
    options: dict[str, Any],
) -> dict[str, Any]:
    """Metrics of one label, of the rows where it is known."""
    known = labels != UNKNOWN_LABEL
    if known.any():
        p = probabilities[known]
        both = np.stack([1 - p, p], axis=1)
        return metrics.evaluate(labels[known], both, groups=groups[known], **options)
    nothing = {"value": None, "low": None, "high": None, "interval": "the label is known of no row"}
    names = [*metrics.HIGHER_IS_BETTER, "calibration_error"]
    return {**{name: dict(nothing) for name in names}, "n": 0}


def _average(per_label: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """The mean over labels, with the mean of their ends, or why a label has none."""
    found = {label: of[name] for label, of in per_label.items()}
    known = [one for one in found.values() if one["value"] is not None]
    value = float(np.mean([one["value"] for one in known])) if known else None
    reasons = [f"{label}: {one['interval']}" for label, one in found.items() if "interval" in one]
    if reasons or not known:
        why = {"interval": reasons[0]} if reasons else {}
        return {"value": value, "low": None, "high": None, **why}
    low, high = (
        None if known[0][end] is None else float(np.mean([one[end] for one in known]))
        for end in ("low", "high")
    )
    return {"value": value, "low": low, "high": high}


def _of_all_cells(
    labels: NDArray[np.int64],
    called: NDArray[np.bool_],
    groups: NDArray[np.int64],
    confidence: float,
) -> dict[str, Interval]:
    """What counts the labels of a row together."""
    true, known = labels == 1, labels != UNKNOWN_LABEL
    of_cells = np.repeat(groups, labels.shape[1])
    both, either = (true & called).ravel(), (known & (true | called)).ravel()
    shared = share_interval(both, either, of_cells, confidence)
    right = ((true == called) | ~known).all(axis=1)
    return {
        "micro_f1": f1_of_share(shared),
        "subset_accuracy": share_interval(right, np.ones(len(right), bool), groups, confidence),
    }


def _checked(
    labels: ArrayLike, probabilities: ArrayLike, names: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    if labels.size == 0:
        raise UserError("there are no rows to evaluate: give a file with at least one labelled row")
    if labels.ndim != 2 or labels.shape != probabilities.shape or labels.shape[1] != len(names):
        raise ValueError(
            f"labels are {labels.shape}, probabilities {probabilities.shape}, names {len(names)}"
        )
    if not np.isin(labels, (0, 1, UNKNOWN_LABEL)).all():
        raise ValueError(f"labels must be 0, 1 or {UNKNOWN_LABEL}")
    metrics.require_finite(probabilities)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("probabilities must be in [0, 1]")
    return labels.astype(np.int64), probabilities
