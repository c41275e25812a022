"""What several seeds of a method reach together, and how far two methods are apart.

Two things vary: the seed (initial values, order and split of the training rows) and the test rows.
The standard deviation between seeds shows the first. The interval of a mean shows the second: it is
the mean of the intervals of its seeds, which are scored on the same rows and err together. The
interval of a difference is a percentile bootstrap (Efron 1979): it draws the test rows anew, the
same ones for every seed and both methods, so that it is that of paired rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ntjax.metrics.bootstrap import resampled
from ntjax.metrics.classification import Rows, evaluate
from ntjax.metrics.paired import difference, too_few_for_a_difference

METRICS = ("accuracy", "mcc", "auroc")


def seed_means(
    labels: ArrayLike,
    probabilities: Mapping[str, np.ndarray],
    against: str,
    *,
    metrics: Sequence[str] = METRICS,
    groups: ArrayLike | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Metrics of two-class methods as means over their seeds.

    Arguments:
        labels: 0 or 1, [n].
        probabilities: of class 1 by method, [seeds, n]; methods may differ in seeds.
        against: the method that the others are compared with.
        metrics: names of `ntjax.metrics.classification.HIGHER_IS_BETTER`.
        groups: [n], rows that share a value are drawn together.
        bootstrap: number of resamples.
        seed: of the resampling.

    Returns:
        By method and metric: `value`, the mean over seeds; `sd`, the standard deviation between
        them (None of one seed); `low` and `high`, the 95% interval of the mean if other test rows
        were scored; `difference`, the same three of the mean minus that of `against`, with `p`,
        the two-sided p-value of no difference between them. Where the rows are too few for an
        interval its ends and `p` are None, and `interval` is the reason.
    """
    labels = np.asarray(labels).astype(np.int64)
    both = {
        name: [np.stack([1 - p, p], axis=1) for p in np.asarray(seeds, float)]
        for name, seeds in probabilities.items()
    }
    rows = {name: [Rows.of(labels, p) for p in seeds] for name, seeds in both.items()}

    def values(weights: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
        return {
            (name, metric): of_metric.mean(axis=0)
            for name, seeds in rows.items()
            for metric, of_metric in zip(metrics, _values(seeds, weights, metrics), strict=True)
        }

    once = np.ones((1, len(labels)))
    whole = {name: _values(seeds, once, metrics)[..., 0] for name, seeds in rows.items()}
    drawn = resampled(values, len(labels), resamples=bootstrap, seed=seed, groups=groups)
    reason = too_few_for_a_difference([labels == 0, labels == 1], groups) if bootstrap else ""
    found = {}
    for name, seeds in both.items():
        of_seeds = [evaluate(labels, p, bootstrap=min(bootstrap, 1), groups=groups) for p in seeds]
        found[name] = {
            metric: _summary(whole[name][k], [of_seed[metric] for of_seed in of_seeds])
            | {
                "difference": difference(
                    whole[name][k].mean() - whole[against][k].mean(),
                    drawn[name, metric] - drawn[against, metric],
                    reason,
                )
            }
            for k, metric in enumerate(metrics)
        }
    return found


def standard_error(values: ArrayLike, train_rows: int = 0, test_rows: int = 0) -> float:
    """Compute the standard error of a mean over seeds.

    It is sd · sqrt(1/n + test/train) where every seed splits the same rows anew: training sets
    overlap, so that the values are correlated and sd / sqrt(n) is too small (Nadeau & Bengio 2003,
    "Inference for the generalization error", section 3). Where all seeds are scored on the same
    rows it is sd / sqrt(n), of these rows.

    >>> round(standard_error([0.8, 0.9, 1.0]), 4)
    0.0577
    >>> round(standard_error([0.8, 0.9, 1.0], train_rows=900, test_rows=100), 4)
    0.0667

    Arguments:
        values: `[seeds]`, of one metric; NaN is left out.
        train_rows: rows that each seed trains on; 0 if all seeds share their split.
        test_rows: rows that each seed is scored on.

    Returns:
        NaN of fewer than two values.
    """
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if len(known) < 2:
        return np.nan
    overlap = test_rows / train_rows if train_rows else 0.0
    return float(known.std(ddof=1) * np.sqrt(1 / len(known) + overlap))


def _values(seeds: list[Rows], weights: np.ndarray, metrics: Sequence[str]) -> np.ndarray:
    """[metrics, seeds, resamples]."""
    values = [rows.values(weights) for rows in seeds]
    return np.array([[of_seed[metric] for of_seed in values] for metric in metrics])


def _summary(of_seeds: np.ndarray, single: Sequence[dict[str, Any]]) -> dict[str, Any]:
    sd = float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else None
    found: dict[str, Any] = {"value": float(of_seeds.mean()), "low": None, "high": None}
    if np.isnan(found["value"]):
        found["value"] = None
    if reasons := [one["interval"] for one in single if "interval" in one]:
        found["interval"] = reasons[0]
    elif single[0]["low"] is not None:
        found |= {end: float(np.mean([one[end] for one in single])) for end in ("low", "high")}
    return found | {"sd": sd}
