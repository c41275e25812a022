"""How good a model of several labels a row is: each label's metrics, and their average.

A label is a classification of two classes, scored by `ntjax.metrics.classification` on the
rows where it is known. The average is taken anew in every bootstrap resample, so that its interval
covers all labels at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntjax.errors import UserError
from ntjax.metrics import classification as metrics
from ntjax.metrics.bootstrap import estimates
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
    """Macro averages and every label's own metrics, with percentile bootstrap intervals.

    Each metric of `classification.evaluate` is averaged over the labels for which it is defined.
    `micro_f1` counts the cells of all labels together: 2TP/(2TP+FP+FN); `subset_accuracy` is the
    share of rows whose known labels are all called rightly. A label is called where its
    probability is above 0.5. Intervals, undefined values and groups are those of
    `ntjax.metrics.classification.evaluate`.

    Arguments:
        labels: integers `[n, labels]`, 1, 0, or `UNKNOWN_LABEL`, which counts for nothing.
        probabilities: `[n, labels]`.
        names: `[labels]`.
        bootstrap: number of resamples; 0 leaves the intervals None.
        seed: of the resampling.
        groups: `[n]`; rows that share a value are drawn together.
        confidence: coverage of the intervals.

    Returns:
        `{"accuracy": {"value": …, "low": …, "high": …}, …, "labels": {name: {"accuracy": …,
        "n": rows where it is known}}, "n": rows}`, ready for JSON.

    Raises:
        UserError: no rows, or probabilities that are not finite.
        ValueError: shapes, labels or probabilities that break the contract above.
    """
    rows = _Rows.of(*_checked(labels, probabilities, names))
    found = estimates(
        rows.values,
        rows.count,
        resamples=bootstrap,
        seed=seed,
        groups=groups,
        confidence=confidence,
    )
    per_label = {
        label: {name: found[k, name] for name in metrics.HIGHER_IS_BETTER} | {"n": int(known.sum())}
        for k, (label, known) in enumerate(zip(names, rows.known.T, strict=True))
    }
    averaged = {name: found[None, name] for name in HIGHER_IS_BETTER}
    return {**averaged, "labels": per_label, "n": rows.count}


@dataclass(frozen=True, eq=False)
class _Rows:
    """What the metrics need of each row.

    Attributes:
        known: bool `[n, labels]`.
        per_label: the rows where the label is known; None if there are none.
        sums: `[n, 3]`: labels rightly called, labels true plus labels called, and 1 where all
            known labels are called rightly.
    """

    known: NDArray[np.bool_]
    per_label: tuple[metrics.Rows | None, ...]
    sums: NDArray[np.float64]

    @classmethod
    def of(cls, labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> Self:
        known, called = labels != UNKNOWN_LABEL, probabilities > 0.5
        true = labels == 1
        columns = [
            (true & called).sum(axis=1),
            true.sum(axis=1) + (called & known).sum(axis=1),
            ((true == called) | ~known).all(axis=1),
        ]
        per_label = []
        for k in range(labels.shape[1]):
            at = known[:, k]
            p = probabilities[at, k]
            both = np.stack([1 - p, p], axis=1)
            per_label.append(metrics.Rows.of(labels[at, k], both) if at.any() else None)
        return cls(known, tuple(per_label), np.stack(columns, axis=1).astype(np.float64))

    @property
    def count(self) -> int:
        return len(self.known)

    def values(
        self, weights: NDArray[np.float64]
    ) -> dict[tuple[int | None, str], NDArray[np.float64]]:
        """Values `[resamples]` by label and metric; without a label the averages."""
        per_label = [self._of_label(k, weights) for k in range(len(self.per_label))]
        right, named, subsets = (weights @ self.sums).T
        averages = {
            name: mean_of_defined(np.stack([values[name] for values in per_label], axis=1))
            for name in metrics.HIGHER_IS_BETTER
        }
        averages["micro_f1"] = ratio(2 * right, named)
        averages["subset_accuracy"] = ratio(subsets, weights.sum(axis=1))
        by_label = {k: values for k, values in enumerate(per_label)}
        return {
            (label, name): values
            for label, of_label in ({None: averages} | by_label).items()
            for name, values in of_label.items()
        }

    def _of_label(self, k: int, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        rows, drawn = self.per_label[k], weights[:, self.known[:, k]]
        if rows is None:
            return {name: np.full(len(weights), np.nan) for name in metrics.HIGHER_IS_BETTER}
        # Where no row of the label was drawn, nothing is defined, not even `mcc`.
        none_drawn = drawn.sum(axis=1) == 0
        return {name: np.where(none_drawn, np.nan, v) for name, v in rows.values(drawn).items()}


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
