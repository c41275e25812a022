"""Areas under the ROC and the precision-recall curve, for many weightings of the rows at once."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Ranking:
    """Rows in the order of falling scores, for the areas under both curves.

    Attributes:
        order: row numbers `[n]`, highest score first.
        positive: 1.0 for positive rows, else 0.0, in that order, `[n]`.
        run_ends: position of the last row of each run of equal scores, `[distinct scores]`.
    """

    order: NDArray[np.int64]
    positive: NDArray[np.float64]
    run_ends: NDArray[np.int64]

    @classmethod
    def of(cls, positive: ArrayLike, scores: ArrayLike) -> Self:
        """Rank rows `[n]` by `scores`; `positive` is boolean."""
        scores = np.asarray(scores)
        order = np.argsort(-scores, kind="stable")
        run_ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
        return cls(order, np.asarray(positive)[order].astype(np.float64), run_ends)

    def areas(self, weights: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Area under the ROC curve and average precision, `[resamples]` each.

        AUROC is the chance that a positive row scores above a negative one, equal scores
        counting half. AUPRC is Σ (R_i - R_{i-1}) P_i over the distinct scores, with recall R and
        precision P, without interpolation. NaN where the rows of positive weight are all of one
        class.

        Arguments:
            weights: `[resamples, n]`, how often each row counts.
        """
        drawn = np.take(np.asarray(weights, np.float64), self.order, axis=1)
        called = np.cumsum(drawn, axis=1)
        called_rightly = np.cumsum(np.multiply(drawn, self.positive, out=drawn), axis=1)
        if len(self.run_ends) < len(self.order):
            called = np.take(called, self.run_ends, axis=1)
            called_rightly = np.take(called_rightly, self.run_ends, axis=1)
        positives = called_rightly[:, -1]
        negatives = called[:, -1] - positives
        gained = np.diff(called_rightly, axis=1, prepend=0.0)

        # Nothing is called, so nothing is gained, while the cumulative weight is 0.
        precision = called_rightly / np.maximum(called, np.finfo(np.float64).tiny)
        average_precision = ratio(np.einsum("rn,rn->r", gained, precision), positives)
        called_wrongly = np.subtract(called, called_rightly, out=called)
        below = negatives[:, None] - called_wrongly
        tied = np.diff(called_wrongly, axis=1, prepend=0.0)
        pairs = np.einsum("rn,rn->r", gained, below + tied / 2)
        # A one-class resample has no pairs, and neither curve.
        return ratio(pairs, positives * negatives), np.where(
            negatives > 0, average_precision, np.nan
        )


def ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """The quotient, NaN where the denominator is 0."""
    undefined = np.full(np.shape(denominator), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=np.not_equal(denominator, 0))


def mean_of_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis without its NaNs; NaN where nothing else is there."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))
