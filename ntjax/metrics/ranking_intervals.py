"""Intervals of areas under the ROC and the precision-recall curve that hold with few rows.

Each is the wider of two on either side. One follows how much these rows vary: the linearised
variance (for the ROC curve DeLong's), on the logit scale and with Student's t. It collapses where
every positive row is above every negative one. The other does not: Newcombe's score interval of
an area under the ROC curve, Wilson's of an average precision, as if a share of the positive rows.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri
from scipy.stats import rankdata
from scipy.stats import t as student_t

from ntjax.metrics.proportions import Interval, mean_interval, wilson_interval

_HALVINGS = 50

Mask = NDArray[np.bool_]
Column = NDArray[np.float64]
Groups = NDArray[np.int64]


def auroc_interval(positive: Mask, scores: Column, groups: Groups, confidence: float) -> Interval:
    """Compute the mean over classes of the areas under the ROC curve, with its interval.

    >>> positive = np.arange(40) % 2 == 1
    >>> scores = positive + np.arange(40) % 5 / 3
    >>> found = auroc_interval(positive[:, None], scores[:, None], np.arange(40), 0.95)
    >>> "{:.3f} [{:.3f}, {:.3f}], {}".format(*found)
    '0.920 [0.773, 0.973], 20'

    Variance: DeLong et al. 1988, summed over groups as by Obuchowski 1997. Score interval:
    Newcombe 2006, "Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic, part 2", method 5.

    Arguments:
        positive: `[n, classes]`, whether a row is of the class; one column for two classes.
        scores: `[n, classes]`.
        groups: number of each row's group, from 0, `[n]`.
        confidence: coverage.

    Returns:
        Its groups are the fewest that hold a row of a class, or of the others. Classes without
        rows of both kinds are left out of the mean.
    """
    return _mean_over_classes(positive, scores, groups, confidence, _auroc)


def average_precision_interval(
    positive: Mask, scores: Column, groups: Groups, confidence: float
) -> Interval:
    """Compute the mean over classes of the average precisions, with its interval.

    Score interval: Wilson's with n = groups that hold positive rows (cf. Boyd et al. 2013, "Area
    under the precision-recall curve: point estimates and confidence intervals", section 3.2).

    >>> positive = np.arange(40) % 2 == 1
    >>> scores = positive + np.arange(40) % 5 / 3
    >>> found = average_precision_interval(positive[:, None], scores[:, None], np.arange(40), 0.95)
    >>> "{:.3f} [{:.3f}, {:.3f}], {}".format(*found)
    '0.903 [0.703, 0.973], 20'

    Arguments and result: as of `auroc_interval`.
    """
    return _mean_over_classes(positive, scores, groups, confidence, _average_precision)


def _mean_over_classes(
    positive: Mask, scores: Column, groups: Groups, confidence: float, of_class: Any
) -> Interval:
    ends, influences, fewest, freedom = [], [], len(groups), np.inf
    for is_positive, of_rows in zip(positive.T, scores.T, strict=True):
        held = [len(np.unique(groups[rows])) for rows in (is_positive, ~is_positive)]
        fewest = min(fewest, *held)
        if min(held):
            value, influence, low, high = of_class(is_positive, of_rows, *held, confidence)
            ends.append(Interval(value, low, high, min(held)))
            influences.append(influence)
            freedom = min(freedom, _freedom(influence, is_positive, groups, held))
    if not ends:
        return Interval(np.nan, np.nan, np.nan, fewest)
    score = mean_interval(ends)
    low, high = _linearised(score.value, np.mean(influences, axis=0), groups, freedom, confidence)
    return Interval(score.value, min(low, score.low), max(high, score.high), fewest)


def _auroc(
    positive: Mask, scores: Column, positives: int, negatives: int, confidence: float
) -> tuple[float, Column, float, float]:
    """Area, influence of each row `[n]` on it, and the ends of Newcombe's interval."""
    ranks, below = rankdata(scores), np.empty(len(scores))
    n, others = positive.sum(), (~positive).sum()
    below[positive] = (ranks[positive] - rankdata(scores[positive])) / others
    below[~positive] = 1 - (ranks[~positive] - rankdata(scores[~positive])) / n
    area = float(below[positive].mean())
    influence = (below - area) / np.where(positive, n, others)
    return area, influence, *newcombe_interval(area, positives, negatives, confidence)


def newcombe_interval(
    area: float, positives: int, negatives: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Solve |area - θ| = z sqrt(V(θ)) for the ends θ of the interval of an area of m by n rows.

    V(θ) = θ(1 - θ)(1 + N((1 - θ)/(2 - θ) + θ/(1 + θ))) / mn with N = (m + n)/2 - 1.

    >>> low, high = newcombe_interval(1.0, 10, 10)
    >>> round(low, 3), high
    (0.8, 1.0)
    """
    z, mean_count = ndtri((1 + confidence) / 2), (positives + negatives) / 2 - 1

    def surprising(at: float) -> bool:
        spread = 1 + mean_count * ((1 - at) / (2 - at) + at / (1 + at))
        return abs(area - at) > z * np.sqrt(at * (1 - at) * spread / (positives * negatives))

    ends = []
    for outside in (0.0, 1.0):
        inside = area
        for _ in range(_HALVINGS if outside != area else 0):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if surprising(middle) else (middle, outside)
        ends.append(float(inside))
    return ends[0], ends[1]


def _average_precision(
    positive: Mask, scores: Column, positives: int, negatives: int, confidence: float
) -> tuple[float, Column, float, float]:
    """Average precision, influence of each row `[n]` on it, and the ends of Wilson's interval.

    With C_j of T_j rows that score as high as positive row j or higher positive, it is the mean of
    C_j / T_j; the influence is its derivative by the weight of a row.
    """
    del negatives
    order = np.argsort(-scores, kind="stable")
    hits, falling = positive[order].astype(np.float64), -scores[order]
    last = np.searchsorted(falling, falling, side="right") - 1  # of the rows that score the same
    called = (last + 1).astype(np.float64)
    precision, n = np.cumsum(hits)[last] / called, hits.sum()
    value = float((precision * hits).sum() / n)
    # Of all positive rows j at or below a row: Σ 1 / T_j if it is positive, and Σ C_j / T_j².
    first = np.searchsorted(falling, falling, side="left")
    gained, lost = (
        np.cumsum(x[::-1])[::-1][first] for x in (hits / called, hits * precision / called)
    )
    influence = np.empty(len(scores))
    influence[order] = (hits * (precision - value) + hits * gained - lost) / n
    low, high = wilson_interval(value * positives, positives, confidence)
    return value, influence, float(low), float(high)


def _freedom(influence: Column, positive: Mask, groups: Groups, held: list[int]) -> float:
    """Degrees of freedom of the variance, of two kinds of rows (Satterthwaite 1946)."""
    parts = [
        (np.bincount(groups[rows], influence[rows]) ** 2).sum() for rows in (positive, ~positive)
    ]
    spread = sum(part**2 / max(count - 1, 1) for part, count in zip(parts, held, strict=True))
    return sum(parts) ** 2 / spread if spread > 0 else np.inf


def _linearised(
    value: float, influence: Column, groups: Groups, freedom: float, confidence: float
) -> tuple[float, float]:
    """Ends of the interval on the logit scale; the value itself where it is 0 or 1."""
    if not 0 < value < 1:
        return value, value
    count = len(np.unique(groups))
    variance = (np.bincount(groups, influence) ** 2).sum() * count / max(count - 1, 1)
    half = student_t.ppf((1 + confidence) / 2, max(freedom, 1)) * np.sqrt(variance)
    half /= value * (1 - value)
    return float(expit(logit(value) - half)), float(expit(logit(value) + half))
