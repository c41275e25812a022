"""How good predicted values are, with bootstrap intervals: correlations, R² and errors.

As in `ntjax.metrics.classification`, every value is a function of sums over rows, so a bootstrap
resample is a vector of multiplicities and a thousand resamples are a few matrix products.
Spearman's ranks are taken anew in every resample: the average rank of a run of equal values
follows from the cumulative multiplicities.

The resamples give the standard error on a scale on which a metric is near normal (Fisher's for
correlations, the logarithm for errors and for the unexplained part of R²), and Student's t the
interval. With 20 simulated rows it holds the true value in 93% to 98% of sets; the percentile
interval of the same resamples in 85% to 97%.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t

from ntjax.errors import UserError
from ntjax.metrics.bootstrap import (
    Estimate,
    Statistic,
    estimate,
    numbered_groups,
    resampled,
    resampling_units,
    too_few_units,
)
from ntjax.metrics.classification import require_finite
from ntjax.metrics.least_counts import LEAST, as_estimate
from ntjax.metrics.proportions import share_interval
from ntjax.metrics.ranking import ratio

HIGHER_IS_BETTER: dict[str, bool] = {
    "pearson": True,
    "spearman": True,
    "r2": True,
    "rmse": False,
    "mae": False,
}

Scale = tuple[Callable[[Any], Any], Callable[[Any], Any]]
_FISHER: Scale = (np.arctanh, np.tanh)
_LOGARITHM: Scale = (np.log, np.exp)
_UNEXPLAINED: Scale = (lambda r2: -np.log(1 - r2), lambda scaled: 1 - np.exp(-scaled))
# There and back: scales on which the metrics are near normal.
_SCALES: dict[str, Scale] = {
    "pearson": _FISHER,
    "spearman": _FISHER,
    "r2": _UNEXPLAINED,
    "rmse": _LOGARITHM,
    "mae": _LOGARITHM,
}

# Of the values' own spread: what is left of a constant after rounding is not a variance.
_ROUNDING = 1e-12


def evaluate(
    targets: ArrayLike,
    predictions: ArrayLike,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """Compute every metric of a regression, with bootstrap intervals (Efron 1979).

    >>> measured = np.arange(30.0)
    >>> found = evaluate(measured, measured + [1.0, -1.0, 2.0] * 10)["mae"]
    >>> "{value:.2f} [{low:.2f}, {high:.2f}]".format(**found)
    '1.33 [1.16, 1.53]'

    `pearson` is the linear correlation; `spearman` that of the ranks, equal values sharing their
    average rank; `r2` the coefficient of determination 1 - Σ(y - ŷ)² / Σ(y - ȳ)², which is below 0
    for predictions worse than the mean of these rows; `rmse` and `mae` are the root of the mean
    squared and the mean absolute error, in the targets' units.

    A correlation with constant values and the R² of constant targets are not defined: None. A
    resample on which a metric is undefined is left out of its standard error. With fewer than
    `bootstrap.LEAST_UNITS` rows (or groups) there is no interval, and `interval` says so.

    Arguments:
        targets: `[n]`, measured values.
        predictions: `[n]`, in the same units.
        bootstrap: number of resamples; 0 leaves the intervals None.
        seed: of the resampling.
        groups: `[n]` of any sortable kind; rows that share a value are drawn together.
        confidence: coverage of the intervals.

    Returns:
        `{"pearson": {"value": …, "low": …, "high": …}, …, "n": rows}`, ready for JSON.

    Raises:
        UserError: no rows, or predictions that are not finite.
        ValueError: shapes or targets that break the contract above.
    """
    rows = _Rows.of(*_checked(targets, predictions))
    if bootstrap < 0 or not 0 < confidence < 1:
        raise ValueError(f"bootstrap={bootstrap} and confidence={confidence}: need >= 0, (0, 1)")
    drawn = resampled(rows.values, rows.count, resamples=bootstrap, seed=seed, groups=groups)
    reason = too_few_units(rows.count, groups) if bootstrap else ""
    units = resampling_units(rows.count, groups)[1]
    whole = rows.values(np.ones((1, rows.count)))
    found = {}
    for name, values in whole.items():
        if reason or not bootstrap or np.isnan(values[0]):
            found[name] = estimate(values[0], drawn[name], reason=reason)
        else:
            found[name] = _scaled(values[0], drawn[name], units, confidence, _SCALES[name])
    return {**found, "n": rows.count}


def statistic(targets: ArrayLike, predictions: ArrayLike) -> Statistic[str]:
    """Return every metric as a function of how often each row is drawn, for paired comparisons.

    Arguments and errors are those of `evaluate`.
    """
    return _Rows.of(*_checked(targets, predictions)).values


def _scaled(
    value: float, drawn: NDArray[np.float64], units: int, confidence: float, scale: Scale
) -> Estimate:
    """Put a value beside its interval of Student's t on a scale, units - 1 degrees of freedom."""
    there, back = scale
    with np.errstate(divide="ignore", invalid="ignore"):
        on_scale, center = there(drawn), there(np.float64(value))
    known = on_scale[np.isfinite(on_scale)]
    if not np.isfinite(center) or 2 * len(known) < len(drawn):
        reason = "every row is predicted exactly, so that none shows by how much others are missed"
        return estimate(value, drawn, reason=reason)
    error = known.std() * np.sqrt(units / (units - 1))
    half = student_t.ppf((1 + confidence) / 2, units - 1) * error
    return {
        "value": float(value),
        "low": float(back(center - half)),
        "high": float(back(center + half)),
    }


def share(
    inside: NDArray[np.bool_], *, groups: ArrayLike | None = None, confidence: float = 0.95
) -> Estimate:
    """Compute the share of rows `[n]` that are true, with an interval as that of an accuracy.

    >>> "{value:.2f} [{low:.2f}, {high:.2f}]".format(**share(np.arange(40) % 4 > 0))
    '0.75 [0.60, 0.86]'
    """
    group = numbered_groups(len(inside), groups)
    found = share_interval(inside, np.ones(len(inside), bool), group, confidence)
    return as_estimate(found, LEAST["accuracy"], grouped=group.max(initial=-1) + 1 < len(inside))


@dataclass(frozen=True, eq=False)
class _Rows:
    """What the metrics need of each row.

    Attributes:
        unit: what the targets x of `contributions` were divided by.
        contributions: `[n, 7]`: x, y, x², y², xy of targets x and predictions y, both centred and
            scaled, then the square and the size of the error in `unit`.
        ranked: how to rank targets and predictions under weights.
    """

    unit: float
    contributions: NDArray[np.float64]
    ranked: tuple["_Ranks", "_Ranks"]

    @classmethod
    def of(cls, targets: NDArray[np.float64], predictions: NDArray[np.float64]) -> Self:
        # Sums of squares of numbers far from 0 lose the digits in which they differ.
        (x, unit), (y, _) = _centred(targets), _centred(predictions)
        error = (targets - predictions) / unit
        columns = [x, y, x * x, y * y, x * y, error**2, np.abs(error)]
        ranked = _Ranks.of(targets), _Ranks.of(predictions)
        return cls(unit, np.stack(columns, axis=1), ranked)

    @property
    def count(self) -> int:
        return len(self.contributions)

    def values(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """All metrics `[resamples]` under weights `[resamples, n]`; NaN where undefined."""
        total = weights.sum(axis=1)
        x, y, xx, yy, xy, squared, absolute = (weights @ self.contributions).T / total
        residual = ratio(squared, _variance(x, xx))
        return {
            "pearson": _correlation(x, y, xx, yy, xy),
            "spearman": self._spearman(weights, total),
            "r2": 1 - residual,
            "rmse": self.unit * np.sqrt(squared),
            "mae": self.unit * absolute,
        }

    def _spearman(
        self, weights: NDArray[np.float64], total: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        # Centred and in units of their number: as above.
        x, y = (ranks.under(weights) / total[:, None] - 0.5 for ranks in self.ranked)
        products = (x, y, x * x, y * y, x * y)
        return _correlation(*(np.einsum("rn,rn->r", weights, p) / total for p in products))


@dataclass(frozen=True, eq=False)
class _Ranks:
    """Rows in the order of rising values, to rank them under any weights.

    Attributes:
        order: row numbers `[n]`, lowest value first.
        place: the row's place in that order, `[n]`.
        run: number of the run of equal values each place is in, `[n]`.
        run_ends: last place of each run, `[runs]`.
    """

    order: NDArray[np.int64]
    place: NDArray[np.int64]
    run: NDArray[np.int64]
    run_ends: NDArray[np.int64]

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Self:
        order = np.argsort(values, kind="stable")
        differs = np.diff(values[order]) != 0
        run = np.concatenate([[0], np.cumsum(differs)])
        return cls(order, np.argsort(order), run, np.append(np.flatnonzero(differs), len(run) - 1))

    def under(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Average ranks `[resamples, n]`, from 1, if row i stood there `weights[:, i]` times."""
        up_to = np.cumsum(np.take(weights, self.order, axis=1), axis=1)[:, self.run_ends]
        before = np.concatenate([np.zeros((len(weights), 1)), up_to[:, :-1]], axis=1)
        average = (before + up_to + 1) / 2
        return np.take(average, self.run[self.place], axis=1)


def _centred(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Values `[n]` less their mean, in units of the largest, and that unit."""
    centred = values - values.mean()
    unit = float(np.abs(centred).max()) or 1.0
    return centred / unit, unit


def _variance(mean: NDArray[np.float64], mean_square: NDArray[np.float64]) -> NDArray[np.float64]:
    variance = mean_square - mean**2
    return np.where(variance > _ROUNDING * np.maximum(mean_square, 1e-300), variance, 0.0)


def _correlation(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    xx: NDArray[np.float64],
    yy: NDArray[np.float64],
    xy: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Correlation `[resamples]` from means of two variables, their squares and their product."""
    spread = np.sqrt(_variance(x, xx)) * np.sqrt(_variance(y, yy))
    return np.clip(ratio(xy - x * y, spread), -1, 1)


def _checked(
    targets: ArrayLike, predictions: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    targets, predictions = np.asarray(targets, np.float64), np.asarray(predictions, np.float64)
    if targets.size == 0:
        raise UserError("there are no rows to evaluate: give a file with at least one labelled row")
    if targets.ndim != 1 or targets.shape != predictions.shape:
        raise ValueError(f"targets are {targets.shape} and predictions {predictions.shape}")
    if not np.isfinite(targets).all():
        raise ValueError("targets must be finite")
    require_finite(predictions)
    return targets, predictions
